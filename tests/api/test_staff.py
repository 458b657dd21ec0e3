"""What staff does to accounts: it takes effect at once, is told to whom it concerns, and stands in both trails."""

from typing import Any

import httpx
import pytest
from sqlalchemy import select

from app.core import ids
from app.core.scopes import Scope
from app.models.sessions import Session
from app.notifiers.templates import render
from tests.support.api import PASSWORD, Api, Holder, change_of, may_act, may_log_in, refusal
from tests.support.changes import NEW_EMAIL, proven
from tests.support.services import ServiceClient, client, feed, staff

Json = dict[str, Any]
WHY = "工单 4711：银行报告了欺诈"


async def set_status(desk: ServiceClient, account_id: str, status: str, **who: str) -> httpx.Response:
    return await desk.put(f"/accounts/{account_id}/status", {"status": status}, headers=staff(**who))


async def suspend(desk: ServiceClient, account_id: str) -> None:
    answer = await set_status(desk, account_id, "suspended")
    assert (answer.status_code, answer.json()["status"]) == (200, "suspended"), answer.text


async def restore(desk: ServiceClient, account_id: str) -> None:
    answer = await set_status(desk, account_id, "active")
    assert (answer.status_code, answer.json()["status"]) == (200, "active"), answer.text


async def switch(desk: ServiceClient, account_id: str, enabled: bool) -> httpx.Response:
    return await desk.put(f"/accounts/{account_id}/arbitrary-settlement", {"enabled": enabled}, headers=staff())


async def end_sessions(desk: ServiceClient, account_id: str) -> httpx.Response:
    return await desk.call("DELETE", f"/accounts/{account_id}/sessions", headers=staff())


async def close(api: Api, holder: Holder) -> None:
    answer = await api.client.post("/v1/account/closure", headers=holder.auth)
    assert answer.status_code == 204, answer.text


async def log_in(api: Api, body: Json) -> httpx.Response:
    return await api.client.post("/v1/sessions", json=body)


async def refresh(api: Api, holder: Holder) -> httpx.Response:
    return await api.client.post("/v1/sessions/refresh", json={"refresh_token": holder.refresh_token})


async def ask_code(api: Api, holder: Holder) -> Json:
    asked = await api.client.post("/v1/login-codes", json={"identifier": holder.username})
    return {"method": "code", "challenge_id": asked.json()["challenge_id"], "code": await api.code(holder.email)}


async def audit(desk: ServiceClient, account_id: str, **params: Any) -> Json:
    answer = await desk.get(f"/accounts/{account_id}/activity", **params)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def seen_by_holder(api: Api, holder: Holder) -> list[Json]:
    answer = await api.client.get("/v1/account/activity", headers=holder.auth)
    assert answer.status_code == 200, answer.text
    items: list[Json] = answer.json()["items"]
    return items


# --- Suspending and restoring ---------------------------------------------------------------------------------------


async def test_suspending_ends_every_session_at_once(api: Api) -> None:
    holder, desk = await api.register(), await client(api)
    other = await api.log_in(holder)

    await suspend(desk, holder.account_id)

    assert not await may_act(api, holder)
    assert not await may_act(api, other)
    assert refusal(await refresh(api, other)) == (401, "invalid_refresh_token")


async def test_a_suspended_holder_is_told_so_only_after_proving_who_it_is(api: Api) -> None:
    holder, desk = await api.register(), await client(api)
    await suspend(desk, holder.account_id)
    by_password = {"method": "password", "identifier": holder.username, "password": PASSWORD}

    assert refusal(await log_in(api, by_password)) == (403, "account_suspended")
    assert refusal(await log_in(api, by_password | {"password": "a guess"})) == (401, "invalid_credentials")
    assert refusal(await log_in(api, await ask_code(api, holder))) == (403, "account_suspended")


async def test_suspending_voids_the_codes_and_changes_that_are_open(api: Api) -> None:
    holder, desk = await api.register(), await client(api)
    code = await ask_code(api, holder)
    change = await proven(api, holder)
    reset = (await api.client.post("/v1/password-resets", json={"identifier": holder.username})).json()["id"]
    reset_code = await api.code(holder.email)

    await suspend(desk, holder.account_id)
    await restore(desk, holder.account_id)

    assert refusal(await log_in(api, code)) == (409, "code_used")
    body = {"code": reset_code, "new_password": "another long passphrase"}
    assert refusal(await api.client.post(f"/v1/password-resets/{reset}/confirm", json=body)) == (409, "code_used")
    again = await api.log_in(holder)
    assert (await change_of(api, again, change))["state"] == "cancelled"
    assert (await api.step(again, change, "new-value", {"value": NEW_EMAIL})).status_code == 409


async def test_restoring_lets_the_holder_log_in_again_but_no_old_session(api: Api) -> None:
    holder, desk = await api.register(), await client(api)
    await suspend(desk, holder.account_id)

    await restore(desk, holder.account_id)

    assert await may_log_in(api, holder.username)
    assert not await may_act(api, holder)
    assert refusal(await refresh(api, holder)) == (401, "invalid_refresh_token")


@pytest.mark.parametrize(
    ("locale", "suspended", "restored"),
    [
        ("zh-CN", "【观测云】账号已停用", "【观测云】账号已恢复"),
        ("en", "[Guance] Your account was suspended", "[Guance] Your account was restored"),
    ],
)
async def test_the_holder_is_told_by_mail_in_the_account_s_language(
    api: Api, locale: str, suspended: str, restored: str
) -> None:
    holder, desk = await api.register(locale=locale), await client(api)
    before = len(await api.messages(holder.email))

    await suspend(desk, holder.account_id)
    await restore(desk, holder.account_id)

    sent = (await api.messages(holder.email))[before:]
    texts = [render(one.template, one.locale, one.params) for one in sent]
    assert [text.subject for text in texts] == [suspended, restored]
    assert all(holder.username in text.email for text in texts)


@pytest.mark.parametrize("status", ["suspended", "active"])
async def test_what_is_so_already_changes_and_tells_nothing(api: Api, status: str) -> None:
    holder, desk = await api.register(), await client(api)
    first = (await set_status(desk, holder.account_id, status)).json()
    told, happened = len(await api.deliver()), len(await feed(desk))
    trail = await audit(desk, holder.account_id)

    again = await set_status(desk, holder.account_id, status)

    assert (again.status_code, again.json()) == (200, first)
    assert (len(await api.deliver()), len(await feed(desk))) == (told, happened)
    assert await audit(desk, holder.account_id) == trail


async def test_both_are_events(api: Api) -> None:
    holder, desk = await api.register(), await client(api)

    await suspend(desk, holder.account_id)
    await restore(desk, holder.account_id)

    told = [(event["type"], event["data"]) for event in (await feed(desk))[1:]]
    assert told == [
        ("account.suspended", {"account_id": holder.account_id}),
        ("account.restored", {"account_id": holder.account_id}),
    ]


# --- Arbitrary settlement, and ending sessions ----------------------------------------------------------------------


async def test_arbitrary_settlement_is_switched_on_and_off_and_the_holder_stays_in(api: Api) -> None:
    holder, desk = await api.register(), await client(api)

    states = [(await switch(desk, holder.account_id, on)).json()["arbitrary_settlement"] for on in (True, True, False)]

    assert states == [True, True, False]
    assert await may_act(api, holder)
    trail = (await audit(desk, holder.account_id))["items"]
    switched = [one for one in trail if one["action"] == "arbitrary_settlement.set"]
    assert [(one["old_value"], one["new_value"]) for one in switched] == [("on", "off"), ("off", "on")]


@pytest.mark.parametrize("enabled", ["true", 1, 0, None, "on"])
async def test_arbitrary_settlement_is_on_or_off_and_nothing_like_it(api: Api, enabled: Any) -> None:
    holder, desk = await api.register(), await client(api)

    assert refusal(await switch(desk, holder.account_id, enabled)) == (422, "validation_failed")


async def test_ending_all_sessions_ends_all_and_none_of_anybody_else(api: Api) -> None:
    holder, bystander, desk = await api.register(), await api.register(), await client(api)
    other = await api.log_in(holder)

    assert (await end_sessions(desk, holder.account_id)).status_code == 204

    assert not await may_act(api, holder)
    assert not await may_act(api, other)
    assert await may_act(api, bystander)
    assert await may_log_in(api, holder.username)
    async with api.container.engine.connect() as connection:
        ended = await connection.scalars(select(Session.end_reason).where(Session.end_reason.is_not(None)))
        assert list(ended) == ["ended_by_staff"] * 2


# --- Both trails ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "entry"),
    [
        ("status", ("account.suspended", "active", "suspended")),
        ("arbitrary-settlement", ("arbitrary_settlement.set", "off", "on")),
        ("sessions", ("sessions.ended", None, "1")),
    ],
)
async def test_each_act_stands_in_both_trails_with_who_and_why(
    api: Api, act: str, entry: tuple[str, str | None, str]
) -> None:
    holder, desk = await api.register(), await client(api, name="staff-console")
    who, url = staff(actor="韩梅梅", reason=WHY), f"/accounts/{holder.account_id}/{act}"
    bodies: dict[str, Json] = {"status": {"status": "suspended"}, "arbitrary-settlement": {"enabled": True}}

    done = await desk.call("DELETE" if act == "sessions" else "PUT", url, json=bodies.get(act), headers=who)

    assert done.is_success, done.text
    (audited,) = [one for one in (await audit(desk, holder.account_id))["items"] if one["actor"] == "staff"]
    assert (audited["action"], audited["old_value"], audited["new_value"]) == entry
    assert (audited["actor_name"], audited["reason"], audited["client"]) == ("韩梅梅", WHY, "staff-console")
    assert audited["request_id"] == done.headers["X-Request-Id"]
    if act == "status":
        await restore(desk, holder.account_id)
    seen = await seen_by_holder(api, await api.log_in(holder))
    (shown,) = [one for one in seen if one["id"] == audited["id"]]
    assert shown == {name: value for name, value in audited.items() if name != "client"}


@pytest.mark.parametrize(
    ("headers", "pointer"),
    [
        ({"X-Reason": b"Ticket 4711"}, "X-Actor"),
        ({"X-Actor": b"han.meimei"}, "X-Reason"),
        ({"X-Actor": b" ", "X-Reason": b"Ticket 4711"}, "X-Actor"),
        ({"X-Actor": b"han.meimei", "X-Reason": b"r" * 501}, "X-Reason"),
        ({"X-Actor": b"han\xff", "X-Reason": b"Ticket 4711"}, "X-Actor"),
        ({"X-Actor": b"han\xe2\x80\xaemei", "X-Reason": b"Ticket 4711"}, "X-Actor"),
    ],
    ids=["no actor", "no reason", "blank actor", "long reason", "not UTF-8", "turned direction"],
)
@pytest.mark.parametrize("act", ["status", "arbitrary-settlement", "sessions"])
async def test_without_who_and_why_staff_does_nothing(
    api: Api, act: str, headers: dict[str, bytes], pointer: str
) -> None:
    holder, desk = await api.register(), await client(api)
    body = {"status": {"status": "suspended"}, "arbitrary-settlement": {"enabled": True}}.get(act)
    method = "DELETE" if act == "sessions" else "PUT"

    answer = await desk.call(method, f"/accounts/{holder.account_id}/{act}", json=body, headers=headers)

    assert refusal(answer) == (422, "validation_failed")
    assert [one["pointer"].lower() for one in answer.json()["errors"]] == [pointer.lower()]
    assert await may_act(api, holder)


async def test_the_audit_is_read_page_by_page_newest_first(api: Api) -> None:
    holder, desk = await api.register(), await client(api)
    for on in (True, False, True, False):
        await switch(desk, holder.account_id, on)
    whole = (await audit(desk, holder.account_id))["items"]

    paged: list[Json] = []
    cursor: dict[str, str] = {}
    while True:
        page = await audit(desk, holder.account_id, limit=2, **cursor)
        paged += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}

    assert paged == whole
    assert [one["action"] for one in whole] == ["arbitrary_settlement.set"] * 4 + ["account.registered"]


async def test_a_cursor_of_another_account_or_client_is_refused(api: Api) -> None:
    one, other, desk = await api.register(), await api.register(), await client(api)
    await switch(desk, one.account_id, True)
    cursor = (await audit(desk, one.account_id, limit=1))["next_cursor"]

    for service, account_id in ((desk, other.account_id), (await client(api), one.account_id)):
        answer = await service.get(f"/accounts/{account_id}/activity", cursor=cursor)
        assert refusal(answer) == (422, "validation_failed")


async def test_the_holder_s_own_acts_are_audited_too(api: Api) -> None:
    holder, desk = await api.register(), await client(api, Scope.STAFF_AUDIT)

    (entry,) = (await audit(desk, holder.account_id))["items"]

    assert (entry["action"], entry["actor"], entry["client"]) == ("account.registered", "holder", None)


# --- Accounts that are not there ------------------------------------------------------------------------------------


@pytest.mark.parametrize("account_id", [ids.show(ids.ACCOUNT, ids.new()), "acnt_1", "clnt_" + "0" * 32])
async def test_an_account_that_nobody_has_is_not_found(api: Api, account_id: str) -> None:
    desk = await client(api)
    answers = [
        await set_status(desk, account_id, "suspended"),
        await switch(desk, account_id, True),
        await end_sessions(desk, account_id),
        await desk.get(f"/accounts/{account_id}/activity"),
    ]

    assert {refusal(answer) for answer in answers} == {(404, "not_found")}


async def test_nothing_can_be_done_to_a_closed_account_but_its_trail_is_read(api: Api) -> None:
    holder, desk = await api.register(), await client(api)
    await close(api, holder)
    answers = [
        await set_status(desk, holder.account_id, "suspended"),
        await set_status(desk, holder.account_id, "active"),
        await switch(desk, holder.account_id, True),
        await end_sessions(desk, holder.account_id),
    ]

    assert {refusal(answer) for answer in answers} == {(409, "account_closed")}
    trail = (await audit(desk, holder.account_id))["items"]
    assert [one["action"] for one in trail] == ["account.closed", "account.registered"]
