"""What the providers over HTTP have in common: one request and its answer, and how a claim's members are written."""

import re
from dataclasses import dataclass
from typing import Any

import httpx

from app.gateways.exchange import Unanswered, members, send
from app.gateways.real_name.base import Outcome, Verdict

# No more than five digits in a row: whatever comes back, no document or phone number gets into a word.
_WORD = re.compile(r"-?[0-9]{1,5}|[A-Za-z][A-Za-z_.]{0,59}")
_REQUEST_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_BETWEEN_PERSONS = re.compile(r"[、，,；;]")


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON object, with status 200 or a client error's."""

    status: int
    members: dict[str, Any]


async def ask(client: httpx.AsyncClient, request: httpx.Request, *, within: int) -> Answer | Verdict:
    """The answer, or a verdict (unavailable, limited) where there is none to be read. Raises nothing.

    `within` is in seconds, for the whole exchange.
    """
    try:
        status, body = await send(client, request, within=within)
    except Unanswered as failure:
        return unavailable(failure.why)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Verdict(Outcome.LIMITED, detail=f"http_{status}")
    if status != httpx.codes.OK and not httpx.codes.is_client_error(status):
        return unavailable(f"http_{status}")
    try:
        return Answer(status, members(body))
    except Unanswered as failure:
        return unavailable(failure.why if status == httpx.codes.OK else f"http_{status}")


def unavailable(detail: str, request_id: str | None = None) -> Verdict:
    return Verdict(Outcome.UNAVAILABLE, detail=detail, request_id=request_id)


def word(value: object) -> str | None:
    """A code out of an answer, be it text or a number; None for anything that looks like none."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if _WORD.fullmatch(text) else None


def request_id(value: object) -> str | None:
    """What the provider's support asks for, if it looks like one."""
    return value if isinstance(value, str) and _REQUEST_ID.fullmatch(value) else None


def national(phone: str) -> str:
    """`+8613800138000` -> `13800138000`."""
    return phone.removeprefix("+86")


def joined(persons: str) -> str:
    """Several legal persons, or their numbers, with `、` between them, however they were written."""
    return "、".join(filter(None, (person.strip() for person in _BETWEEN_PERSONS.split(persons))))
