"""Accounts as other services make, read and find them."""

import json
from typing import Any

import bcrypt
import httpx
import pytest
from sqlalchemy import select

from app.core import ids
from app.core.scopes import Scope
from app.models.accounts import Account
from tests.support.api import PASSWORD, Api, may_log_in, refusal, statements
from tests.support.changes import execute
from tests.support.services import ServiceClient, client, feed

PHONE = "+8613800138000"
EMAIL = "Li.Lei@example.com"
Json = dict[str, Any]


def order(**changes: Any) -> Json:
    return {"username": "Acme.Ltd", "email": EMAIL, "company_name": "Northwind Trading", **changes}


async def create(service: ServiceClient, **changes: Any) -> httpx.Response:
    return await service.post("/accounts", order(**changes))


async def created(service: ServiceClient, **changes: Any) -> Json:
    answer = await create(service, **changes)
    assert answer.status_code == 201, answer.text
    account: Json = answer.json()
    return account


async def column(api: Api, wanted: Any) -> list[Any]:
    """As the table has it, of every account."""
    async with api.container.engine.connect() as connection:
        return list(await connection.scalars(select(wanted)))


async def accounts(api: Api) -> int:
    return len(await column(api, Account.id))


def bcrypted(password: str, kind: str = "2b") -> str:
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode().replace("$2b$", f"${kind}$")


# --- Making one -----------------------------------------------------------------------------------------------------


async def test_an_account_that_a_service_makes_has_all_that_was_said_of_it(api: Api) -> None:
    told = {
        "username": "Acme.Ltd",
        "email": "Li.Lei@example.com",
        "phone": PHONE,
        "company_name": "观测未来 Ltd.",
        "industry": "I",
        "region": "CN-ZJ",
        "contact_name": "Li Lei",
        "locale": "zh-CN",
        "time_zone": "Europe/Berlin",
    }
    service = await client(api)

    account = await created(service, **told, company_description="Makes\nthings.")

    assert {name: account[name] for name in told} == told
    assert (account["status"], account["real_name_status"], account["closed_at"]) == ("active", "none", None)
    assert (await service.get(f"/accounts/{account['id']}")).json() == account
    assert await column(api, Account.company_description) == ["Makes\nthings."]


@pytest.mark.parametrize("identifier", ["acme.ltd", "li.lei@EXAMPLE.com", PHONE, "138 0013 8000"])
async def test_its_holder_logs_in_at_once_by_every_contact_that_the_service_verified(api: Api, identifier: str) -> None:
    await created(await client(api), phone=PHONE, password=PASSWORD)

    assert await may_log_in(api, identifier)


async def test_its_holder_may_log_in_by_a_code_when_no_password_was_handed_over(api: Api) -> None:
    account = await created(await client(api), phone=PHONE)
    asked = await api.client.post("/v1/login-codes", json={"identifier": PHONE})
    body = {"method": "code", "challenge_id": asked.json()["challenge_id"], "code": await api.code(PHONE)}

    answer = await api.client.post("/v1/sessions", json=body)

    assert (answer.status_code, answer.json()["account_id"]) == (201, account["id"])


async def test_its_making_is_told_once_and_stands_in_the_trail_with_the_service(api: Api) -> None:
    service = await client(api, name="guance-registration")

    account = await created(service, phone=PHONE, password=PASSWORD)

    (event,) = await feed(service)
    assert (event["type"], event["subject"]) == ("account.created", account["id"])
    assert event["data"] == {"account_id": account["id"], "email": "L***@example.com", "phone": "+86*******8000"}
    trail = (await service.get(f"/accounts/{account['id']}/activity")).json()["items"]
    assert [(one["action"], one["actor"], one["client"]) for one in trail] == [
        ("account.registered", "service", "guance-registration")
    ]
    assert await api.deliver() == []  # the service has told its holder already


@pytest.mark.parametrize(
    ("taken", "code"),
    [
        ({"username": "ACME.ltd"}, "username_taken"),
        ({"email": "LI.LEI@Example.COM"}, "email_taken"),
        ({"phone": "13800138000"}, "phone_taken"),
    ],
)
async def test_what_another_account_has_is_refused_and_nothing_is_made(api: Api, taken: Json, code: str) -> None:
    service = await client(api)
    await created(service, phone=PHONE)

    answer = await create(service, **{"username": "other", "email": "other@example.com", "phone": None} | taken)

    assert refusal(answer) == (409, code)
    assert (await accounts(api), len(await feed(service))) == (1, 1)


@pytest.mark.parametrize(
    ("wrong", "pointer", "code"),
    [
        ({"password": PASSWORD, "password_hash": bcrypted(PASSWORD)}, "", "password_twice"),
        ({"password_hash": "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$AAAA"}, "/password_hash", "unsupported_hash"),
        ({"password_hash": "$1$O3JMY.Tw$AdLnLjQ/5jXF9.MTp3gHv/"}, "/password_hash", "unsupported_hash"),
        ({"password_hash": ""}, "/password_hash", "unsupported_hash"),
        ({"password_hash": "x" * 257}, "/password_hash", "string_too_long"),
        ({"password": "short"}, "/password", "password_too_short"),
        ({"phone": "010-62345678"}, "/phone", "phone_not_mobile"),
        ({"phone": "+8613800"}, "/phone", "invalid_phone"),
        ({"email": "li@"}, "/email", "invalid_email"),
        ({"username": "4cme"}, "/username", "invalid_username"),
        ({"time_zone": "Mars/Olympus"}, "/time_zone", "unknown_time_zone"),
        ({"reference": ""}, "/reference", "string_pattern_mismatch"),
        ({"reference": "with a blank"}, "/reference", "string_pattern_mismatch"),
        ({"reference": "r" * 65}, "/reference", "string_pattern_mismatch"),
        ({"status": "suspended"}, "/status", "extra_forbidden"),
    ],
)
async def test_what_cannot_be_right_is_named_and_nothing_is_made(
    api: Api, wrong: Json, pointer: str, code: str
) -> None:
    answer = await create(await client(api), **wrong)

    assert refusal(answer) == (422, "validation_failed")
    assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [(pointer, code)]
    assert await accounts(api) == 0


async def test_a_password_in_clear_follows_the_rules_of_registration(api: Api) -> None:
    answer = await create(await client(api), password="Northwind Trading")

    assert refusal(answer) == (422, "password_refused")


# --- The caller's own reference -------------------------------------------------------------------------------------


async def test_the_same_reference_and_content_again_is_the_same_account_and_nothing_happens_twice(api: Api) -> None:
    """What a caller does whose answer got lost: no Idempotency-Key is needed for it."""
    service = await client(api)
    first = await created(service, phone=PHONE, reference="reg-42", password=PASSWORD)

    again = await create(service, phone="138 0013 8000", reference="reg-42", password=PASSWORD)

    assert (again.status_code, again.json()) == (200, first)
    assert (await accounts(api), len(await feed(service))) == (1, 1)
    trail = (await service.get(f"/accounts/{first['id']}/activity")).json()["items"]
    assert len(trail) == 1


@pytest.mark.parametrize(
    "other", [{"password": "another passphrase"}, {"password_hash": bcrypted("another passphrase")}, {}]
)
async def test_under_the_same_reference_the_password_may_differ_and_the_first_one_stays(api: Api, other: Json) -> None:
    service = await client(api)
    await created(service, reference="reg-42", password=PASSWORD)

    assert (await create(service, reference="reg-42", **other)).status_code == 200

    assert await may_log_in(api, "acme.ltd", PASSWORD)
    assert not await may_log_in(api, "acme.ltd", "another passphrase")


@pytest.mark.parametrize(
    "other",
    [{"username": "other"}, {"email": "other@example.com"}, {"phone": PHONE}, {"company_name": "Else"}],
    ids=lambda changed: next(iter(changed)),
)
async def test_the_same_reference_with_other_content_is_refused(api: Api, other: Json) -> None:
    service = await client(api)
    await created(service, reference="reg-42")

    assert refusal(await create(service, reference="reg-42", **other)) == (409, "reference_taken")
    assert await accounts(api) == 1


async def test_two_clients_references_are_apart(api: Api) -> None:
    one, other = await client(api), await client(api)
    first = await created(one, reference="reg-42")

    assert refusal(await create(other, reference="reg-42", username="other")) == (409, "email_taken")
    second = await created(other, reference="reg-42", username="other", email="other@example.com")
    assert second["id"] != first["id"]


async def test_the_reference_holds_after_the_account_has_changed(api: Api) -> None:
    service = await client(api)
    account = await created(service, reference="reg-42")
    await execute(api, "UPDATE accounts SET company_name = 'Renamed', status = 'suspended'")

    again = await create(service, reference="reg-42")

    assert (again.status_code, again.json()["id"], again.json()["status"]) == (200, account["id"], "suspended")


# --- Reading and finding --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "username=Acme.Ltd",
        "username=aCME.lTD",
        "username=%20acme.ltd%20",
        "email=li.lei%40example.com",
        "email=LI.LEI@EXAMPLE.COM",
        "email=li.lei@ｅｘａｍｐｌｅ。com",
        "phone=%2B8613800138000",
        "phone=+8613800138000",
        "phone=13800138000",
        "phone=138-0013 8000",
        "phone=＋８６１３８００１３８０００",
        "phone=１３８００１３８０００",
        "phone=008613800138000",
    ],
)
async def test_an_account_is_found_in_every_writing_of_what_its_holder_logs_in_with(api: Api, query: str) -> None:
    service = await client(api)
    account = await created(service, phone=PHONE)

    answer = await service.call("GET", f"/accounts?{query}")

    assert (answer.status_code, answer.json()) == (200, account)


@pytest.mark.parametrize(
    ("contact", "query"),
    [
        ({"phone": "+14155550123"}, "phone=+14155550123"),
        ({"email": "li+guance@example.com"}, "email=li+guance@example.com"),
    ],
    ids=["phone", "email"],
)
async def test_a_contact_is_found_when_its_plus_became_a_blank(api: Api, contact: Json, query: str) -> None:
    """A query string says a blank by `+`; neither contact has one."""
    service = await client(api)
    account = await created(service, **contact)

    answer = await service.call("GET", f"/accounts?{query}")

    assert (answer.status_code, answer.json().get("id")) == (200, account["id"])


@pytest.mark.parametrize(
    "query",
    [
        "username=nobody",
        "username=li.lei@example.com",
        "username=%2B8613800138000",
        "email=acme.ltd",
        "email=nobody@example.com",
        "phone=acme.ltd",
        "phone=%2B8613900139000",
        "phone=%2B",
        "email=@",
        "username=%25",
        "phone=999999999999999999999999",
    ],
)
async def test_what_nobody_has_and_what_is_of_another_kind_is_not_found(api: Api, query: str) -> None:
    service = await client(api)
    await created(service, phone=PHONE)

    assert refusal(await service.call("GET", f"/accounts?{query}")) == (404, "not_found")


@pytest.mark.parametrize(
    "query",
    ["", "?username=acme.ltd&email=li.lei@example.com", "?username=", "?username=%00", "?name=acme.ltd", "?id=x"],
)
async def test_a_search_by_none_or_two_of_the_three_is_refused(api: Api, query: str) -> None:
    service = await client(api)

    assert refusal(await service.call("GET", f"/accounts{query}")) == (422, "validation_failed")


@pytest.mark.parametrize("id", ["acnt_" + "0" * 32, "acnt_1", "sess_" + "0" * 32, "ACNT_" + "0" * 32, "%00", "..."])
async def test_an_id_that_is_nobody_s_is_not_found(api: Api, id: str) -> None:
    assert refusal(await (await client(api)).get(f"/accounts/{id}")) == (404, "not_found")


async def test_reading_and_finding_are_one_statement_each(api: Api) -> None:
    service = await client(api)
    account = await created(service, phone=PHONE)
    reads = [f"/accounts/{account['id']}", "/accounts?username=acme.ltd", "/accounts?email=nobody@example.com"]

    for path in reads:
        with statements(api) as seen:
            await service.call("GET", path)
        assert len(seen) == 1, seen


# --- Looking up many ------------------------------------------------------------------------------------------------


async def test_a_look_up_of_a_thousand_answers_each_in_order_by_one_statement(api: Api) -> None:
    service = await client(api)
    known = [await created(service, username=f"user{n}", email=f"user{n}@example.com") for n in range(3)]
    one, two, three = (account["id"] for account in known)
    odd = ["", "acnt_", "acnt_1", "sess_" + one[5:], one.upper(), f" {one}", "观测云", "a" * 64, "' OR 1=1 --", "\0"]
    asked = [two, *odd, one, two, *(ids.show(ids.ACCOUNT, ids.new()) for _ in range(985)), three, one]
    assert len(asked) == 1000

    with statements(api) as seen:
        answer = await service.post("/accounts/lookup", {"ids": asked})

    assert answer.status_code == 200, answer.text
    by_id = {account["id"]: account for account in known}
    assert answer.json()["items"] == [{"id": x, "found": x in by_id, "account": by_id.get(x)} for x in asked]
    assert len(seen) == 1, seen


@pytest.mark.parametrize(
    "wanted",
    [[], ["x"] * 1001, ["x" * 65], [None], [1], "acnt_1", None, ["\ud800"]],
    ids=["none", "1001", "long", "null", "number", "text", "no list", "lone surrogate"],
)
async def test_a_look_up_of_none_of_too_many_or_of_no_texts_is_refused(api: Api, wanted: Any) -> None:
    service, body = await client(api), json.dumps({"ids": wanted})

    answer = await service.call("POST", "/accounts/lookup", content=body, headers={"Content-Type": "application/json"})

    assert refusal(answer) == (422, "validation_failed")


async def test_contacts_are_masked_in_a_look_up_for_who_may_not_see_them(api: Api) -> None:
    account = await created(await client(api), phone=PHONE, contact_name="Li Lei")
    reader = await client(api, Scope.ACCOUNTS_READ)

    answer = await reader.post("/accounts/lookup", {"ids": [account["id"]]})

    shown = answer.json()["items"][0]["account"]
    assert (shown["email"], shown["phone"], shown["contact_name"]) == ("L***@example.com", "+86*******8000", "L***")
    assert "Lei" not in answer.text and "38001" not in answer.text
