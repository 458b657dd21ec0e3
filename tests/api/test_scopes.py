"""What a service may do and see: a scope for each operation, a person and a reason for each act of staff, and
contacts in clear for who needs them."""

from typing import Any

import httpx
import pytest

from app.core.scopes import Scope
from app.main import documents
from tests.api.test_service_tokens import INTERNAL, Operation, bearer
from tests.support.api import Api, Holder
from tests.support.clouds import ALIBABA_KEY, alibaba_account
from tests.support.services import ServiceClient, client, feed, staff, token

Json = dict[str, Any]
EMAIL, PHONE, PERSON = "zhang.wei@example.com", "+8613800138000", "Zhang Wei"
CLEAR = {"email": EMAIL, "phone": PHONE, "contact_name": PERSON}
MASKED = {"email": "z***@example.com", "phone": "+86*******8000", "contact_name": "Z***"}

# --- Scopes ---------------------------------------------------------------------------------------------------------


def needing(scope: Scope) -> list[Operation]:
    return [operation for operation in INTERNAL if operation.scope == scope]


each_scope = pytest.mark.parametrize("scope", [one for one in Scope if one is not Scope.ACCOUNTS_CONTACTS])


def test_each_scope_but_the_one_for_contacts_opens_an_operation() -> None:
    assert {scope for scope in Scope if not needing(scope)} == {Scope.ACCOUNTS_CONTACTS}


@each_scope
async def test_without_its_scope_an_operation_is_refused_though_all_others_are_there(api: Api, scope: Scope) -> None:
    service = await client(api, *(set(Scope) - {scope}))

    answers = {one.name: await one.call(api, service.auth) for one in needing(scope)}

    for name, answer in answers.items():
        problem = answer.json()
        assert (name, answer.status_code, problem["code"]) == (name, 403, "insufficient_scope")
        assert problem["scope"] == scope
        assert answer.headers["WWW-Authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'


async def test_a_missing_scope_is_in_the_log_with_the_client(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """ASVS 5.0 16.3.2: who tried what may not be."""
    service = await client(api, Scope.EVENTS)
    await service.get("/accounts", username="acme")

    [line] = [record.msg for record in caplog.records if isinstance(record.msg, dict) and "client" in record.msg]
    assert {name: line[name] for name in ("event", "client", "scope")} == {
        "event": "scope_missing",
        "client": service.client_id,
        "scope": "accounts:read",
    }


@each_scope
async def test_its_scope_alone_is_enough_for_an_operation(api: Api, scope: Scope) -> None:
    service = await client(api, scope)

    answers = {one.name: await one.call(api, service.auth) for one in needing(scope)}

    assert {name: one.text for name, one in answers.items() if one.status_code in (401, 403, 422)} == {}


async def test_a_token_for_some_of_the_clients_scopes_is_good_for_no_others(api: Api) -> None:
    service = await client(api)
    narrow = bearer((await token(api, service.client_id, service.secret, scope="events:read")).json()["access_token"])

    allowed = {one.name for one in INTERNAL if (await one.call(api, narrow)).status_code != 403}

    assert allowed == {one.name for one in needing(Scope.EVENTS)}


# --- Staff says who and why -----------------------------------------------------------------------------------------

STAFFS = [
    operation
    for operation in INTERNAL
    if "X-Actor" in operation.headers and operation.path.startswith("/internal/v1/accounts/")
]
BAD = {
    "missing": None,
    "empty": b"",
    "blank": b"   ",
    "a_blank_of_unicode": "\u3000\u00a0".encode(),
    "nothing_to_be_seen": "\u200b\u2060\ufeff".encode(),
    "too_long": b"x" * 501,
    "too_long_in_chinese": "欠".encode() * 501,
    "nul": b"a\x00b",
    "a_line_break": b"a\r\nX-Actor: b",
    "escape": b"a\x1b[2Jb",
    "a_control_character_of_unicode": "a\u0085b".encode(),
    "turned_direction": "a\u202eb".encode(),
    "not_utf_8": b"Andr\xe9",
    "half_a_character": "韩".encode()[:2],
}


def test_every_write_of_staff_needs_who_and_why() -> None:
    writes = {one.name for one in INTERNAL if str(one.scope).startswith("staff:") and one.method != "GET"}
    assert writes == {one.name for one in INTERNAL if {"X-Actor", "X-Reason"} <= set(one.headers)}
    assert len(writes) >= 4


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("header", ["X-Actor", "X-Reason"])
async def test_staff_that_does_not_say_who_or_why_does_nothing(api: Api, header: str, case: str) -> None:
    holder, service = await api.register(), await client(api)
    headers: dict[str, str | bytes] = staff()
    value = BAD[case]
    if value is None:
        del headers[header]
    else:
        headers[header] = value

    answers = [await act(service, operation, holder.account_id, headers) for operation in STAFFS]

    for answer in answers:
        assert answer.status_code == 422, answer.text
        assert [error["pointer"].lower() for error in answer.json()["errors"]] == [header.lower()]
    assert (await api.client.get("/v1/account", headers=holder.auth)).status_code == 200
    assert (await service.get(f"/accounts/{holder.account_id}")).json()["arbitrary_settlement"] is False


GOOD = {
    "chinese": ("韩梅梅", "客户 4711 欠费，财务要求暂停"),
    "as_long_as_may_be": ("韩" * 128, "因" * 500),
    "trimmed": ("  han.meimei ", " Ticket 4711  "),
}


@pytest.mark.parametrize("case", GOOD)
async def test_who_and_why_stand_in_the_trail_as_they_were_said(api: Api, case: str) -> None:
    holder, service = await api.register(), await client(api)
    actor, reason = GOOD[case]

    for operation in STAFFS:
        answer = await act(service, operation, holder.account_id, staff(actor, reason))
        assert answer.is_success, answer.text

    entries = (await service.get(f"/accounts/{holder.account_id}/activity")).json()["items"]
    said = [(entry["actor_name"], entry["reason"]) for entry in entries if entry["actor"] == "staff"]
    assert said == [(actor.strip(), reason.strip())] * len(STAFFS)


async def act(
    service: ServiceClient, operation: Operation, account_id: str, headers: dict[str, str | bytes]
) -> httpx.Response:
    path = operation.path.removeprefix("/internal/v1/accounts/").partition("/")[2]
    body = {"json": operation.body} if operation.body else {}
    return await service.call(operation.method, f"/accounts/{account_id}/{path}", headers=headers, **body)


# --- Contacts -------------------------------------------------------------------------------------------------------

NEW = {"username": "zhangwei", "company_name": "Northwind Trading", "reference": "r-1", **CLEAR}


async def made(api: Api) -> str:
    answer = await (await client(api)).post("/accounts", NEW)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def create(service: ServiceClient) -> Json:
    return shown(await service.post("/accounts", NEW))


async def create_again(service: ServiceClient) -> Json:
    await create(service)
    return shown(await service.post("/accounts", NEW))


async def get(service: ServiceClient) -> Json:
    return shown(await service.get(f"/accounts/{await made(service.api)}"))


async def find_by_username(service: ServiceClient) -> Json:
    await made(service.api)
    return shown(await service.get("/accounts", username="zhangwei"))


async def find_by_email(service: ServiceClient) -> Json:
    await made(service.api)
    return shown(await service.get("/accounts", email=EMAIL))


async def find_by_phone(service: ServiceClient) -> Json:
    await made(service.api)
    return shown(await service.get("/accounts", phone=PHONE))


async def look_up(service: ServiceClient) -> Json:
    found: Json = shown(await service.post("/accounts/lookup", {"ids": [await made(service.api)]}))["items"][0]
    account: Json = found["account"]
    return account


async def suspend(service: ServiceClient) -> Json:
    path = f"/accounts/{await made(service.api)}/status"
    return shown(await service.put(path, {"status": "suspended"}, headers=staff()))


async def switch_settlement(service: ServiceClient) -> Json:
    path = f"/accounts/{await made(service.api)}/arbitrary-settlement"
    return shown(await service.put(path, {"enabled": True}, headers=staff()))


def shown(answer: httpx.Response) -> Json:
    assert answer.is_success, answer.text
    body: Json = answer.json()
    return body


SHOWING = [
    (create, Scope.ACCOUNTS_CREATE),
    (create_again, Scope.ACCOUNTS_CREATE),
    (get, Scope.ACCOUNTS_READ),
    (find_by_username, Scope.ACCOUNTS_READ),
    (find_by_email, Scope.ACCOUNTS_READ),
    (find_by_phone, Scope.ACCOUNTS_READ),
    (look_up, Scope.ACCOUNTS_READ),
    (suspend, Scope.STAFF_ACCOUNTS),
    (switch_settlement, Scope.STAFF_ACCOUNTS),
]
each_showing = pytest.mark.parametrize(("show", "scope"), SHOWING, ids=[one.__name__ for one, _ in SHOWING])


@each_showing
async def test_contacts_are_in_clear_with_the_scope_for_them(api: Api, show: Any, scope: Scope) -> None:
    account = await show(await client(api, scope, Scope.ACCOUNTS_CONTACTS))

    assert {name: account[name] for name in CLEAR} == CLEAR


@each_showing
async def test_contacts_are_masked_without_the_scope_for_them(api: Api, show: Any, scope: Scope) -> None:
    others = set(Scope) - {Scope.ACCOUNTS_CONTACTS}
    assert scope in others

    account = await show(await client(api, *others))

    assert {name: account[name] for name in CLEAR} == MASKED
    assert not any(value in str(account) for value in CLEAR.values())


def test_the_document_says_with_which_scope_contacts_are_in_clear() -> None:
    members = documents()["internal"]["components"]["schemas"]["DirectoryEntryOut"]["properties"]
    assert {name for name, member in members.items() if "accounts:contacts" in member["description"]} == set(CLEAR)


@pytest.mark.settings(alibaba_marketplace_key=ALIBABA_KEY)
async def test_what_shows_no_account_shows_no_contact_whatever_the_scopes(api: Api) -> None:
    service = await client(api)
    holder = await api.register(email=EMAIL, phone=PHONE, contact_name=PERSON)
    await alibaba_account(api, holder)
    await api.change_email(holder, "zhang.wei@example.org")

    texts = [one.text for one in await everything_else(service, holder)]

    assert str(await feed(service)).count(holder.account_id) >= 3
    for text in [*texts, str(await feed(service))]:
        for value in (*CLEAR.values(), "zhang.wei@example.org", "13800138000"):
            assert value not in text, text


async def everything_else(service: ServiceClient, holder: Holder) -> list[httpx.Response]:
    """Answers of tickets, workspaces and how they settle, marketplaces' messages, the trail and the feed."""
    ticket = {"account_id": holder.account_id, "workspace_id": "wksp_1", "actor": "user_5b1e"}
    workspace = {"account_id": holder.account_id, "site": "cn1", "name": "Production"}
    answers = [
        await service.post("/login-tickets", ticket),
        await service.put("/workspaces/wksp_1", workspace),
        await service.get("/workspaces/wksp_1/settlement"),
        await service.post("/settlements/lookup", {"workspace_ids": ["wksp_1"]}),
        await service.get("/marketplace/notices"),
        await service.get(f"/accounts/{holder.account_id}/activity", limit=100),
        await service.get("/events"),
    ]
    assert all(one.is_success for one in answers)
    return answers
