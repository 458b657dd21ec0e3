"""One open flow for each credential, and what ends a flow."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.support.api import (
    PASSWORD,
    Api,
    Holder,
    cancel,
    change_of,
    frozen,
    may_act,
    may_log_in,
    refusal,
    renewed,
)
from tests.support.changes import (
    BOTH,
    NEW_EMAIL,
    PHONE,
    PHONE_CASE,
    Case,
    completed,
    execute,
    started,
    suspend,
)


async def test_one_flow_is_open_for_each_credential(api: Api) -> None:
    holder = await api.register(phone=PHONE)
    email = await started(api, holder)
    phone = await started(api, holder, "phone")
    assert refusal(await api.start(holder)) == (409, "change_open")
    assert refusal(await api.start(holder, "phone", "other")) == (409, "change_open")
    code = await api.code(holder.email)
    assert (await api.step(holder, email, "verify-current", {"code": code})).status_code == 200
    await cancel(api, holder, phone)
    await started(api, holder, "phone")


async def test_flows_started_at_once_for_one_credential_leave_one_open(pg_api: Api) -> None:
    holder = await pg_api.register()
    answers = await asyncio.gather(*(pg_api.start(holder) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert {answer.json().get("code") for answer in answers} == {None, "change_open"}


async def _change_password(api: Api, holder: Holder, _: Holder) -> None:
    body = {"current_password": PASSWORD, "new_password": "another long passphrase"}
    answer = await api.client.put("/v1/account/password", json=body, headers=holder.auth)
    assert answer.status_code == 204


async def _change_phone(api: Api, holder: Holder, _: Holder) -> None:
    await completed(api, holder, PHONE_CASE)


async def _log_out(api: Api, holder: Holder, _: Holder) -> None:
    assert (await api.client.delete("/v1/sessions/current", headers=holder.auth)).status_code == 204


async def _end_it(api: Api, holder: Holder, other: Holder) -> None:
    answer = await api.client.delete(f"/v1/sessions/{holder.session_id}", headers=other.auth)
    assert answer.status_code == 204


async def _end_all_others(api: Api, _: Holder, other: Holder) -> None:
    assert (await api.client.delete("/v1/sessions", headers=other.auth)).status_code == 204


@pytest.mark.parametrize("end", [_change_password, _change_phone, _log_out, _end_it, _end_all_others])
async def test_flow_dies_with_its_session_and_when_the_credentials_move(api: Api, end: Any) -> None:
    holder = await api.register(phone=PHONE)
    other = await api.log_in(holder)
    change = await api.reach_confirm(holder, NEW_EMAIL, proves=holder.email)
    code = await api.code(NEW_EMAIL)
    await end(api, holder, other)
    watcher = holder if await may_act(api, holder) else other
    assert (await change_of(api, watcher, change))["state"] == "cancelled"
    answer = await api.step(holder, change, "confirm", {"code": code})
    assert refusal(answer) in {(409, "wrong_state"), (401, "session_ended")}
    assert (await api.start(watcher)).status_code == 201  # there is room for another


async def test_end_of_another_session_leaves_the_flow(api: Api) -> None:
    holder = await api.register()
    other = await api.log_in(holder)
    change = await started(api, holder)
    await _log_out(api, other, holder)
    assert (await change_of(api, holder, change))["state"] == "verify_current"


async def test_credentials_that_moved_at_the_last_moment_leave_the_login_and_end_the_flow(api: Api) -> None:
    holder = await api.register()
    change = await api.reach_confirm(holder, NEW_EMAIL, proves=holder.email)
    await execute(api, "UPDATE accounts SET credentials_version = credentials_version + 1")
    answer = await api.step(holder, change, "confirm", {"code": await api.code(NEW_EMAIL)})
    assert refusal(answer) == (409, "credentials_moved")
    assert (await change_of(api, holder, change))["state"] == "cancelled"
    assert await may_log_in(api, holder.email)
    assert not await may_log_in(api, NEW_EMAIL)


async def test_suspended_account_changes_nothing(api: Api) -> None:
    holder = await api.register()
    change = await api.reach_confirm(holder, NEW_EMAIL, proves=holder.email)
    code = {"code": await api.code(NEW_EMAIL)}
    await suspend(api)
    assert refusal(await api.step(holder, change, "confirm", code)) == (401, "session_ended")
    await execute(api, "UPDATE accounts SET status = 'active'")
    assert await may_log_in(api, holder.email)


@BOTH
async def test_completed_change_ends_all_that_was_open_but_the_session_that_made_it(api: Api, case: Case) -> None:
    holder = await api.register(phone=PHONE)
    others = [await api.log_in(holder) for _ in range(2)]
    other_credential = "phone" if case.credential == "email" else "email"
    flow = await started(api, others[0], other_credential)
    login = (await api.client.post("/v1/login-codes", json={"identifier": holder.username})).json()["challenge_id"]
    login_code = await api.code(holder.email)
    reset = (await api.client.post("/v1/password-resets", json={"identifier": PHONE})).json()["id"]
    reset_code = await api.code(PHONE)

    await completed(api, holder, case)
    assert await may_act(api, holder)
    assert [await may_act(api, other) for other in others] == [False, False]
    refreshed = await api.client.post("/v1/sessions/refresh", json={"refresh_token": others[0].refresh_token})
    assert refusal(refreshed) == (401, "invalid_refresh_token")
    assert (await change_of(api, holder, flow))["state"] == "cancelled"
    entered = await api.client.post("/v1/sessions", json={"method": "code", "challenge_id": login, "code": login_code})
    assert refusal(entered) == (409, "code_used")
    body = {"code": reset_code, "new_password": "another long passphrase"}
    assert refusal(await api.client.post(f"/v1/password-resets/{reset}/confirm", json=body)) == (409, "code_used")


@BOTH
async def test_second_change_of_a_credential_waits_a_day_and_that_of_the_other_does_not(api: Api, case: Case) -> None:
    with frozen() as clock:
        holder = await api.register(phone=PHONE)
        await completed(api, holder, case)
        assert refusal(await api.start(holder, case.credential)) == (409, "change_held")
        other = await api.start(holder, "phone" if case.credential == "email" else "email")
        assert other.status_code == 201
        clock.shift(timedelta(hours=23, minutes=59, seconds=59))
        holder = await renewed(api, holder)
        assert refusal(await api.start(holder, case.credential)) == (409, "change_held")
        clock.shift(timedelta(seconds=1))
        assert (await api.start(holder, case.credential)).status_code == 201
