"""Nobody learns whether an identifier has an account: same answers, same statements, same time (ASVS 5.0 6.3.8)."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import time_machine
from sqlalchemy import update

from app.core.clock import now
from app.models.accounts import Account
from tests.support.api import PASSWORD, Api, Holder, statements

PHONE = "+8613800138000"
UNKNOWN = {"username": "nobody_here", "email": "nobody@example.com", "phone": "+8613900139000"}
Call = Callable[[Api, str], Awaitable[httpx.Response]]


async def log_in(api: Api, identifier: str) -> httpx.Response:
    body = {"method": "password", "identifier": identifier, "password": "a guess"}
    return await api.client.post("/v1/sessions", json=body)


async def ask_login_code(api: Api, identifier: str) -> httpx.Response:
    return await api.client.post("/v1/login-codes", json={"identifier": identifier})


async def ask_reset(api: Api, identifier: str) -> httpx.Response:
    return await api.client.post("/v1/password-resets", json={"identifier": identifier})


async def guess_login_code(api: Api, identifier: str) -> httpx.Response:
    asked = await ask_login_code(api, identifier)
    body = {"method": "code", "challenge_id": asked.json()["challenge_id"], "code": "000000"}
    return await api.client.post("/v1/sessions", json=body)


async def guess_reset_code(api: Api, identifier: str) -> httpx.Response:
    asked = await ask_reset(api, identifier)
    body = {"code": "000000", "new_password": "another long passphrase"}
    return await api.client.post(f"/v1/password-resets/{asked.json()['id']}/confirm", json=body)


async def register(api: Api, email: str) -> httpx.Response:
    body = {"username": api.name(), "email": email, "company_name": "Contoso", "password": "a long passphrase"}
    return await api.client.post("/v1/registrations", json=body)


CALLS = [
    pytest.param(call, id=call.__name__)
    for call in (log_in, ask_login_code, ask_reset, guess_login_code, guess_reset_code)
]
BY = pytest.mark.parametrize("by", ["username", "email", "phone"])


def shown(answer: httpx.Response) -> dict[str, Any]:
    """The answer but for what is new in each: ids, times, and the address that was typed in."""
    body = answer.json()
    kept = {name: value for name, value in body.items() if name not in {"id", "challenge_id", "trace_id", "sent_to"}}
    for name in ("expires_at", "resend_at"):
        if name in kept:
            kept[name] = len(kept[name])
    headers = {name: value for name, value in answer.headers.items() if name not in {"x-request-id", "content-length"}}
    lengths = {name: len(body[name]) for name in ("id", "challenge_id") if name in body}
    return {"status": answer.status_code, "members": list(body), "body": kept, "headers": headers, "ids": lengths}


def known(holder: Holder, by: str) -> str:
    return {"username": holder.username, "email": holder.email, "phone": PHONE}[by]


@BY
@pytest.mark.parametrize("call", CALLS)
async def test_known_and_unknown_identifiers_are_answered_alike(api: Api, call: Call, by: str) -> None:
    holder = await api.register(phone=PHONE)

    assert shown(await call(api, known(holder, by))) == shown(await call(api, UNKNOWN[by]))


@BY
@pytest.mark.parametrize("call", CALLS)
async def test_known_and_unknown_identifiers_cost_the_same_statements(api: Api, call: Call, by: str) -> None:
    holder = await api.register(phone=PHONE)
    with statements(api) as for_known:
        await call(api, known(holder, by))
    with statements(api) as for_unknown:
        await call(api, UNKNOWN[by])

    assert for_known == for_unknown


async def test_registering_with_a_taken_email_is_answered_like_a_free_one(api: Api) -> None:
    holder = await api.register()
    taken, free = await register(api, holder.email), await register(api, "free@example.com")

    assert shown(taken) == shown(free)
    assert (taken.json()["sent_to"], free.json()["sent_to"]) == ("h***@example.com", "f***@example.com")
    assert len(taken.content) == len(free.content)


async def test_registering_with_a_taken_email_costs_the_same_statements(api: Api) -> None:
    holder = await api.register()
    with statements(api) as for_taken:
        await register(api, holder.email)
    with statements(api) as for_free:
        await register(api, "free@example.com")

    assert for_taken == for_free


async def test_the_owner_of_a_taken_email_is_told_and_gets_no_code(api: Api) -> None:
    holder = await api.register()
    await register(api, holder.email)
    told = (await api.messages(holder.email))[-1]

    assert told.template == "registration_taken"
    assert "code" not in told.params


async def test_confirming_a_registration_with_a_taken_email_fails_like_any_wrong_code(api: Api) -> None:
    holder = await api.register()
    answers = [
        await api.client.post(f"/v1/registrations/{started.json()['id']}/confirm", json={"code": "000000"})
        for started in (await register(api, holder.email), await register(api, "free@example.com"))
    ]

    assert shown(answers[0]) == shown(answers[1])


async def test_nothing_is_sent_for_an_identifier_that_nobody_has(api: Api) -> None:
    for identifier in UNKNOWN.values():
        await ask_login_code(api, identifier)
        await ask_reset(api, identifier)

    assert await api.deliver() == []


@pytest.mark.parametrize("typed", ["12", "+1", "110", "a@", "@", "¹²³", "1" * 254, "+8001234567890123", "无此人"])
@pytest.mark.parametrize("call", CALLS)
async def test_what_cannot_be_an_identifier_is_one_that_nobody_has(api: Api, call: Call, typed: str) -> None:
    assert (await call(api, typed)).status_code == (await call(api, "nobody_here")).status_code


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("values", [{"status": "closed"}, {"password_hash": None}, {"password_revoked": True}])
async def test_the_state_of_an_account_is_not_told_either(api: Api, call: Call, values: dict[str, Any]) -> None:
    holder = await api.register()
    async with api.container.engine.begin() as connection:
        await connection.execute(update(Account).values(values))

    assert shown(await call(api, holder.username)) == shown(await call(api, "nobody_here"))


@pytest.mark.settings(code_resend_seconds=60, daily_sends_per_target=2)
@pytest.mark.parametrize("call", [ask_login_code, ask_reset])
async def test_the_limits_of_sending_are_the_same_for_all(api: Api, call: Call) -> None:
    holder = await api.register()
    with time_machine.travel(now(), tick=False):
        answers = {name: [shown(await call(api, name)) for _ in range(3)] for name in (holder.username, "nobody_here")}

    assert answers[holder.username] == answers["nobody_here"]
    assert [one["status"] for one in answers["nobody_here"]] == [202, 429, 429]


@pytest.mark.settings(argon2_memory_kib=16_384, argon2_time=2, login_free_failures=1_000)
async def test_a_failed_login_takes_as_long_without_an_account_or_a_password(api: Api) -> None:
    """The hash is by far the longest part of it."""
    holder, bare = await api.register(), await api.register(password=None)
    taken = {
        name: min([await seconds(api, name) for _ in range(5)])
        for name in (holder.username, bare.username, "nobody_here", PASSWORD)
    }

    assert max(taken.values()) / min(taken.values()) < 2.5


async def seconds(api: Api, identifier: str) -> float:
    began = time.perf_counter()
    await log_in(api, identifier)
    return time.perf_counter() - began
