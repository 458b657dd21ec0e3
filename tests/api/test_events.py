"""Events: which act writes which, what they look like, and what they keep quiet about."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, get_args
from urllib.parse import urlsplit

import httpx
import pytest
import time_machine
from sqlalchemy import text

from app.api.schemas.events import EventType as Shown
from app.core.clock import now
from app.models.events import EventType
from tests.support.api import PASSWORD, Api, Holder, cancel, undo, wrong
from tests.support.changes import NEW_EMAIL, NEW_PHONE, PHONE, PHONE_CASE, completed
from tests.support.services import ServiceClient, client, feed, spread, staff

NEW = "another long passphrase"
HASH = "$2b$12$C6UzMDM.H6dfI/f/IKcEeO7J9GkP0gD8qyJv7lWzqf1n1m5s0ZQ3K"
EDIT = {"company_name": "Contoso Metering", "contact_name": "Han Meimei", "company_description": "Meters and more"}
Told = list[tuple[str, dict[str, Any]]]
Act = Callable[[Api, ServiceClient], Awaitable[Any]]

CREATED = ("account.created", {"email": "h***@example.com", "phone": None})
EMAIL_CHANGED = ("account.email_changed", {"old": "h***@example.com", "new": "f***@example.org"})
EMAIL_BACK = ("account.email_changed", {"old": "f***@example.org", "new": "h***@example.com"})
FIRST_PHONE = ("account.phone_changed", {"old": None, "new": "+86*******8000"})
PHONE_CHANGED = ("account.phone_changed", {"old": "+86*******8000", "new": "+86*******9000"})
PASSWORD_CHANGED: tuple[str, dict[str, Any]] = ("account.password_changed", {})
SUSPENDED: tuple[str, dict[str, Any]] = ("account.suspended", {})
RESTORED: tuple[str, dict[str, Any]] = ("account.restored", {})
CLOSED: tuple[str, dict[str, Any]] = ("account.closed", {})


def updated(*changed: str) -> tuple[str, dict[str, Any]]:
    return ("account.profile_updated", {"changed": list(changed)})


# --- Which act writes which -----------------------------------------------------------------------------------------


async def edit(api: Api, holder: Holder, **values: str | None) -> httpx.Response:
    headers = {**holder.auth, "If-Match": "*"}
    return await api.client.patch("/v1/account/profile", json=values, headers=headers)


async def change_password(api: Api, holder: Holder, current: str = PASSWORD, new: str = NEW) -> httpx.Response:
    body = {"current_password": current, "new_password": new}
    return await api.client.put("/v1/account/password", json=body, headers=holder.auth)


async def set_status(service: ServiceClient, holder: Holder, status: str) -> httpx.Response:
    return await service.put(f"/accounts/{holder.account_id}/status", {"status": status}, headers=staff())


async def close(api: Api, holder: Holder) -> httpx.Response:
    return await api.client.post("/v1/account/closure", headers=holder.auth)


async def create(service: ServiceClient, **members: Any) -> httpx.Response:
    body = {"username": "handed-over", "email": "handed@example.com", "company_name": "Northwind Trading"}
    return await service.post("/accounts", body | members)


async def lose_email(api: Api) -> tuple[Holder, str]:
    """A change proven by the phone, up to its wait."""
    holder = await api.register(phone=PHONE)
    change = str((await api.start(holder, "email", "other")).json()["id"])
    await api.step(holder, change, "verify-current", {"code": await api.code(PHONE)})
    await api.step(holder, change, "new-value", {"value": NEW_EMAIL})
    answer = await api.step(holder, change, "confirm", {"code": await api.code(NEW_EMAIL)})
    assert answer.json()["state"] == "waiting", answer.text
    return holder, change


async def registers(api: Api, _: ServiceClient) -> None:
    await api.register()


async def registers_with_a_phone(api: Api, _: ServiceClient) -> None:
    await api.register(phone=PHONE)


async def is_handed_over(_: Api, service: ServiceClient) -> None:
    created = await create(service, phone=PHONE, reference="r1", password=PASSWORD)
    again = await create(service, phone=PHONE, reference="r1", password=PASSWORD)
    assert (created.status_code, again.status_code) == (201, 200)


async def edits_one_member(api: Api, _: ServiceClient) -> None:
    assert (await edit(api, await api.register(), industry="I")).status_code == 200


async def edits_some_to_what_they_are(api: Api, _: ServiceClient) -> None:
    holder = await api.register(contact_name="Li Lei")
    assert (await edit(api, holder, contact_name=None, company_name="Northwind Trading")).status_code == 200


async def edits_several(api: Api, _: ServiceClient) -> None:
    assert (await edit(api, await api.register(), **EDIT)).status_code == 200


async def changes_email(api: Api, _: ServiceClient) -> None:
    assert (await api.change_email(await api.register(), NEW_EMAIL)).status_code == 200


async def changes_phone(api: Api, _: ServiceClient) -> None:
    await completed(api, await api.register(phone=PHONE), PHONE_CASE)


async def undoes_a_changed_email(api: Api, _: ServiceClient) -> None:
    holder = await api.register()
    await api.change_email(holder, NEW_EMAIL)
    token = await api.token(holder.email)
    assert [(await undo(api, token)).status_code for _ in range(2)] == [200, 410]


async def waits_for_a_lost_email(api: Api, _: ServiceClient) -> None:
    await lose_email(api)
    with time_machine.travel(now() + timedelta(hours=73)):
        await api.container.waiting.apply_due()
        await api.container.waiting.apply_due()


async def sets_a_first_password(api: Api, _: ServiceClient) -> None:
    holder = await api.register(password=None)
    asked = await api.client.post("/v1/account/password-codes", json={"credential": "email"}, headers=holder.auth)
    body = {"challenge_id": asked.json()["challenge_id"], "code": await api.code(holder.email), "new_password": NEW}
    answers = [await api.client.put("/v1/account/password", json=body, headers=holder.auth) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 409]


async def changes_the_password(api: Api, _: ServiceClient) -> None:
    assert (await change_password(api, await api.register())).status_code == 204


async def resets_the_password(api: Api, _: ServiceClient) -> None:
    holder = await api.register()
    asked = await api.client.post("/v1/password-resets", json={"identifier": holder.email})
    body = {"code": await api.code(holder.email), "new_password": NEW}
    answer = await api.client.post(f"/v1/password-resets/{asked.json()['id']}/confirm", json=body)
    assert answer.status_code == 204, answer.text


async def is_suspended_and_restored(api: Api, service: ServiceClient) -> None:
    holder = await api.register()
    for status in ("suspended", "suspended", "active", "active"):
        assert (await set_status(service, holder, status)).status_code == 200


async def closes(api: Api, _: ServiceClient) -> None:
    holder = await api.register()
    assert [(await close(api, holder)).status_code for _ in range(2)] == [204, 401]


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (registers, [CREATED]),
        (registers_with_a_phone, [CREATED, FIRST_PHONE]),
        (is_handed_over, [("account.created", {"email": "h***@example.com", "phone": "+86*******8000"})]),
        (edits_one_member, [CREATED, updated("industry")]),
        (edits_some_to_what_they_are, [CREATED, updated("contact_name")]),
        (edits_several, [CREATED, updated("company_description", "company_name", "contact_name")]),
        (changes_email, [CREATED, EMAIL_CHANGED]),
        (changes_phone, [CREATED, FIRST_PHONE, PHONE_CHANGED]),
        (undoes_a_changed_email, [CREATED, EMAIL_CHANGED, EMAIL_BACK]),
        (waits_for_a_lost_email, [CREATED, FIRST_PHONE, EMAIL_CHANGED]),
        (sets_a_first_password, [CREATED, PASSWORD_CHANGED]),
        (changes_the_password, [CREATED, PASSWORD_CHANGED]),
        (resets_the_password, [CREATED, PASSWORD_CHANGED]),
        (is_suspended_and_restored, [CREATED, SUSPENDED, RESTORED]),
        (closes, [CREATED, CLOSED]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
async def test_every_act_is_told_of_once(api: Api, act: Act, told: Told) -> None:
    service = await client(api)

    await act(api, service)

    events = await feed(service)
    (account_id,) = {event["subject"] for event in events}
    assert [(event["type"], event["data"]) for event in events] == [
        (kind, {"account_id": account_id, **data}) for kind, data in told
    ]


async def takes_a_taken_email(api: Api, service: ServiceClient, holder: Holder) -> list[httpx.Response]:
    """Somebody else got it between the new value and its code."""
    change = await api.reach_confirm(holder, "handed@example.com", proves=holder.email)
    code = await api.code("handed@example.com")
    body = {"username": "latecomer", "email": "handed@example.com", "company_name": "Northwind Trading"}
    registration = (await api.client.post("/v1/registrations", json=body)).json()["id"]
    registering = await api.code("handed@example.com")
    assert (await create(service)).status_code == 201
    return [
        await api.step(holder, change, "confirm", {"code": code}),
        await api.client.post(f"/v1/registrations/{registration}/confirm", json={"code": registering}),
        await create(service, username="third"),
    ]


async def types_wrong_codes(api: Api, _: ServiceClient, holder: Holder) -> list[httpx.Response]:
    body = {"username": "latecomer", "email": "late@example.com", "company_name": "Northwind Trading"}
    registration = (await api.client.post("/v1/registrations", json=body)).json()["id"]
    change = await api.reach_confirm(holder, NEW_EMAIL, proves=holder.email)
    asked = (await api.client.post("/v1/password-resets", json={"identifier": holder.email})).json()["id"]
    reset = {"code": wrong(await api.code(holder.email)), "new_password": NEW}
    late, new = wrong(await api.code("late@example.com")), wrong(await api.code(NEW_EMAIL))
    return [
        await api.client.post(f"/v1/registrations/{registration}/confirm", json={"code": late}),
        await api.step(holder, change, "confirm", {"code": new}),
        await api.client.post(f"/v1/password-resets/{asked}/confirm", json=reset),
        await undo(api, "x" * 43),
    ]


async def types_wrong_or_weak_passwords(api: Api, _: ServiceClient, holder: Holder) -> list[httpx.Response]:
    return [
        await change_password(api, holder, current=NEW),
        await change_password(api, holder, new=PASSWORD),
        await change_password(api, holder, new="password"),
    ]


async def edits_a_stale_profile(api: Api, _: ServiceClient, holder: Holder) -> list[httpx.Response]:
    headers = {**holder.auth, "If-Match": '"99"'}
    return [await api.client.patch("/v1/account/profile", json=EDIT, headers=headers)]


async def closes_with_a_workspace(api: Api, service: ServiceClient, holder: Holder) -> list[httpx.Response]:
    workspace = {"account_id": holder.account_id, "site": "cn1", "name": "Production"}
    assert (await service.put("/workspaces/wksp_1", workspace)).status_code == 201
    return [await close(api, holder)]


@pytest.mark.parametrize(
    "act",
    [
        takes_a_taken_email,
        types_wrong_codes,
        types_wrong_or_weak_passwords,
        edits_a_stale_profile,
        closes_with_a_workspace,
    ],
    ids=lambda act: str(act.__name__),
)
async def test_nothing_is_told_of_what_was_refused(
    api: Api, act: Callable[[Api, ServiceClient, Holder], Awaitable[list[httpx.Response]]]
) -> None:
    service, holder = await client(api), await api.register()

    answers = await act(api, service, holder)

    assert all(400 <= answer.status_code < 500 for answer in answers), [answer.text for answer in answers]
    assert {event["type"] for event in await feed(service)} == {"account.created"}


async def test_nothing_is_told_of_what_changed_nothing(api: Api) -> None:
    service = await client(api)
    holder, change = await lose_email(api)
    before = await feed(service)

    answers = [
        await edit(api, holder, company_name="Northwind Trading", contact_name=None),
        await set_status(service, holder, "active"),
        await cancel(api, holder, change),
        await service.put(f"/accounts/{holder.account_id}/arbitrary-settlement", {"enabled": True}, headers=staff()),
        await service.call("DELETE", f"/accounts/{holder.account_id}/sessions", headers=staff()),
    ]
    await api.log_in(holder)

    assert all(answer.is_success for answer in answers), [answer.text for answer in answers]
    assert await feed(service) == before


@asynccontextmanager
async def refusing(api: Api, table: str) -> AsyncIterator[None]:
    """The database takes no row into the table meanwhile."""
    on_sqlite = api.settings.uses_sqlite
    refuse = f"CREATE TRIGGER refuse BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'refused'); END"
    forget = "DROP TRIGGER refuse"
    if not on_sqlite:
        refuse = f"ALTER TABLE {table} ADD CONSTRAINT refuse CHECK (false) NOT VALID"
        forget = f"ALTER TABLE {table} DROP CONSTRAINT refuse"
    async with api.container.engine.begin() as connection:
        await connection.execute(text(refuse))
    try:
        yield
    finally:
        async with api.container.engine.begin() as connection:
            await connection.execute(text(forget))


@pytest.mark.parametrize("table", ["events", "outbox_messages"])
async def test_an_act_and_its_event_stand_or_fall_together(api: Api, table: str) -> None:
    service, holder = await client(api), await api.register()
    await api.deliver()

    async with refusing(api, table):
        assert (await set_status(service, holder, "suspended")).status_code == 500

    account = await service.get(f"/accounts/{holder.account_id}")
    assert account.json()["status"] == "active"
    assert len(await api.messages(holder.email, "account_suspended")) == 0
    assert [event["type"] for event in await feed(service)] == ["account.created"]


@pytest.mark.settings(webhook_allowed_networks=["127.0.0.0/8"])
async def test_a_paused_endpoint_is_told_of_under_its_own_name(api: Api) -> None:
    service = await client(api)

    async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(gone, "127.0.0.1", 0) as receiver:
        url = f"http://127.0.0.1:{receiver.sockets[0].getsockname()[1]}/hook"
        endpoint = (await service.post("/webhook-endpoints", {"url": url})).json()["id"]
        await api.register()
        await api.register()
        await spread(api)
        await api.container.webhook_worker.deliver_due()
        await api.container.webhook_worker.settled()

    *_, paused = await feed(service)
    assert (paused["type"], paused["subject"]) == ("webhook_endpoint.paused", endpoint)
    assert paused["data"] == {"endpoint_id": endpoint, "reason": "gone"}
    assert [event["type"] for event in await feed(service)].count("webhook_endpoint.paused") == 1


def test_the_document_lists_the_types_that_there_are() -> None:
    assert list(get_args(Shown)) == [str(kind) for kind in EventType]


# --- What they look like --------------------------------------------------------------------------------------------


async def tour(api: Api, service: ServiceClient) -> tuple[list[dict[str, Any]], set[str]]:
    """All that may happen to an account; the events of it, and everything that was typed or sent meanwhile."""
    holder = await api.register(phone=PHONE, contact_name="Li Lei")
    await edit(api, holder, **EDIT)
    await completed(api, holder, PHONE_CASE)
    await api.change_email(holder, NEW_EMAIL)
    await undo(api, await api.token(holder.email))
    asked = await api.client.post("/v1/password-resets", json={"identifier": holder.email})
    body = {"code": await api.code(holder.email), "new_password": NEW}
    await api.client.post(f"/v1/password-resets/{asked.json()['id']}/confirm", json=body)
    holder.password = NEW
    handed = (await create(service, password_hash=HASH, phone="+8613700137000")).json()
    handed_over = Holder(handed["id"], "", "", "", "handed-over", handed["email"], None)
    await set_status(service, handed_over, "suspended")
    await set_status(service, handed_over, "active")
    with time_machine.travel(now() + timedelta(hours=25)):
        again = await api.log_in(holder)
        assert (await close(api, again)).status_code == 204
    sent = {value for one in await api.deliver() for name, value in one.params.items() if name in ("code", "token")}
    typed = {PASSWORD, NEW, HASH, holder.username, holder.email, handed["email"], NEW_EMAIL, PHONE, NEW_PHONE}
    typed |= {PHONE[3:], NEW_PHONE[3:], "13700137000", "Li Lei", "handed-over", "Northwind", *EDIT.values()}
    return await feed(service), typed | sent


async def test_what_was_typed_or_sent_stands_in_no_event(api: Api) -> None:
    events, secret = await tour(api, await client(api))

    others = ("real_name.", "webhook_endpoint.", "cloud_account.", "workspace.")  # their own tests look at these
    elsewhere = {kind for kind in EventType if kind.startswith(others)}
    assert {event["type"] for event in events} == set(EventType) - elsewhere
    hashes = await stored_hashes(api)
    for event in events:
        told = json.dumps({name: value for name, value in event["data"].items() if name != "account_id"})
        assert [one for one in secret | hashes if one in told] == [], event


async def stored_hashes(api: Api) -> set[str]:
    async with api.container.engine.connect() as connection:
        found = await connection.execute(text("SELECT password_hash FROM accounts WHERE password_hash IS NOT NULL"))
        return set(found.scalars())


async def test_events_are_cloudevents(api: Api) -> None:
    events, _ = await tour(api, await client(api))

    for event in events:
        assert {"specversion", "id", "source", "type"} <= event.keys()
        assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in event)
        assert all(isinstance(value, str) and value for name, value in event.items() if name != "data")
        assert (event["specversion"], event["datacontenttype"]) == ("1.0", "application/json")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"])
        assert abs(datetime.fromisoformat(event["time"]) - now()) < timedelta(days=2)
        assert urlsplit(event["source"]).scheme
        assert re.fullmatch("evnt_[0-9a-f]{32}", event["id"])
        assert event["data"]["account_id"] == event["subject"]
    assert len({event["id"] for event in events}) == len(events)
    assert [event["sequence"] for event in events] == sorted({event["sequence"] for event in events})


async def test_a_webhook_carries_what_the_feed_shows(api: Api) -> None:
    service, _ = await client(api), await api.register(phone=PHONE)

    page = await api.container.events.read(after=None, limit=100, wait=0)

    assert [json.loads(event.json()) for event in page.events] == await feed(service)
