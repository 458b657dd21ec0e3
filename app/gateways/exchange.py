"""One request to somebody else's service: bounded in time and size, and whatever goes wrong has a word."""

import asyncio
import json
from typing import Any

import httpx

from app.core.outgoing import hindrance, read_some

LONGEST_ANSWER = 64 * 1024  # bytes; a real one has some hundreds


class Unanswered(Exception):
    """No answer, or none that could be read. `why` is one word: timeout, connect, network, too_long, unreadable.

    The texts of the causes may name what was asked: they stay here.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


async def send(client: httpx.AsyncClient, request: httpx.Request, *, within: float) -> tuple[int, bytes]:
    """Status and body. `within` is in seconds, for the whole exchange. Raises Unanswered."""
    try:
        async with asyncio.timeout(within):
            response = await client.send(request, stream=True)
            try:
                body = await read_some(response, LONGEST_ANSWER)
            finally:
                await response.aclose()
    except Exception as error:  # whatever it was, nothing was learnt
        raise Unanswered(hindrance(error)) from None
    if len(body) > LONGEST_ANSWER:
        raise Unanswered("too_long")
    return response.status_code, body


def members(body: bytes) -> dict[str, Any]:
    """The members of a JSON object. Raises Unanswered."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unanswered("unreadable")
    return found


def mapping(value: object) -> dict[str, Any]:
    """The members of a JSON object; none of anything else."""
    return value if isinstance(value, dict) else {}
