"""Taking a purchase without a login: by a username and the code on its email, which prove whose the account is."""

import hashlib
import json
import logging
from typing import Any

import httpx
import pytest

from tests.api.test_data_at_rest import columns
from tests.api.test_marketplace_claims import brought, landed_again, owned, told, view
from tests.support.api import Api, Holder, frozen, may_act, refusal, statements, wrong
from tests.support.clouds import MARKETPLACES, accept, get
from tests.support.services import client, staff

pytestmark = pytest.mark.settings(**MARKETPLACES)
STRANGER = "nobody_here"


async def ask(api: Api, token: str, username: str) -> httpx.Response:
    return await api.client.post(f"/v1/marketplace-claims/{token}/account-codes", json={"username": username})


async def asked(api: Api, token: str, holder: Holder) -> tuple[str, str]:
    """The challenge, and the code that its owner was sent."""
    answer = await ask(api, token, holder.username)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["challenge_id"]), await api.code(holder.email)


async def enter(api: Api, token: str, challenge: str, code: str) -> httpx.Response:
    body = {"challenge_id": challenge, "code": code}
    return await api.client.post(f"/v1/marketplace-claims/{token}/accept-with-code", json=body)


async def set_status(api: Api, holder: Holder, status: str) -> None:
    desk = await client(api)
    answer = await desk.put(f"/accounts/{holder.account_id}/status", {"status": status}, headers=staff())
    assert answer.status_code == 200, answer.text


async def by_login_code(api: Api, holder: Holder) -> str:
    return str((await api.client.post("/v1/login-codes", json={"identifier": holder.username})).json()["challenge_id"])


async def by_reset(api: Api, holder: Holder) -> str:
    return str((await api.client.post("/v1/password-resets", json={"identifier": holder.username})).json()["id"])


# --- The way in -----------------------------------------------------------------------------------------------------


async def test_who_has_the_code_of_the_accounts_email_takes_the_purchase_for_it(api: Api) -> None:
    holder, token = await api.register(), await brought(api)
    challenge, code = await asked(api, token, holder)

    taken = await enter(api, token, challenge, code)

    (mine,) = await owned(api, holder)
    assert (taken.status_code, taken.json()) == (
        200,
        {"account_id": holder.account_id, "cloud_account_id": mine["id"]},
    )
    assert len(await api.messages(holder.email, "cloud_account_added")) == 1
    assert await told(api) == ["cloud_account.activated"]
    trail = (await get(api, holder, "/activity"))["items"]
    (added,) = [one for one in trail if one["action"] == "cloud_account.added"]
    assert (added["session_id"], added["new_value"]) == (None, mine["id"])


async def test_the_code_logs_nobody_in(api: Api) -> None:
    """It proves the account for this purchase, and there it ends."""
    holder, token = await api.register(), await brought(api)
    challenge, code = await asked(api, token, holder)

    taken = await enter(api, token, challenge, code)
    login = {"method": "code", "challenge_id": challenge, "code": code}

    assert taken.json().keys() == {"account_id", "cloud_account_id"}
    assert "set-cookie" not in taken.headers
    assert refusal(await api.client.post("/v1/sessions", json=login)) == (410, "code_expired")
    assert await may_act(api, holder)


async def test_the_message_says_what_the_code_is_for_and_goes_to_the_email_alone(api: Api) -> None:
    holder, token = await api.register(phone="+8613800138000"), await brought(api)
    await asked(api, token, holder)

    (message,) = [one for one in await api.deliver() if one.template == "cloud_claim_code"]

    assert (message.channel, message.to) == ("email", holder.email)
    assert message.params["target"] == f"{holder.email[0]}***@example.com"


@pytest.mark.parametrize("spell", [str.upper, str.title])
async def test_a_username_is_taken_in_any_case(api: Api, spell: Any) -> None:
    holder, token = await api.register(), await brought(api)

    challenge = (await ask(api, token, spell(holder.username))).json()["challenge_id"]

    assert (await enter(api, token, challenge, await api.code(holder.email))).status_code == 200


@pytest.mark.parametrize("typed", ["email", "phone", "national"])
async def test_an_email_or_a_phone_is_no_username(api: Api, typed: str) -> None:
    holder, token = await api.register(phone="+8613800138000"), await brought(api)
    names = {"email": holder.email, "phone": "+8613800138000", "national": "13800138000"}

    assert refusal(await ask(api, token, names[typed])) == (422, "validation_failed")
    assert [one for one in await api.deliver() if one.template == "cloud_claim_code"] == []


# --- Whom it tells what ---------------------------------------------------------------------------------------------


async def test_a_username_that_nobody_has_is_answered_alike_and_a_message_goes_to_nobody(api: Api) -> None:
    holder, token = await api.register(), await brought(api)
    with frozen():
        answers = [await ask(api, token, name) for name in (holder.username, STRANGER)]
        sent = [one.to for one in await api.deliver() if one.template == "cloud_claim_code"]
    real, decoy = answers

    assert [answer.status_code for answer in answers] == [202, 202]
    assert real.json() | {"challenge_id": ""} == decoy.json() | {"challenge_id": ""}
    assert len(real.content) == len(decoy.content)
    assert {*real.headers} == {*decoy.headers}
    assert sent == [holder.email]


async def test_a_username_that_nobody_has_costs_the_same_statements(api: Api) -> None:
    holder, token = await api.register(), await brought(api)
    await ask(api, token, holder.username)
    seen = []
    for name in (holder.username, STRANGER):
        with statements(api) as made:
            await ask(api, token, name)
        seen.append(made)

    assert seen[0] == seen[1]


async def test_guessing_at_a_username_that_nobody_has_is_answered_alike(api: Api) -> None:
    holder, token = await api.register(), await brought(api)
    outcomes = []
    for name in (holder.username, STRANGER):
        challenge = (await ask(api, token, name)).json()["challenge_id"]
        answers = [await enter(api, token, challenge, "000000") for _ in range(6)]
        outcomes.append([(*refusal(one), one.json().get("tries_left")) for one in answers])

    assert outcomes[0] == outcomes[1]
    assert outcomes[0][-1][:2] == (429, "too_many_tries")


# --- Codes ----------------------------------------------------------------------------------------------------------


async def test_wrong_codes_are_counted_and_after_five_the_right_one_is_refused_too(api: Api) -> None:
    holder, token = await api.register(), await brought(api)
    challenge, code = await asked(api, token, holder)

    guesses = [await enter(api, token, challenge, wrong(code)) for _ in range(5)]
    right = await enter(api, token, challenge, code)

    assert [(*refusal(one), one.json()["tries_left"]) for one in guesses] == [
        (422, "wrong_code", left) for left in (4, 3, 2, 1, 0)
    ]
    assert refusal(right) == (429, "too_many_tries")
    assert await owned(api, holder) == []
    challenge, code = await asked(api, token, holder)  # a new code helps
    assert (await enter(api, token, challenge, code)).status_code == 200


@pytest.mark.settings(**MARKETPLACES, daily_tries=6)
async def test_tries_are_limited_by_the_day_whatever_purchase_they_are_made_for(api: Api) -> None:
    holder, tokens = await api.register(), [await brought(api), await brought(api, instance="122000002")]
    for token in tokens:
        challenge, code = await asked(api, token, holder)
        for _ in range(3):
            assert refusal(await enter(api, token, challenge, wrong(code))) == (422, "wrong_code")

    assert refusal(await enter(api, tokens[1], challenge, code)) == (429, "too_many_tries")
    assert await owned(api, holder) == []


@pytest.mark.settings(**MARKETPLACES, code_resend_seconds=60)
async def test_the_next_code_has_to_wait_also_for_another_purchase_and_for_nobody(api: Api) -> None:
    holder, token = await api.register(), await brought(api)
    other = await brought(api, instance="122000002")
    with frozen() as clock:
        for name in (holder.username, STRANGER):
            assert (await ask(api, token, name)).status_code == 202
            for again in (token, other):
                refused = await ask(api, again, name)
                assert refusal(refused) == (429, "resend_too_soon")
                assert refused.headers["Retry-After"] == "60"
        clock.shift(60)
        assert (await ask(api, other, holder.username)).status_code == 202


async def test_a_new_code_takes_the_place_of_the_last(api: Api) -> None:
    holder, token = await api.register(), await brought(api)
    first, first_code = await asked(api, token, holder)
    second, second_code = await asked(api, token, holder)

    assert refusal(await enter(api, token, first, first_code)) == (409, "code_used")
    assert (await enter(api, token, second, second_code)).status_code == 200


async def test_a_code_lives_for_ten_minutes(api: Api) -> None:
    holder, token = await api.register(), await brought(api)
    with frozen() as clock:
        challenge, code = await asked(api, token, holder)
        clock.shift(600)
        assert refusal(await enter(api, token, challenge, code)) == (410, "code_expired")


async def test_a_code_is_used_once(api: Api) -> None:
    holder, token = await api.register(), await brought(api)
    challenge, code = await asked(api, token, holder)
    other = await brought(api, instance="122000002")
    await enter(api, token, challenge, code)

    assert refusal(await enter(api, token, challenge, code)) == (410, "claim_gone")
    assert refusal(await enter(api, other, challenge, code)) == (409, "code_used")
    assert len(await owned(api, holder)) == 1


async def test_a_code_proves_the_account_and_the_claim_the_purchase_so_it_is_good_for_one_of_either(api: Api) -> None:
    """It is bound to account, purpose and address; which purchase it takes is said by the claim that comes with it."""
    holder, first = await api.register(), await brought(api)
    second = await brought(api, instance="122000002")
    challenge, code = await asked(api, first, holder)

    assert (await enter(api, second, challenge, code)).status_code == 200

    assert refusal(await enter(api, first, challenge, code)) == (409, "code_used")
    assert [one["instance_id"] for one in await owned(api, holder)] == ["122000002"]


@pytest.mark.parametrize("by", [by_login_code, by_reset], ids=["login", "password-reset"])
async def test_a_code_that_was_sent_for_something_else_takes_nothing(api: Api, by: Any) -> None:
    holder, token = await api.register(), await brought(api)
    challenge = "chlg_" + (await by(api, holder)).partition("_")[2]

    assert refusal(await enter(api, token, challenge, await api.code(holder.email))) == (410, "code_expired")
    assert await owned(api, holder) == []


async def test_somebody_elses_code_is_wrong(api: Api) -> None:
    holder, other, token = await api.register(), await api.register(), await brought(api)
    _, code = await asked(api, token, holder)
    challenge, its_own = await asked(api, token, other)

    expected = 200 if code == its_own else 422  # one time in a million

    assert (await enter(api, token, challenge, code)).status_code == expected


# --- Claims ---------------------------------------------------------------------------------------------------------


async def test_a_claim_that_is_gone_costs_no_try_and_sends_no_code(api: Api) -> None:
    holder, other, token = await api.register(), await api.register(), await brought(api)
    left = await brought(api, instance="122000002")
    challenge, code = await asked(api, token, holder)
    await accept(api, other, token)

    for _ in range(6):
        assert refusal(await enter(api, token, challenge, wrong(code))) == (410, "claim_gone")
        assert refusal(await ask(api, token, holder.username)) == (410, "claim_gone")

    assert len(await api.messages(holder.email, "cloud_claim_code")) == 1
    assert (await enter(api, left, challenge, code)).status_code == 200


async def test_what_another_account_has_is_not_had_by_a_code(api: Api) -> None:
    first, second = await api.register(), await api.register()
    await accept(api, first, await brought(api))
    token = await landed_again(api)
    challenge, code = await asked(api, token, second)

    assert refusal(await enter(api, token, challenge, code)) == (409, "cloud_account_taken")
    assert await owned(api, second) == []
    challenge, code = await asked(api, token, first)
    assert (await enter(api, token, challenge, code)).status_code == 200


# --- Accounts -------------------------------------------------------------------------------------------------------


async def test_a_suspended_account_is_told_so_only_with_the_right_code_and_takes_nothing(api: Api) -> None:
    holder, token = await api.register(), await brought(api)
    before, its_code = await asked(api, token, holder)
    await set_status(api, holder, "suspended")

    void = await enter(api, token, before, its_code)
    challenge, code = await asked(api, token, holder)

    assert refusal(void) == (409, "code_used")  # suspending ended it
    assert refusal(await enter(api, token, challenge, wrong(code))) == (422, "wrong_code")
    assert refusal(await enter(api, token, challenge, code)) == (403, "account_suspended")
    assert (await view(api, token)).status_code == 200
    await set_status(api, holder, "active")
    challenge, code = await asked(api, token, holder)
    assert (await enter(api, token, challenge, code)).status_code == 200


async def test_a_closed_account_is_nobodys_username(api: Api) -> None:
    holder, token = await api.register(), await brought(api)
    before, its_code = await asked(api, token, holder)
    sent = len(await api.messages(holder.email, "cloud_claim_code"))
    assert (await api.client.post("/v1/account/closure", headers=holder.auth)).status_code == 204

    assert (await enter(api, token, before, its_code)).status_code in (409, 410)
    assert (await ask(api, token, holder.username)).status_code == 202
    assert len(await api.messages(holder.email, "cloud_claim_code")) == sent
    assert (await view(api, token)).status_code == 200


# --- What stays secret ----------------------------------------------------------------------------------------------


async def test_the_token_lies_in_the_database_as_its_hash_alone_and_stands_in_no_log(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    holder, other = await api.register(), await api.register()
    with caplog.at_level(logging.DEBUG):
        token, left = await brought(api), await brought(api, instance="122000002")
        await view(api, token)
        key = {**holder.auth, "Idempotency-Key": "once"}
        for _ in range(2):
            await api.client.post(f"/v1/marketplace-claims/{token}/accept", headers=key)
        await accept(api, other, token)
        await asked(api, left, other)
        found = await columns(api)
    logged = "\n".join(json.dumps(record.msg, default=str) + record.getMessage() for record in caplog.records)

    assert hashlib.sha256(token.encode()).digest() in found["marketplace_claims.token_hash"]
    for secret in (token, left):
        assert [name for name, content in found.items() if secret.encode() in content] == []
        assert secret not in logged
    assert "/v1/marketplace-claims/{token}/accept" in logged
