"""Nobody learns whether an identifier has an account: same answers, same statements, same time (ASVS 5.0 6.3.8)."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import time_machine
from passlib.hash import bcrypt
from sqlalchemy import update

from app.core.clock import now
from app.models.accounts import Account
from tests.support.api import PASSWORD, Api, Holder, statements
from tests.support.clouds import ALIBABA_KEY, alibaba_bought, alibaba_lands, claim_of

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


@pytest.mark.settings(login_failure_seconds=0.6, login_free_failures=1_000)
async def test_a_failed_login_takes_its_least_time_whatever_the_hash_costs(api: Api) -> None:
    """A hash that was handed over is another service's: bcrypt of cost 12 takes about ten times as long as ours."""
    slow, quick = await api.register(), await api.register()
    for holder, hashed in ((slow, bcrypt.using(rounds=10).hash(PASSWORD)), (quick, None)):
        async with api.container.engine.begin() as connection:
            statement = update(Account).where(Account.username == holder.username)
            await connection.execute(statement.values(password_hash=hashed))
    taken = [await seconds(api, name) for name in (slow.username, quick.username, "nobody_here")]

    assert min(taken) >= 0.6


async def seconds(api: Api, identifier: str) -> float:
    began = time.perf_counter()
    await log_in(api, identifier)
    return time.perf_counter() - began


# Claims of customers who come from a marketplace: the account is named by its username alone.

CLAIMS = pytest.mark.settings(alibaba_marketplace_key=ALIBABA_KEY)


async def claimed(api: Api) -> str:
    """A purchase that nobody has taken; the path of its claim."""
    return f"/v1/marketplace-claims/{claim_of(await alibaba_lands(api, await alibaba_bought(api)))}"


async def ask_claim_code(api: Api, claim: str, username: str) -> httpx.Response:
    return await api.client.post(f"{claim}/account-codes", json={"username": username})


async def guess_claim_code(api: Api, claim: str, username: str) -> httpx.Response:
    asked = await ask_claim_code(api, claim, username)
    body = {"challenge_id": asked.json()["challenge_id"], "code": "000000"}
    return await api.client.post(f"{claim}/accept-with-code", json=body)


WITH_CLAIM = pytest.mark.parametrize("call", [ask_claim_code, guess_claim_code])


@CLAIMS
@WITH_CLAIM
async def test_a_claim_answers_known_and_unknown_usernames_alike_at_the_same_cost(api: Api, call: Any) -> None:
    holder, claim = await api.register(), await claimed(api)
    with statements(api) as for_known:
        known_answer = await call(api, claim, holder.username)
    with statements(api) as for_unknown:
        unknown_answer = await call(api, claim, "nobody_here")

    assert known_answer.status_code == (202 if call is ask_claim_code else 422)
    assert shown(known_answer) == shown(unknown_answer)
    assert for_known == for_unknown


@CLAIMS
@WITH_CLAIM
@pytest.mark.parametrize("values", [{"status": "closed"}, {"status": "suspended"}, {"password_hash": None}])
async def test_a_claim_does_not_tell_the_state_of_an_account(api: Api, call: Any, values: dict[str, Any]) -> None:
    holder, claim = await api.register(), await claimed(api)
    async with api.container.engine.begin() as connection:
        await connection.execute(update(Account).values(values))

    assert shown(await call(api, claim, holder.username)) == shown(await call(api, claim, "nobody_here"))


@CLAIMS
async def test_of_a_claim_nothing_is_sent_for_a_username_that_nobody_has(api: Api) -> None:
    holder, claim = await api.register(), await claimed(api)
    sent = len(await api.deliver())
    await ask_claim_code(api, claim, "nobody_here")
    assert len(await api.deliver()) == sent

    await ask_claim_code(api, claim, holder.username)
    assert [one.to for one in (await api.deliver())[sent:]] == [holder.email]


@pytest.mark.settings(alibaba_marketplace_key=ALIBABA_KEY, code_resend_seconds=60, daily_sends_per_target=2)
async def test_the_limits_of_sending_are_the_same_for_all_who_have_a_claim(api: Api) -> None:
    holder, claim = await api.register(), await claimed(api)
    with time_machine.travel(now(), tick=False):
        answers = {
            name: [shown(await ask_claim_code(api, claim, name)) for _ in range(3)]
            for name in (holder.username, "nobody_here")
        }

    assert answers[holder.username] == answers["nobody_here"]
    assert [one["status"] for one in answers["nobody_here"]] == [202, 429, 429]


@CLAIMS
async def test_without_a_claim_nobody_is_sent_anything(api: Api) -> None:
    holder = await api.register()
    sent = len(await api.deliver())

    answers = [
        await ask_claim_code(api, f"/v1/marketplace-claims/{'x' * 43}", name)
        for name in (holder.username, "nobody_here")
    ]

    assert [(one.status_code, one.json()["code"]) for one in answers] == [(410, "claim_gone")] * 2
    assert len(await api.deliver()) == sent
