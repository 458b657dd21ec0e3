"""Changing a credential whose current contact is lost: the other one proves, and the change waits."""

import asyncio
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

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
    undo,
)

PHONE, NEW_PHONE, NEW_EMAIL = "+8613800138000", "+8613900139000", "fresh@example.org"
WAIT = timedelta(hours=72)


async def prove_by_other(api: Api, holder: Holder, credential: str = "email", value: str = NEW_EMAIL) -> str:
    """A change up to the new value's code, proven by the other credential."""
    change = str((await api.start(holder, credential, "other")).json()["id"])
    prover = PHONE if credential == "email" else holder.email
    await api.step(holder, change, "verify-current", {"code": await api.code(prover)})
    await api.step(holder, change, "new-value", {"value": value})
    return change


async def waiting(api: Api, holder: Holder, credential: str = "email", value: str = NEW_EMAIL) -> str:
    change = await prove_by_other(api, holder, credential, value)
    answer = await api.step(holder, change, "confirm", {"code": await api.code(value)})
    assert answer.json()["state"] == "waiting", answer.text
    await api.deliver()
    return change


async def trail(api: Api, holder: Holder) -> list[dict[str, str | None]]:
    answer = await api.client.get("/v1/account/activity?limit=100", headers=holder.auth)
    items: list[dict[str, str | None]] = answer.json()["items"]
    return items


async def undo_tokens(api: Api, holder: Holder) -> list[str]:
    """Those that came with word of a changed email."""
    notices = await api.messages(holder.email, "credential_changed_old")
    return [one.params["token"] for one in notices if one.params["credential"] == "email"]


async def test_code_goes_to_the_other_contact_and_says_what_it_is_for(api: Api) -> None:
    holder = await api.register(phone=PHONE)
    change = (await api.start(holder, "email", "other")).json()
    assert (change["proof"], change["sent_to"]) == ("other", "+86*******8000")
    (message,) = await api.messages(PHONE, "change_other_code")
    assert message.params["credential"] == "email"
    assert not await api.messages(holder.email, "change_current_code")


@pytest.mark.parametrize(
    ("credential", "value", "masked"),
    [("email", NEW_EMAIL, "f***@example.org"), ("phone", NEW_PHONE, "+86*******9000")],
)
async def test_change_waits_three_days_and_the_old_contact_is_told(
    api: Api, credential: str, value: str, masked: str
) -> None:
    with frozen():
        holder = await api.register(phone=PHONE)
        change = await waiting(api, holder, credential, value)
        shown = await change_of(api, holder, change)
        assert (shown["state"], shown["new_value"]) == ("waiting", masked)
        assert shown["effective_at"] == shown["expires_at"]
        waits = datetime.fromisoformat(shown["effective_at"]) - datetime.fromisoformat(shown["created_at"])
        assert waits == WAIT
        old = holder.email if credential == "email" else PHONE
        (notice,) = await api.messages(old, "credential_change_waiting")
        assert notice.params["new"] == masked
        local = datetime.fromisoformat(shown["effective_at"]).astimezone(ZoneInfo("Asia/Shanghai"))
        assert notice.params["effective_at"] == f"{local:%Y-%m-%d %H:%M} (Asia/Shanghai)"
        assert notice.params["link"].endswith(f"#token={notice.params['token']}")
        assert not await api.messages(value, "credential_change_waiting")
        assert await may_log_in(api, old)
        assert not await may_log_in(api, value)


async def test_waiting_change_takes_effect_at_its_time_and_not_before(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register(phone=PHONE)
        other = await api.log_in(holder)
        change = await waiting(api, holder)
        clock.shift(WAIT - timedelta(seconds=1))
        assert await api.container.waiting.apply_due() == 0
        assert await may_log_in(api, holder.email)
        clock.shift(1)
        assert await api.container.waiting.apply_due() == 1
        holder = await renewed(api, holder)
        shown = await change_of(api, holder, change)
        assert (shown["state"], shown["expires_at"]) == ("completed", None)
        assert await may_log_in(api, NEW_EMAIL)
        assert not await may_log_in(api, holder.email)
        refreshed = await api.client.post("/v1/sessions/refresh", json={"refresh_token": other.refresh_token})
        assert refusal(refreshed) == (401, "invalid_refresh_token")
        assert len(await undo_tokens(api, holder)) == 1
        assert len(await api.messages(NEW_EMAIL, "credential_changed_new")) == 1
        newest = next(one for one in await trail(api, holder) if one["action"] == "email.changed")
        assert (newest["actor"], newest["ip"]) == ("system", None)


async def test_workers_that_come_at_once_apply_a_change_once(pg_api: Api) -> None:
    with frozen() as clock:
        holder = await pg_api.register(phone=PHONE)
        await waiting(pg_api, holder)
        clock.shift(WAIT)
        apply = pg_api.container.waiting.apply_due
        await asyncio.gather(*(apply() for _ in range(4)))
        assert await apply() == 0
        holder = await renewed(pg_api, holder)
        assert [one["action"] for one in await trail(pg_api, holder)].count("email.changed") == 1
        assert len(await undo_tokens(pg_api, holder)) == 1


@pytest.mark.settings(lost_contact_wait_hours=0)
async def test_change_without_a_waiting_period_is_applied_by_the_next_worker(api: Api) -> None:
    with frozen():
        holder = await api.register(phone=PHONE)
        change = await waiting(api, holder)
        assert await api.container.waiting.apply_due() == 1
        assert (await change_of(api, holder, change))["state"] == "completed"
        assert await may_log_in(api, NEW_EMAIL)


async def test_value_that_is_taken_already_does_not_wait(api: Api) -> None:
    await api.register(email=NEW_EMAIL)
    holder = await api.register(phone=PHONE)
    change = await prove_by_other(api, holder)
    answer = await api.step(holder, change, "confirm", {"code": await api.code(NEW_EMAIL)})
    assert refusal(answer) == (409, "email_taken")
    assert (await change_of(api, holder, change))["state"] == "propose"
    assert not await api.messages(holder.email, "credential_change_waiting")


async def test_value_that_was_taken_meanwhile_cancels_the_change_and_the_old_contact_is_told(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register(phone=PHONE)
        change = await waiting(api, holder)
        await api.register(email=NEW_EMAIL)
        clock.shift(WAIT)
        await api.container.waiting.apply_due()
        holder = await renewed(api, holder)
        assert (await change_of(api, holder, change))["state"] == "cancelled"
        assert len(await api.messages(holder.email, "credential_change_cancelled")) == 1
        assert not await api.messages(NEW_EMAIL, "credential_changed_new")
        assert await may_log_in(api, holder.email)
        assert await api.container.waiting.apply_due() == 0


async def test_password_that_was_changed_meanwhile_cancels_the_change(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register(phone=PHONE)
        change = await waiting(api, holder)
        body = {"current_password": PASSWORD, "new_password": "another long passphrase"}
        await api.client.put("/v1/account/password", json=body, headers=holder.auth)
        assert (await change_of(api, holder, change))["state"] == "cancelled"
        clock.shift(WAIT)
        assert await api.container.waiting.apply_due() == 0
        assert await may_log_in(api, holder.email, "another long passphrase")


async def test_account_that_was_suspended_meanwhile_keeps_its_login(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register(phone=PHONE)
        await waiting(api, holder)
        async with api.container.engine.begin() as connection:
            await connection.execute(text("UPDATE accounts SET status = 'suspended'"))
        clock.shift(WAIT)
        await api.container.waiting.apply_due()
        async with api.container.engine.begin() as connection:
            await connection.execute(text("UPDATE accounts SET status = 'active'"))
        assert await may_log_in(api, holder.email)
        assert not await may_log_in(api, NEW_EMAIL)


async def test_logging_out_does_not_stop_the_waiting(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register(phone=PHONE)
        change = await waiting(api, holder)
        await api.client.delete("/v1/sessions/current", headers=holder.auth)
        other = await api.log_in(holder)
        assert (await change_of(api, other, change))["state"] == "waiting"
        clock.shift(WAIT)
        await api.container.waiting.apply_due()
        assert await may_log_in(api, NEW_EMAIL)


@pytest.mark.parametrize("which", ["one", "all"])
async def test_session_that_another_one_ended_takes_its_waiting_change_along(api: Api, which: str) -> None:
    with frozen() as clock:
        holder = await api.register(phone=PHONE)
        other = await api.log_in(holder)
        change = await waiting(api, holder)
        url = "/v1/sessions" if which == "all" else f"/v1/sessions/{holder.session_id}"
        await api.client.delete(url, headers=other.auth)
        assert (await change_of(api, other, change))["state"] == "cancelled"
        clock.shift(WAIT)
        await api.container.waiting.apply_due()
        assert await may_log_in(api, holder.email)


async def test_waiting_change_is_the_one_open_change_of_its_credential(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register(phone=PHONE)
        change = await waiting(api, holder)
        clock.shift(timedelta(hours=1))  # longer than a flow lives
        holder = await renewed(api, holder)
        assert refusal(await api.start(holder)) == (409, "change_open")
        account = (await api.client.get("/v1/account", headers=holder.auth)).json()
        assert [(one["id"], one["state"]) for one in account["credential_changes"]] == [(change, "waiting")]


async def test_holder_may_cancel_a_waiting_change_from_any_session(api: Api) -> None:
    holder = await api.register(phone=PHONE)
    other = await api.log_in(holder)
    change = await waiting(api, holder)
    token = await api.token(holder.email)
    assert (await cancel(api, other, change)).status_code == 204
    (notice,) = await api.messages(holder.email, "credential_change_cancelled")
    assert notice.params == {"credential": "email", "old": "h***@example.com", "new": "f***@example.org"}
    assert await may_act(api, holder)
    assert refusal(await undo(api, token)) == (410, "reversal_expired")


async def test_old_contact_cancels_with_its_token_and_ends_the_session_that_asked(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register(phone=PHONE)
        other = await api.log_in(holder)
        change = await waiting(api, holder)
        token = await api.token(holder.email)
        clock.shift(WAIT - timedelta(seconds=1))
        answer = await undo(api, token)
        assert (answer.status_code, answer.json()) == (200, {"credential": "email", "outcome": "cancelled"})
        assert refusal(await undo(api, token)) == (410, "reversal_expired")
        refreshed = await api.client.post("/v1/sessions/refresh", json={"refresh_token": holder.refresh_token})
        assert refusal(refreshed) == (401, "invalid_refresh_token")
        other = await renewed(api, other)
        assert (await change_of(api, other, change))["state"] == "cancelled"
        assert len(await api.messages(holder.email, "credential_change_cancelled")) == 1
        clock.shift(WAIT)
        assert await api.container.waiting.apply_due() == 0
        assert await may_log_in(api, holder.email)  # the password stays: nothing had been changed


async def test_token_of_the_waiting_is_of_no_use_once_the_change_took_effect(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register(phone=PHONE)
        await waiting(api, holder)
        token = await api.token(holder.email)
        clock.shift(WAIT)
        await api.container.waiting.apply_due()
        assert refusal(await undo(api, token)) == (410, "reversal_expired")
        undone = await undo(api, await api.token(holder.email))
        assert undone.json() == {"credential": "email", "outcome": "undone"}


async def test_effect_of_a_waiting_change_holds_the_next_one_for_a_day(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register(phone=PHONE)
        await waiting(api, holder)
        clock.shift(WAIT)
        await api.container.waiting.apply_due()
        holder = await renewed(api, holder)
        assert refusal(await api.start(holder)) == (409, "change_held")
