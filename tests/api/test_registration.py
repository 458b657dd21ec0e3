"""Registering: nothing before the code, nothing told of others, and the first session."""

import asyncio
import secrets
from datetime import timedelta
from typing import Any

import httpx
import pytest
import time_machine
from sqlalchemy import func, select

from app.core.clock import now
from app.models.accounts import Account
from tests.support.api import PASSWORD, Api, statements

PHONE = "+8613800138000"


async def ask(api: Api, *, accept_language: str = "en", **members: Any) -> httpx.Response:
    """`POST /v1/registrations`; members that are None are left out."""
    name = api.name()
    body = {"username": name, "email": f"{name}@example.com", "company_name": "Northwind Trading", "password": PASSWORD}
    body |= members
    sent = {member: value for member, value in body.items() if value is not None}
    return await api.client.post("/v1/registrations", json=sent, headers={"Accept-Language": accept_language})


async def confirm(api: Api, registration: httpx.Response, code: str) -> httpx.Response:
    assert registration.status_code == 202, registration.text
    url = f"/v1/registrations/{registration.json()['id']}/confirm"
    return await api.client.post(url, json={"code": code, "refresh_token_delivery": "body"})


async def resend(api: Api, registration: httpx.Response) -> httpx.Response:
    return await api.client.post(f"/v1/registrations/{registration.json()['id']}/resend")


async def count_accounts(api: Api) -> int:
    async with api.container.engine.connect() as connection:
        return await connection.scalar(select(func.count()).select_from(Account)) or 0


def other_than(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


def problems_of(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    return [(problem["pointer"], problem["code"]) for problem in answer.json()["errors"]]


async def test_nothing_exists_before_the_code(api: Api) -> None:
    registration = await ask(api, username="acme", email="li.lei@example.com")
    assert await count_accounts(api) == 0
    assert (await api.client.get("/v1/usernames/acme")).json() == {"username": "acme", "available": True}
    confirmed = await confirm(api, registration, await api.code("li.lei@example.com"))
    assert confirmed.status_code == 201
    assert await count_accounts(api) == 1


async def test_registration_tells_where_the_code_went_and_how_long_there_is(api: Api) -> None:
    with time_machine.travel(now(), tick=False):
        sent = (await ask(api, email="li.lei@example.com")).json()
        ends = now() + timedelta(minutes=30)
    assert sent["sent_to"] == "l***@example.com"
    assert sent["expires_at"][:19] == f"{ends:%Y-%m-%dT%H:%M:%S}"


async def test_the_first_session_is_logged_in(api: Api) -> None:
    registration = await ask(api, email="li.lei@example.com")
    session = (await confirm(api, registration, await api.code("li.lei@example.com"))).json()
    account = await api.client.get("/v1/account", headers={"Authorization": f"Bearer {session['access_token']}"})
    assert account.json()["id"] == session["account_id"]


@pytest.mark.parametrize("spelling", ["acme", "ACME", "aCmE"])
async def test_taken_username_is_refused_openly_in_any_case(api: Api, spelling: str) -> None:
    await api.register(username="Acme", email="first@example.com")
    refused = await ask(api, username=spelling)
    assert (refused.status_code, refused.json()["code"]) == (409, "username_taken")
    assert (await api.client.get(f"/v1/usernames/{spelling}")).json()["available"] is False


@pytest.mark.parametrize("username", ["abcd", "A" * 32, "a.b_c-1", "  padded  "])
async def test_usernames_within_the_rules_are_taken(api: Api, username: str) -> None:
    assert (await ask(api, username=username)).status_code == 202


@pytest.mark.parametrize(
    "username",
    [
        "abc",
        "a" * 33,
        "1abc",
        ".abc",
        "_abc",
        "-abc",
        "ab cd",
        "ab/cd",
        "abcd\x00",
        "ab\ncd",
        "李雷李雷",
        "ａｂｃｄ",
        "acme\u0301",
        pytest.param("li@example.com", id="email"),
        pytest.param("+8613800138000", id="phone"),
        pytest.param("13800138000", id="national phone"),
        "",
    ],
)
async def test_usernames_outside_the_rules_are_refused(api: Api, username: str) -> None:
    assert problems_of(await ask(api, username=username)) == [("/username", "invalid_username")]


async def test_username_can_never_be_changed(api: Api) -> None:
    holder = await api.register()
    edited = await api.client.patch(
        "/v1/account/profile", json={"username": "another"}, headers={**holder.auth, "If-Match": "*"}
    )
    assert problems_of(edited) == [("/username", "extra_forbidden")]


@pytest.mark.parametrize("spelling", ["owner@example.com", "Owner@EXAMPLE.com"])
async def test_taken_email_is_answered_like_a_free_one(api: Api, spelling: str) -> None:
    await api.register(username="owner", email="owner@example.com")
    with statements(api) as for_free:
        free = await ask(api)
    with statements(api) as for_taken:
        taken = await ask(api, email=spelling)
    assert (taken.status_code, taken.json().keys()) == (free.status_code, free.json().keys())
    assert taken.headers.keys() == free.headers.keys()
    assert len(for_taken) == len(for_free)


async def test_owner_of_a_taken_email_is_told_without_a_code(api: Api) -> None:
    await api.register(username="owner", email="owner@example.com", locale="zh-CN")
    registration = await ask(api, email="owner@example.com")
    await resend(api, registration)
    told = await api.messages("owner@example.com", "registration_taken")
    assert [(message.locale, "code" in message.params) for message in told] == [("zh-CN", False)] * 2


async def test_no_code_confirms_a_taken_email(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.register(email="owner@example.com")
    monkeypatch.setattr(secrets, "randbelow", lambda _: 123456)
    refused = await confirm(api, await ask(api, email="owner@example.com"), "123456")
    assert refused.json()["code"] in {"wrong_code", "email_taken"}
    assert await count_accounts(api) == 1


async def test_wrong_codes_for_a_taken_email_are_answered_like_those_for_a_free_one(api: Api) -> None:
    await api.register(email="owner@example.com")
    free, taken = await ask(api, email="free@example.com"), await ask(api, email="owner@example.com")
    wrong = other_than(await api.code("free@example.com"))
    answers = [(await confirm(api, registration, wrong)).json() for registration in (free, taken)]
    assert [(answer["code"], answer["tries_left"]) for answer in answers] == [("wrong_code", 4)] * 2


async def test_account_without_a_password_logs_in_by_code(api: Api) -> None:
    holder = await api.register(password=None)
    assert (await api.client.get("/v1/account", headers=holder.auth)).json()["has_password"] is False
    asked = (await api.client.post("/v1/login-codes", json={"identifier": holder.username})).json()
    body = {"method": "code", "challenge_id": asked["challenge_id"], "code": await api.code(holder.email)}
    assert (await api.client.post("/v1/sessions", json=body)).status_code == 201


async def test_given_phone_is_asked_for_a_code_of_its_own(api: Api) -> None:
    registration = await ask(api, email="li.lei@example.com", phone=PHONE)
    assert await api.messages(PHONE) == []
    session = (await confirm(api, registration, await api.code("li.lei@example.com"))).json()
    auth = {"Authorization": f"Bearer {session['access_token']}"}
    account = (await api.client.get("/v1/account", headers=auth)).json()
    assert account["phone"] is None
    [change] = account["credential_changes"]
    assert (change["credential"], change["state"], change["new_value"]) == ("phone", "verify_new", "+86*******8000")
    login = {"method": "password", "identifier": PHONE, "password": PASSWORD}
    assert (await api.client.post("/v1/sessions", json=login)).json()["code"] == "invalid_credentials"

    url = f"/v1/account/credential-changes/{change['id']}/confirm"
    done = await api.client.post(url, json={"code": await api.code(PHONE)}, headers=auth)
    assert done.json()["state"] == "completed"
    assert (await api.client.post("/v1/sessions", json=login)).status_code == 201


@pytest.mark.parametrize(
    ("same", "code"), [({"email": "li.lei@example.com"}, "email_taken"), ({"username": "acme"}, "username_taken")]
)
async def test_of_two_registrations_the_second_to_confirm_is_refused(api: Api, same: dict[str, str], code: str) -> None:
    emails = [same.get("email", f"{name}@example.com") for name in ("one", "two")]
    registrations = [await ask(api, **({"email": email} | same)) for email in emails]
    await api.deliver()
    codes = [message.params["code"] for message in api.notifier.sent]
    assert (await confirm(api, registrations[1], codes[1])).status_code == 201
    late = await confirm(api, registrations[0], codes[0])
    assert (late.status_code, late.json()["code"]) == (409, code)
    assert await count_accounts(api) == 1


@pytest.mark.parametrize("same", [{"email": "li.lei@example.com"}, {"username": "acme"}])
async def test_of_registrations_confirmed_at_once_one_becomes_an_account(pg_api: Api, same: dict[str, str]) -> None:
    registrations = [await ask(pg_api, **same) for _ in range(4)]
    await pg_api.deliver()
    codes = [message.params["code"] for message in pg_api.notifier.sent]
    pairs = zip(registrations, codes, strict=True)
    answers = await asyncio.gather(*(confirm(pg_api, registration, code) for registration, code in pairs))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert await count_accounts(pg_api) == 1


async def test_one_code_confirmed_twice_at_once_makes_one_account(pg_api: Api) -> None:
    registration = await ask(pg_api, email="li.lei@example.com")
    code = await pg_api.code("li.lei@example.com")
    answers = await asyncio.gather(*(confirm(pg_api, registration, code) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert await count_accounts(pg_api) == 1


async def test_resend_replaces_the_code(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter([111111, 222222])
    monkeypatch.setattr(secrets, "randbelow", lambda _: next(numbers))
    registration = await ask(api)
    again = await resend(api, registration)
    assert (again.status_code, again.json()["id"]) == (202, registration.json()["id"])
    assert (await confirm(api, registration, "111111")).json()["code"] == "wrong_code"
    assert (await confirm(api, registration, "222222")).status_code == 201


@pytest.mark.settings(code_resend_seconds=60)
async def test_resend_waits_a_minute(api: Api) -> None:
    start = now()
    with time_machine.travel(start, tick=False):
        registration = await ask(api)
    with time_machine.travel(start + timedelta(seconds=59), tick=False):
        early = await resend(api, registration)
        assert (early.status_code, early.json()["code"]) == (429, "resend_too_soon")
        assert early.headers["Retry-After"] == "1"
    with time_machine.travel(start + timedelta(seconds=60), tick=False):
        assert (await resend(api, registration)).status_code == 202


async def test_a_registration_sends_five_codes_and_no_more(api: Api) -> None:
    registration = await ask(api)
    assert [(await resend(api, registration)).status_code for _ in range(4)] == [202] * 4
    refused = await resend(api, registration)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_sends")


async def test_code_lives_ten_minutes_and_another_can_be_had(api: Api) -> None:
    start = now()
    with time_machine.travel(start, tick=False):
        registration = await ask(api, email="li.lei@example.com")
    code = await api.code("li.lei@example.com")
    with time_machine.travel(start + timedelta(minutes=10), tick=False):
        late = await confirm(api, registration, code)
        assert (late.status_code, late.json()["code"]) == (410, "code_expired")
        assert (await resend(api, registration)).status_code == 202
        assert (await confirm(api, registration, await api.code("li.lei@example.com"))).status_code == 201


async def test_code_still_works_in_its_last_second(api: Api) -> None:
    start = now()
    with time_machine.travel(start, tick=False):
        registration = await ask(api, email="li.lei@example.com")
    code = await api.code("li.lei@example.com")
    with time_machine.travel(start + timedelta(seconds=599), tick=False):
        assert (await confirm(api, registration, code)).status_code == 201


async def test_registration_ends_after_half_an_hour(api: Api) -> None:
    start = now()
    with time_machine.travel(start, tick=False):
        registration = await ask(api, email="li.lei@example.com")
    with time_machine.travel(start + timedelta(minutes=29), tick=False):
        await resend(api, registration)
        code = await api.code("li.lei@example.com")
    with time_machine.travel(start + timedelta(minutes=30), tick=False):
        for late in (await confirm(api, registration, code), await resend(api, registration)):
            assert (late.status_code, late.json()["code"]) == (410, "registration_expired")


async def test_five_wrong_codes_use_up_a_code_and_ten_the_registration(api: Api) -> None:
    registration = await ask(api, email="li.lei@example.com")
    for _ in range(2):
        right = await api.code("li.lei@example.com")
        left = [(await confirm(api, registration, other_than(right))).json()["tries_left"] for _ in range(5)]
        assert left == [4, 3, 2, 1, 0]
        spent = await confirm(api, registration, right)
        assert (spent.status_code, spent.json()["code"]) == (429, "too_many_tries")
        await resend(api, registration)
    over = await confirm(api, registration, await api.code("li.lei@example.com"))
    assert (over.status_code, over.json()["code"]) == (429, "too_many_tries")


async def test_wrong_code_is_counted_even_though_the_request_fails(api: Api) -> None:
    registration = await ask(api, email="li.lei@example.com")
    code = await api.code("li.lei@example.com")
    wrong = await confirm(api, registration, other_than(code))
    assert (wrong.status_code, wrong.json()["code"], wrong.json()["tries_left"]) == (422, "wrong_code", 4)
    assert (await confirm(api, registration, code)).status_code == 201


async def test_code_is_read_as_people_paste_it(api: Api) -> None:
    registration = await ask(api, email="li.lei@example.com")
    code = await api.code("li.lei@example.com")
    full_width = "".join(chr(ord(digit) - ord("0") + ord("０")) for digit in code)
    assert (await confirm(api, registration, f" {full_width[:3]} {full_width[3:]} ")).status_code == 201


async def test_code_works_once(api: Api) -> None:
    registration = await ask(api, email="li.lei@example.com")
    code = await api.code("li.lei@example.com")
    await confirm(api, registration, code)
    for again in (await confirm(api, registration, code), await resend(api, registration)):
        assert (again.status_code, again.json()["code"]) == (409, "code_used")


@pytest.mark.parametrize(
    ("accept_language", "given", "locale"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.1", None, "zh-CN"),
        ("en-GB", None, "en"),
        ("fr", None, "en"),
        ("zh-CN", "en", "en"),
    ],
)
async def test_locale_is_the_given_one_or_the_readers(
    api: Api, accept_language: str, given: str | None, locale: str
) -> None:
    registration = await ask(api, email="li.lei@example.com", accept_language=accept_language, locale=given)
    [message] = await api.messages("li.lei@example.com")
    assert message.locale == locale
    session = (await confirm(api, registration, message.params["code"])).json()
    auth = {"Authorization": f"Bearer {session['access_token']}"}
    assert (await api.client.get("/v1/account", headers=auth)).json()["locale"] == locale


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("password1", "common"),
        ("12345678", "common"),
        ("northwind2024", "context"),
        ("li.lei@example.com", "context"),
        ("guance2024!", "context"),
    ],
)
async def test_weak_password_is_refused_with_the_reason(api: Api, password: str, reason: str) -> None:
    refused = await ask(api, email="li.lei@example.com", password=password)
    assert (refused.status_code, refused.json()["code"], refused.json()["reason"]) == (422, "password_refused", reason)


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("7 chars", "password_too_short"),
        ("x y " * 32 + "!", "password_too_long"),
        ("nul\x00 in it", "forbidden_character"),
    ],
)
async def test_password_has_8_to_128_characters(api: Api, password: str, code: str) -> None:
    assert problems_of(await ask(api, password=password)) == [("/password", code)]


@pytest.mark.parametrize(
    "password",
    [
        pytest.param("ab 12 密码", id="eight"),
        pytest.param("correct horse " * 9 + "12", id="128"),
        pytest.param("🐎🔋📎✅🐎🔋📎✅", id="emoji"),
        pytest.param(" spaces around ", id="spaces"),
        pytest.param("pasted\twith a tab\n", id="control characters"),
        pytest.param("e\u0323\u0302o\u0302\u0303a\u0323\u0302" * 42 + "xy", id="128 that are longer when typed"),
    ],
)
async def test_password_of_any_characters_logs_in(api: Api, password: str) -> None:
    await api.log_in(await api.register(password=password))


async def test_password_is_the_same_however_it_is_typed(api: Api) -> None:
    holder = await api.register(password="Ａpfel und Bäume")
    await api.log_in(holder, password="Apfel und Ba\u0308ume")


@pytest.mark.parametrize(
    ("phone", "region", "number"),
    [
        ("138 0013 8000", None, "+8613800138000"),
        ("138-0013-8000", "CN-ZJ", "+8613800138000"),
        ("(201) 555-0123", "US", "+12015550123"),
        ("+86 138 0013 8000", "US", "+8613800138000"),
    ],
)
async def test_national_phone_is_read_in_the_region(api: Api, phone: str, region: str | None, number: str) -> None:
    registration = await ask(api, email="li.lei@example.com", phone=phone, region=region)
    await confirm(api, registration, await api.code("li.lei@example.com"))
    assert len(await api.messages(number, "change_new_code")) == 1


@pytest.mark.parametrize(
    ("phone", "code"),
    [
        pytest.param("+8612345", "invalid_phone", id="too short"),
        pytest.param("not a phone", "invalid_phone", id="letters"),
        pytest.param("+8613800138000 ext. 5", "invalid_phone", id="extension"),
        pytest.param("+861065529988", "phone_not_mobile", id="landline"),
        pytest.param("+19002345678", "phone_not_mobile", id="premium"),
        pytest.param("+79123456789", "phone_country_not_served", id="country"),
    ],
)
async def test_phone_that_cannot_be_texted_is_refused_with_its_own_code(api: Api, phone: str, code: str) -> None:
    assert problems_of(await ask(api, phone=phone)) == [("/phone", code)]


async def test_what_is_no_email_is_refused(api: Api) -> None:
    assert problems_of(await ask(api, email="li.lei@")) == [("/email", "invalid_email")]
