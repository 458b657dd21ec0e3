"""Undoing a credential change with the token that its old contact was sent."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.support.api import PASSWORD, Api, Holder, frozen, may_act, may_log_in, refusal, renewed, undo

PHONE, NEW_PHONE, NEW_EMAIL, THIRD_EMAIL = "+8613800138000", "+8613900139000", "fresh@example.org", "third@example.net"
EXPIRED = (410, "reversal_expired")
UNDONE = {"credential": "email", "outcome": "undone"}
BOTH = pytest.mark.parametrize(("credential", "value"), [("email", NEW_EMAIL), ("phone", NEW_PHONE)])
DAY = timedelta(days=1)


async def changed(
    api: Api, holder: Holder, value: str = NEW_EMAIL, *, credential: str = "email", old: str | None = None
) -> str:
    """Complete a change; the token that its old contact got."""
    old = old or holder.email
    change = await api.reach_confirm(holder, value, credential=credential, proves=old)
    done = await api.step(holder, change, "confirm", {"code": await api.code(value)})
    assert done.json()["state"] == "completed", done.text
    return await api.token(old)


async def enter_by_code(api: Api, identifier: str) -> dict[str, str]:
    """Log in by a code; the headers of the session."""
    asked = await api.client.post("/v1/login-codes", json={"identifier": identifier})
    entry = {"method": "code", "challenge_id": asked.json()["challenge_id"], "code": await api.code(identifier)}
    answer = await api.client.post("/v1/sessions", json=entry)
    assert answer.status_code == 201, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def account_of(api: Api, identifier: str) -> dict[str, Any]:
    """The account that a code to the identifier opens."""
    answer = await api.client.get("/v1/account", headers=await enter_by_code(api, identifier))
    account: dict[str, Any] = answer.json()
    return account


@BOTH
async def test_undoing_restores_the_old_value_and_tells_both_contacts(api: Api, credential: str, value: str) -> None:
    holder = await api.register(phone=PHONE)
    old = holder.email if credential == "email" else PHONE
    answer = await undo(api, await changed(api, holder, value, credential=credential, old=old))
    assert (answer.status_code, answer.json()) == (200, {"credential": credential, "outcome": "undone"})
    for contact in (old, value):
        (notice,) = await api.messages(contact, "credential_change_undone")
        assert set(notice.params) == {"credential", "old", "new"}
    assert (await account_of(api, old))["id"] == holder.account_id
    await api.client.post("/v1/login-codes", json={"identifier": value})
    assert not await api.messages(value, "login_code")  # nobody's any more


async def test_undoing_an_added_phone_removes_it(api: Api) -> None:
    holder = await api.register()
    answer = await undo(api, await changed(api, holder, PHONE, credential="phone", old=holder.email))
    assert answer.json() == {"credential": "phone", "outcome": "undone"}
    assert (await account_of(api, holder.email))["phone"] is None
    assert len(await api.messages(holder.email, "credential_change_undone")) == 1
    assert len(await api.messages(PHONE, "credential_change_undone")) == 1


async def test_undoing_ends_every_session_and_all_that_was_open(api: Api) -> None:
    holder = await api.register(phone=PHONE)
    token = await changed(api, holder)
    other = await api.log_in(holder)
    flow = await api.reach_confirm(holder, NEW_PHONE, credential="phone", proves=PHONE)
    login = (await api.client.post("/v1/login-codes", json={"identifier": PHONE})).json()["challenge_id"]
    login_code = await api.code(PHONE)
    reset = (await api.client.post("/v1/password-resets", json={"identifier": PHONE})).json()["id"]
    reset_code = await api.code(PHONE)

    await undo(api, token)
    assert [await may_act(api, one) for one in (holder, other)] == [False, False]
    refreshed = await api.client.post("/v1/sessions/refresh", json={"refresh_token": holder.refresh_token})
    assert refusal(refreshed) == (401, "invalid_refresh_token")
    entry = {"method": "code", "challenge_id": login, "code": login_code}
    assert refusal(await api.client.post("/v1/sessions", json=entry)) == (409, "code_used")
    body = {"code": reset_code, "new_password": "another long passphrase"}
    assert refusal(await api.client.post(f"/v1/password-resets/{reset}/confirm", json=body)) == (409, "code_used")
    headers = await enter_by_code(api, holder.email)
    shown = await api.client.get(f"/v1/account/credential-changes/{flow}", headers=headers)
    assert shown.json()["state"] == "cancelled"


async def test_undoing_takes_the_password_out_of_use_until_a_reset_sets_another(api: Api) -> None:
    holder = await api.register()
    await undo(api, await changed(api, holder))
    assert not await may_log_in(api, holder.username)
    assert (await account_of(api, holder.email))["has_password"] is False
    reset = (await api.client.post("/v1/password-resets", json={"identifier": holder.username})).json()["id"]
    url, code = f"/v1/password-resets/{reset}/confirm", await api.code(holder.email)
    refused = await api.client.post(url, json={"code": code, "new_password": PASSWORD})
    assert (refusal(refused), refused.json()["reason"]) == ((422, "password_refused"), "same")
    done = await api.client.post(url, json={"code": code, "new_password": "another long passphrase"})
    assert done.status_code == 204
    assert await may_log_in(api, holder.username, "another long passphrase")
    assert (await account_of(api, holder.email))["has_password"] is True


async def test_password_that_was_changed_after_the_theft_is_out_of_use_as_well(api: Api) -> None:
    holder = await api.register()
    token = await changed(api, holder)
    body = {"current_password": PASSWORD, "new_password": "the thief's own passphrase"}
    await api.client.put("/v1/account/password", json=body, headers=holder.auth)
    assert (await undo(api, token)).status_code == 200
    assert not await may_log_in(api, holder.username, "the thief's own passphrase")
    assert not await may_log_in(api, holder.username)


async def test_token_works_once(api: Api) -> None:
    holder = await api.register()
    token = await changed(api, holder)
    assert (await undo(api, token)).status_code == 200
    assert refusal(await undo(api, token)) == EXPIRED
    assert len(await api.messages(holder.email, "credential_change_undone")) == 1


async def test_token_that_is_used_many_times_at_once_works_once(pg_api: Api) -> None:
    holder = await pg_api.register()
    token = await changed(pg_api, holder)
    answers = await asyncio.gather(*(undo(pg_api, token) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 410, 410, 410]
    assert len(await pg_api.messages(holder.email, "credential_change_undone")) == 1


async def test_token_is_good_for_three_days(api: Api) -> None:
    with frozen() as clock:
        holders = [await api.register() for _ in range(2)]
        tokens = [await changed(api, holder, f"fresh{i}@example.org") for i, holder in enumerate(holders)]
        clock.shift(3 * DAY - timedelta(seconds=1))
        assert (await undo(api, tokens[0])).status_code == 200
        clock.shift(1)
        assert refusal(await undo(api, tokens[1])) == EXPIRED


async def test_token_that_nobody_was_sent_undoes_nothing(api: Api) -> None:
    holder = await api.register()
    token = await changed(api, holder)
    assert refusal(await undo(api, token[:-1] + ("A" if token[-1] != "A" else "B"))) == EXPIRED
    assert refusal(await undo(api, "x" * 43)) == EXPIRED
    assert await may_log_in(api, NEW_EMAIL)


@BOTH
async def test_old_value_that_another_account_took_is_not_taken_back(api: Api, credential: str, value: str) -> None:
    holder = await api.register(phone=PHONE)
    old = holder.email if credential == "email" else PHONE
    token = await changed(api, holder, value, credential=credential, old=old)
    await api.register(**{credential: old})
    assert refusal(await undo(api, token)) == (409, f"{credential}_taken")
    assert await may_act(api, holder)
    assert await may_log_in(api, value)
    assert not await api.messages(value, "credential_change_undone")
    account = (await api.client.get("/v1/account", headers=holder.auth)).json()
    assert account["has_password"] is True


async def chain(api: Api, clock: Any) -> tuple[Holder, str, str]:
    """Two changes of one account, a day apart: first → second → third. The tokens of the first and second contact."""
    holder = await api.register()
    first = await changed(api, holder)
    clock.shift(DAY)
    holder = await renewed(api, holder)
    return holder, first, await changed(api, holder, THIRD_EMAIL, old=NEW_EMAIL)


async def test_first_contact_undoes_a_chain_of_changes_and_voids_the_later_token(api: Api) -> None:
    with frozen() as clock:
        holder, first, second = await chain(api, clock)
        assert (await undo(api, first)).json() == UNDONE
        assert refusal(await undo(api, second)) == EXPIRED
        assert (await account_of(api, holder.email))["id"] == holder.account_id
        for stranger in (NEW_EMAIL, THIRD_EMAIL):
            await api.client.post("/v1/login-codes", json={"identifier": stranger})
            assert not await api.messages(stranger, "login_code")


async def test_chain_may_be_undone_link_by_link(api: Api) -> None:
    with frozen() as clock:
        holder, first, second = await chain(api, clock)
        assert (await undo(api, second)).json() == UNDONE
        assert (await account_of(api, NEW_EMAIL))["id"] == holder.account_id
        assert (await undo(api, first)).json() == UNDONE
        assert (await account_of(api, holder.email))["id"] == holder.account_id


async def test_undone_change_does_not_hold_the_next_one(api: Api) -> None:
    holder = await api.register()
    await undo(api, await changed(api, holder))
    started = await api.client.post(
        "/v1/account/credential-changes",
        json={"credential": "email"},
        headers=await enter_by_code(api, holder.email),
    )
    assert started.status_code == 201


async def test_undoing_one_credential_leaves_the_other_and_its_token(api: Api) -> None:
    holder = await api.register(phone=PHONE)
    of_email = await changed(api, holder)
    of_phone = await changed(api, holder, NEW_PHONE, credential="phone", old=PHONE)
    assert (await undo(api, of_email)).json() == UNDONE
    assert (await account_of(api, holder.email))["phone"] == "+86*******9000"
    assert (await undo(api, of_phone)).json() == {"credential": "phone", "outcome": "undone"}
    assert (await account_of(api, holder.email))["phone"] == "+86*******8000"


async def test_change_that_is_undone_says_so(api: Api) -> None:
    holder = await api.register()
    change = await api.reach_confirm(holder, NEW_EMAIL, proves=holder.email)
    await api.step(holder, change, "confirm", {"code": await api.code(NEW_EMAIL)})
    await undo(api, await api.token(holder.email))
    headers = await enter_by_code(api, holder.email)
    shown = await api.client.get(f"/v1/account/credential-changes/{change}", headers=headers)
    assert shown.json()["state"] == "undone"
