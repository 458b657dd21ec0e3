"""The activity trail: what is in it, from where, masked, and in which order it is read."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import time_machine

from app.core.clock import now
from tests.support.api import PASSWORD, Api, Holder, calling_from

PHONE = "+8613800138000"
NEW = "another long passphrase"
Entry = dict[str, Any]
Act = Callable[[Api, Holder], Awaitable[Any]]


async def page(api: Api, holder: Holder, **parameters: Any) -> dict[str, Any]:
    answer = await api.client.get("/v1/account/activity", params=parameters, headers=holder.auth)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def trail(api: Api, holder: Holder) -> list[Entry]:
    entries: list[Entry] = (await page(api, holder, limit=100))["items"]
    return entries


# What somebody does. Each gets the service and a holder whose trail is looked at afterwards.


async def log_in_by_password(api: Api, holder: Holder) -> None:
    await api.log_in(holder)


async def log_in_by_code(api: Api, holder: Holder) -> None:
    asked = await api.client.post("/v1/login-codes", json={"identifier": holder.username})
    body = {"method": "code", "challenge_id": asked.json()["challenge_id"], "code": await api.code(holder.email)}
    assert (await api.client.post("/v1/sessions", json=body)).status_code == 201


async def fail_to_log_in(api: Api, holder: Holder) -> None:
    body = {"method": "password", "identifier": holder.username, "password": "a guess"}
    await api.client.post("/v1/sessions", json=body)


async def log_out_elsewhere(api: Api, holder: Holder) -> None:
    elsewhere = await api.log_in(holder)
    await api.client.delete(f"/v1/sessions/{elsewhere.session_id}", headers=holder.auth)


async def log_out_everywhere_else(api: Api, holder: Holder) -> None:
    await api.client.delete("/v1/sessions", headers=holder.auth)


async def use_a_refresh_token_twice(api: Api, holder: Holder) -> None:
    stolen = await api.log_in(holder)
    with time_machine.travel(now(), tick=False) as clock:
        for _ in range(2):
            await api.client.post("/v1/sessions/refresh", json={"refresh_token": stolen.refresh_token})
            clock.shift(60)


async def edit_profile(api: Api, holder: Holder) -> None:
    headers = {**holder.auth, "If-Match": "*"}
    body = {"company_name": "Contoso", "contact_name": "Han Meimei"}
    assert (await api.client.patch("/v1/account/profile", json=body, headers=headers)).status_code == 200


async def change_email(api: Api, holder: Holder) -> None:
    assert (await api.change_email(holder, "new@example.org")).json()["state"] == "completed"


async def change_phone(api: Api, holder: Holder) -> None:
    change = await api.reach_confirm(holder, "+8613900139000", credential="phone", proves=PHONE)
    await api.step(holder, change, "confirm", {"code": await api.code("+8613900139000")})


async def cancel_a_change(api: Api, holder: Holder) -> None:
    change = (await api.start(holder)).json()["id"]
    await api.client.delete(f"/v1/account/credential-changes/{change}", headers=holder.auth)


async def let_a_change_wait(api: Api, holder: Holder) -> str:
    change = str((await api.start(holder, proof="other")).json()["id"])
    await api.step(holder, change, "verify-current", {"code": await api.code(PHONE)})
    await api.step(holder, change, "new-value", {"value": "new@example.org"})
    waiting = await api.step(holder, change, "confirm", {"code": await api.code("new@example.org")})
    assert waiting.json()["state"] == "waiting"
    return change


async def change_password(api: Api, holder: Holder) -> None:
    body = {"current_password": PASSWORD, "new_password": NEW}
    await api.client.put("/v1/account/password", json=body, headers=holder.auth)


async def reset_password(api: Api, holder: Holder) -> None:
    reset = (await api.client.post("/v1/password-resets", json={"identifier": holder.username})).json()["id"]
    body = {"code": await api.code(holder.email), "new_password": NEW}
    assert (await api.client.post(f"/v1/password-resets/{reset}/confirm", json=body)).status_code == 204


OLD_EMAIL, NEW_EMAIL = "h***@example.com", "n***@example.org"
OLD_PHONE, NEW_PHONE = "+86*******8000", "+86*******9000"
Left = tuple[str, str | None, str | None]  # who did it, the old and the new value
LEFT: list[tuple[Act, str, Left]] = [
    (log_in_by_password, "session.started", ("holder", None, "password")),
    (log_in_by_code, "session.started", ("holder", None, "code")),
    (fail_to_log_in, "session.failed", ("unknown", None, None)),
    (log_out_elsewhere, "session.ended", ("holder", None, None)),
    (log_out_everywhere_else, "session.others_ended", ("holder", None, None)),
    (use_a_refresh_token_twice, "session.token_reused", ("unknown", None, None)),
    (
        edit_profile,
        "profile.edited",
        (
            "holder",
            '{"company_name": "Northwind Trading", "contact_name": null}',
            '{"company_name": "Contoso", "contact_name": "H***"}',
        ),
    ),
    (cancel_a_change, "credential_change.started", ("holder", OLD_EMAIL, None)),
    (cancel_a_change, "credential_change.cancelled", ("holder", OLD_EMAIL, None)),
    (change_email, "credential_change.proven", ("holder", OLD_EMAIL, None)),
    (change_email, "email.changed", ("holder", OLD_EMAIL, NEW_EMAIL)),
    (change_phone, "phone.changed", ("holder", OLD_PHONE, NEW_PHONE)),
    (let_a_change_wait, "credential_change.waiting", ("holder", OLD_EMAIL, NEW_EMAIL)),
    (change_password, "password.changed", ("holder", None, None)),
]


@pytest.mark.parametrize(
    ("act", "action", "left"), [pytest.param(*row, id=f"{row[0].__name__}-{row[1]}") for row in LEFT]
)
async def test_an_act_leaves_one_entry(api: Api, act: Act, action: str, left: Left) -> None:
    holder = await api.register(phone=PHONE)
    before = await trail(api, holder)
    await act(api, holder)
    entries = [one for one in (await trail(api, holder))[: -len(before)] if one["action"] == action]

    assert [(one["actor"], one["old_value"], one["new_value"]) for one in entries] == [left]


async def test_registering_is_the_first_entry(api: Api) -> None:
    holder = await api.register()
    (entry,) = await trail(api, holder)

    assert (entry["action"], entry["actor"], entry["session_id"]) == ("account.registered", "holder", holder.session_id)


async def test_a_first_password_leaves_an_entry(api: Api) -> None:
    holder = await api.register(password=None)
    asked = await api.client.post("/v1/account/password-codes", json={}, headers=holder.auth)
    code = await api.code(holder.email)
    body = {"challenge_id": asked.json()["challenge_id"], "code": code, "new_password": NEW}
    await api.client.put("/v1/account/password", json=body, headers=holder.auth)

    assert [one["action"] for one in await trail(api, holder)] == ["password.set", "account.registered"]


async def test_a_reset_leaves_an_entry(api: Api) -> None:
    holder = await api.register()
    await reset_password(api, holder)
    entries = await trail(api, await api.log_in(holder, password=NEW))

    assert [one["action"] for one in entries] == ["session.started", "password.reset", "account.registered"]


async def test_an_undone_change_leaves_an_entry_from_the_new_value_back_to_the_old(api: Api) -> None:
    holder = await api.register()
    await change_email(api, holder)
    await api.client.post("/v1/credential-change-reversals", json={"token": await api.token(holder.email)})
    await reset_password(api, holder)
    entries = await trail(api, await api.log_in(holder, password=NEW))
    (undone,) = [one for one in entries if one["action"] == "credential_change.undone"]

    assert (undone["old_value"], undone["new_value"], undone["session_id"]) == (NEW_EMAIL, OLD_EMAIL, None)


async def test_what_the_clock_does_is_the_system_s_act_from_nowhere(api: Api) -> None:
    holder = await api.register(phone=PHONE)
    await let_a_change_wait(api, holder)
    with time_machine.travel(now() + timedelta(hours=73)):
        await api.container.waiting.apply_due()
        entries = await trail(api, await api.log_in(holder))
    (changed,) = [one for one in entries if one["action"] == "email.changed"]

    assert (changed["actor"], changed["old_value"], changed["new_value"]) == ("system", OLD_EMAIL, NEW_EMAIL)
    assert [changed[name] for name in ("ip", "user_agent", "request_id", "session_id")] == [None] * 4


# From where


async def test_an_entry_says_from_where_with_what_and_in_which_call(api: Api) -> None:
    holder = await api.register()
    async with calling_from(api, "203.0.113.9") as elsewhere:
        elsewhere.client.headers.update({"User-Agent": "Browser/1.0 (\u001bevil)", "X-Request-Id": "call-4711"})
        there = await elsewhere.log_in(holder)
    entry = (await trail(api, holder))[0]

    assert (entry["ip"], entry["request_id"], entry["session_id"]) == ("203.0.113.9", "call-4711", there.session_id)
    assert entry["user_agent"] == "Browser/1.0 (evil)"


async def test_a_failed_login_belongs_to_no_session(api: Api) -> None:
    holder = await api.register()
    async with calling_from(api, "203.0.113.9") as stranger:
        await fail_to_log_in(stranger, holder)
    entry = (await trail(api, holder))[0]

    assert (entry["action"], entry["ip"], entry["session_id"]) == ("session.failed", "203.0.113.9", None)


async def test_an_ended_session_is_named(api: Api) -> None:
    holder = await api.register()
    elsewhere = await api.log_in(holder)
    await api.client.delete(f"/v1/sessions/{elsewhere.session_id}", headers=holder.auth)

    assert (await trail(api, holder))[0]["session_id"] == elsewhere.session_id


async def test_contacts_are_masked_in_the_whole_trail(api: Api) -> None:
    holder = await api.register(phone=PHONE)
    await change_phone(api, holder)
    await change_email(api, holder)
    text = (await api.client.get("/v1/account/activity?limit=100", headers=holder.auth)).text

    for secret in (holder.email, "new@example.org", PHONE, "+8613900139000", "138001380", "139001390"):
        assert secret not in text


# Reading


async def edit_often(api: Api, holder: Holder, times: int) -> None:
    for number in range(times):
        body, headers = {"company_name": f"Contoso {number}"}, {**holder.auth, "If-Match": "*"}
        assert (await api.client.patch("/v1/account/profile", json=body, headers=headers)).status_code == 200


async def read_pages(api: Api, holder: Holder, limit: int) -> list[list[Entry]]:
    pages: list[list[Entry]] = []
    cursor: dict[str, str] = {}
    while True:
        found = await page(api, holder, limit=limit, **cursor)
        pages.append(found["items"])
        if found["next_cursor"] is None:
            return pages
        cursor = {"cursor": found["next_cursor"]}


@pytest.mark.parametrize(("limit", "sizes"), [(5, [5, 5, 5, 5, 5]), (7, [7, 7, 7, 4]), (24, [24, 1]), (100, [25])])
async def test_the_pages_together_are_the_trail_newest_first(api: Api, limit: int, sizes: list[int]) -> None:
    holder = await api.register()
    await edit_often(api, holder, 24)
    pages = await read_pages(api, holder, limit)
    entries = [one for items in pages for one in items]

    assert [len(items) for items in pages] == sizes
    assert entries == await trail(api, holder)
    assert [one["new_value"] for one in entries[:-1]] == [
        f'{{"company_name": "Contoso {n}"}}' for n in range(23, -1, -1)
    ]
    assert [one["created_at"] for one in entries] == sorted((one["created_at"] for one in entries), reverse=True)


async def test_a_page_has_twenty_entries_unless_told_otherwise(api: Api) -> None:
    holder = await api.register()
    await edit_often(api, holder, 24)

    assert len((await page(api, holder))["items"]) == 20


async def test_what_happens_meanwhile_does_not_move_the_pages_that_follow(api: Api) -> None:
    holder = await api.register()
    await edit_often(api, holder, 6)
    before = await trail(api, holder)
    first = await page(api, holder, limit=3)
    await edit_often(api, holder, 5)
    second = await page(api, holder, limit=100, cursor=first["next_cursor"])

    assert first["items"] + second["items"] == before


async def test_a_holder_sees_only_the_own_trail(api: Api) -> None:
    holder, other = await api.register(), await api.register()
    await edit_often(api, other, 3)

    assert [one["action"] for one in await trail(api, holder)] == ["account.registered"]


async def refused(api: Api, holder: Holder, **parameters: Any) -> list[tuple[str, str]]:
    answer: httpx.Response = await api.client.get("/v1/account/activity", params=parameters, headers=holder.auth)
    assert answer.status_code == 422, answer.text
    return [(one["pointer"], one["code"]) for one in answer.json()["errors"]]


async def test_the_cursor_of_another_reader_is_refused(api: Api) -> None:
    holder, other = await api.register(), await api.register()
    await edit_often(api, other, 3)
    theirs = (await page(api, other, limit=2))["next_cursor"]

    assert await refused(api, holder, cursor=theirs) == [("cursor", "invalid_cursor")]


async def test_the_cursor_of_another_list_is_refused(api: Api) -> None:
    holder = await api.register()
    await api.log_in(holder)
    sessions = await api.client.get("/v1/sessions?limit=1", headers=holder.auth)

    assert await refused(api, holder, cursor=sessions.json()["next_cursor"]) == [("cursor", "invalid_cursor")]


@pytest.mark.parametrize("parameters", [{"limit": 0}, {"limit": 101}, {"cursor": "x"}, {"page": 2}])
async def test_what_names_no_page_is_refused_by_its_parameter(api: Api, parameters: dict[str, Any]) -> None:
    assert [pointer for pointer, _ in await refused(api, await api.register(), **parameters)] == list(parameters)
