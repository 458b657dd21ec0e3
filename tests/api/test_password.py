"""The password: change it, set the first one by a code, reset it, and what is refused."""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import time_machine
from sqlalchemy import select

from app.core.clock import now
from app.models.accounts import Account
from tests.support.api import PASSWORD, Api, Holder, running

NEW = "another long passphrase"
PHONE = "+8613800138000"
Way = Callable[[Api, str], Awaitable[httpx.Response]]


async def change(api: Api, holder: Holder, *, current: str = PASSWORD, new: str = NEW) -> httpx.Response:
    body = {"current_password": current, "new_password": new}
    return await api.client.put("/v1/account/password", json=body, headers=holder.auth)


async def ask_first(api: Api, holder: Holder, credential: str = "email") -> httpx.Response:
    body = {"credential": credential}
    return await api.client.post("/v1/account/password-codes", json=body, headers=holder.auth)


async def set_first(api: Api, holder: Holder, challenge: str, code: str, new: str = NEW) -> httpx.Response:
    body = {"challenge_id": challenge, "code": code, "new_password": new}
    return await api.client.put("/v1/account/password", json=body, headers=holder.auth)


async def ask_reset(api: Api, identifier: str) -> str:
    answer = await api.client.post("/v1/password-resets", json={"identifier": identifier})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def confirm_reset(api: Api, reset: str, code: str, new: str = NEW) -> httpx.Response:
    body = {"code": code, "new_password": new}
    return await api.client.post(f"/v1/password-resets/{reset}/confirm", json=body)


async def log_in(api: Api, identifier: str, password: str) -> httpx.Response:
    body = {"method": "password", "identifier": identifier, "password": password}
    return await api.client.post("/v1/sessions", json=body)


async def ask_login_code(api: Api, identifier: str) -> str:
    answer = await api.client.post("/v1/login-codes", json={"identifier": identifier})
    return str(answer.json()["challenge_id"])


async def log_in_by_code(api: Api, challenge: str, code: str) -> httpx.Response:
    body = {"method": "code", "challenge_id": challenge, "code": code}
    return await api.client.post("/v1/sessions", json=body)


async def is_live(api: Api, holder: Holder) -> bool:
    return (await api.client.get("/v1/account", headers=holder.auth)).status_code == 200


async def stored_hash(api: Api, holder: Holder) -> str:
    async with api.container.engine.connect() as connection:
        found = await connection.scalar(select(Account.password_hash).where(Account.username == holder.username))
    assert found is not None
    return found


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# Three ways to a new password: each takes the wish and answers what the last step answered.


async def by_change(api: Api, new: str) -> httpx.Response:
    return await change(api, await api.register(username="acme_ops", email="li.lei@example.com"), new=new)


async def by_reset(api: Api, new: str) -> httpx.Response:
    holder = await api.register(username="acme_ops", email="li.lei@example.com")
    reset = await ask_reset(api, holder.username)
    return await confirm_reset(api, reset, await api.code(holder.email), new)


async def by_first_code(api: Api, new: str) -> httpx.Response:
    holder = await api.register(username="acme_ops", email="li.lei@example.com", password=None)
    challenge = (await ask_first(api, holder)).json()["challenge_id"]
    return await set_first(api, holder, challenge, await api.code(holder.email), new)


WAYS = [pytest.param(way, id=way.__name__) for way in (by_change, by_reset, by_first_code)]


# Change


async def test_the_new_password_logs_in_and_the_old_one_does_not(api: Api) -> None:
    holder = await api.register(phone=PHONE)
    assert (await change(api, holder)).status_code == 204

    for identifier in (holder.username, holder.email, PHONE):
        assert (await log_in(api, identifier, NEW)).status_code == 201
        assert problem(await log_in(api, identifier, PASSWORD)) == (401, "invalid_credentials")


async def test_a_change_needs_the_current_password(api: Api) -> None:
    holder = await api.register()

    assert problem(await change(api, holder, current="not the current one")) == (422, "wrong_password")
    assert (await log_in(api, holder.username, PASSWORD)).status_code == 201


async def test_a_change_keeps_this_session_and_ends_the_others(api: Api) -> None:
    here = await api.register()
    elsewhere = await api.log_in(here)
    await change(api, here)

    assert await is_live(api, here)
    assert not await is_live(api, elsewhere)


async def test_after_ten_wrong_current_passwords_the_right_one_is_refused_for_an_hour(api: Api) -> None:
    holder = await api.register()
    for _ in range(10):
        assert problem(await change(api, holder, current="a guess")) == (422, "wrong_password")
    refused = await change(api, holder)
    assert problem(refused) == (429, "too_many_tries")

    with time_machine.travel(now() + timedelta(seconds=int(refused.headers["Retry-After"]))):
        assert (await change(api, await api.log_in(holder))).status_code == 204


async def test_a_right_current_password_gives_its_try_back(api: Api) -> None:
    holder, current = await api.register(), PASSWORD
    for number in range(12):
        following = f"{NEW} number {number}"
        assert (await change(api, holder, current=current, new=following)).status_code == 204
        current = following


async def test_a_refused_new_password_gives_the_try_of_the_current_one_back(api: Api) -> None:
    holder = await api.register()
    for _ in range(11):
        assert problem(await change(api, holder, new="password1")) == (422, "password_refused")


async def test_an_account_without_a_password_has_none_to_change(api: Api) -> None:
    assert problem(await change(api, await api.register(password=None))) == (409, "no_password")


async def test_of_two_changes_at_once_the_later_one_is_told_that_credentials_moved(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second runs whole while the first hashes."""
    holder, hasher = await api.register(), api.container.hasher
    other = await api.log_in(holder)
    hash_it = hasher.hash

    async def hash_while_another_changes(password: str) -> str:
        monkeypatch.setattr(hasher, "hash", hash_it)
        assert (await change(api, other, new="the faster passphrase")).status_code == 204
        return await hash_it(password)

    monkeypatch.setattr(hasher, "hash", hash_while_another_changes)

    assert problem(await change(api, holder, new="the slower passphrase")) == (409, "credentials_moved")
    assert (await log_in(api, holder.username, "the faster passphrase")).status_code == 201


# First password


@pytest.mark.parametrize("credential", ["email", "phone"])
async def test_the_first_password_is_set_by_a_code_on_a_contact(api: Api, credential: str) -> None:
    holder = await api.register(password=None, phone=PHONE)
    asked = await ask_first(api, holder, credential)
    assert asked.status_code == 202
    code = await api.code({"email": holder.email, "phone": PHONE}[credential])

    assert (await set_first(api, holder, asked.json()["challenge_id"], code)).status_code == 204
    assert (await log_in(api, holder.username, NEW)).status_code == 201


async def test_a_password_that_is_there_is_changed_and_not_set(api: Api) -> None:
    holder = await api.register(password=None)
    challenge = (await ask_first(api, holder)).json()["challenge_id"]
    code = await api.code(holder.email)
    await set_first(api, holder, challenge, code)

    assert problem(await ask_first(api, holder)) == (409, "password_exists")
    assert problem(await set_first(api, holder, challenge, code)) == (409, "password_exists")


async def test_a_code_goes_to_no_phone_that_is_not_there(api: Api) -> None:
    assert problem(await ask_first(api, await api.register(password=None), "phone")) == (409, "no_other_credential")


async def test_a_code_for_logging_in_sets_no_password(api: Api) -> None:
    holder = await api.register(password=None)
    challenge = await ask_login_code(api, holder.username)

    assert problem(await set_first(api, holder, challenge, await api.code(holder.email))) == (410, "code_expired")


async def test_a_code_for_setting_a_password_logs_nobody_in(api: Api) -> None:
    holder = await api.register(password=None)
    challenge = (await ask_first(api, holder)).json()["challenge_id"]

    assert problem(await log_in_by_code(api, challenge, await api.code(holder.email))) == (410, "code_expired")


async def test_the_code_of_another_account_is_refused_and_stays_good_for_its_own(api: Api) -> None:
    holder, other = await api.register(password=None), await api.register(password=None)
    challenge = (await ask_first(api, holder)).json()["challenge_id"]
    code = await api.code(holder.email)

    assert problem(await set_first(api, other, challenge, code)) == (410, "code_expired")
    assert (await set_first(api, holder, challenge, code)).status_code == 204


# Reset


@pytest.mark.parametrize("by", ["username", "email", "phone"])
async def test_a_reset_begins_with_any_identifier(api: Api, by: str) -> None:
    holder = await api.register(phone=PHONE)
    reset = await ask_reset(api, {"username": holder.username, "email": holder.email, "phone": PHONE}[by])
    code = await api.code(PHONE if by == "phone" else holder.email)

    assert (await confirm_reset(api, reset, code)).status_code == 204
    assert (await log_in(api, holder.username, NEW)).status_code == 201


async def test_a_reset_ends_every_session(api: Api) -> None:
    here = await api.register()
    elsewhere = await api.log_in(here)
    await confirm_reset(api, await ask_reset(api, here.username), await api.code(here.email))

    assert not await is_live(api, here)
    assert not await is_live(api, elsewhere)


async def test_a_reset_code_works_once(api: Api) -> None:
    holder = await api.register()
    reset, code = await ask_reset(api, holder.username), await api.code(holder.email)
    await confirm_reset(api, reset, code)

    assert problem(await confirm_reset(api, reset, code, "one more passphrase")) == (409, "code_used")
    assert (await log_in(api, holder.username, NEW)).status_code == 201


async def test_a_new_password_ends_the_codes_that_are_under_way(api: Api) -> None:
    holder = await api.register()
    challenge = await ask_login_code(api, holder.username)
    login_code = await api.code(holder.email)
    reset = await ask_reset(api, holder.username)
    reset_code = await api.code(holder.email)
    await change(api, holder)

    assert problem(await log_in_by_code(api, challenge, login_code)) == (409, "code_used")
    assert problem(await confirm_reset(api, reset, reset_code, "one more passphrase")) == (409, "code_used")


async def test_a_new_password_ends_the_credential_changes_that_are_under_way(api: Api) -> None:
    holder = await api.register()
    started = (await api.start(holder)).json()["id"]
    await change(api, holder)

    shown = await api.client.get(f"/v1/account/credential-changes/{started}", headers=holder.auth)
    assert shown.json()["state"] == "cancelled"


# What is refused


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ("football2024", "common"),
        ("ｐａｓｓｗｏｒｄ1", "common"),
        ("acme_ops-2026", "context"),  # the username
        ("li.lei@example.com", "context"),  # the email
        ("Northwind2026!", "context"),  # the company
    ],
)
async def test_a_password_that_is_guessed_first_is_refused(api: Api, way: Way, new: str, reason: str) -> None:
    answer = await way(api, new)

    assert problem(answer) == (422, "password_refused")
    assert answer.json()["reason"] == reason


@pytest.mark.parametrize("way", [WAYS[0], WAYS[1]])
async def test_the_password_in_force_is_no_new_one(api: Api, way: Way) -> None:
    answer = await way(api, PASSWORD)

    assert problem(answer) == (422, "password_refused")
    assert answer.json()["reason"] == "same"


@pytest.mark.parametrize("refused", ["football2024", "Northwind2026!", PASSWORD])
async def test_a_refused_password_costs_no_try_of_the_code(api: Api, refused: str) -> None:
    holder = await api.register()
    reset, code = await ask_reset(api, holder.username), await api.code(holder.email)
    for _ in range(api.settings.flow_tries + 1):
        assert problem(await confirm_reset(api, reset, code, refused)) == (422, "password_refused")

    assert (await confirm_reset(api, reset, code)).status_code == 204


@pytest.mark.parametrize(
    ("new", "why"),
    [
        ("kx9#vQ2", "password_too_short"),
        ("kx9#vQ2m" * 16 + "!", "password_too_long"),
        ("kx9#vQ2m" * 15 + "kx9#vQ2ﬁ", "password_too_long"),  # 129 once ﬁ is fi
        ("correct horse\0battery", "forbidden_character"),
    ],
)
@pytest.mark.parametrize("way", WAYS)
async def test_what_cannot_be_a_password_is_refused_in_its_field(api: Api, way: Way, new: str, why: str) -> None:
    answer = await way(api, new)

    assert problem(answer) == (422, "validation_failed")
    assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [("/new_password", why)]


async def test_half_a_character_is_no_part_of_a_password(api: Api) -> None:
    """A lone surrogate, which JSON can carry and UTF-8 cannot."""
    holder = await api.register()
    body = json.dumps({"current_password": PASSWORD, "new_password": "correct \ud800 horse battery"})
    headers = {**holder.auth, "Content-Type": "application/json"}
    answer = await api.client.put("/v1/account/password", content=body, headers=headers)

    assert problem(answer) == (422, "validation_failed")
    assert [one["pointer"] for one in answer.json()["errors"]] == ["/new_password"]


@pytest.mark.parametrize(
    "new",
    [
        "kx9#vQ2m",
        "kx9#vQ2m" * 16,
        "  spaces at  both ends  ",
        "十二个汉字可以作为密码吗",
        "🐎🔋📎 and more",
        "a\ttab in the middle",
        "\u1112\u1161\u11ab\u1100\u116e\u11a8" * 64,  # 128 syllables, typed as three letters each
        "line\nbreaks are characters",
    ],
)
async def test_any_other_characters_make_a_password_that_logs_in(api: Api, new: str) -> None:
    holder = await api.register()
    assert (await change(api, holder, new=new)).status_code == 204

    assert (await log_in(api, holder.username, new)).status_code == 201
    if new != new.strip():
        assert (await log_in(api, holder.username, new.strip())).status_code == 401


async def test_full_width_and_half_width_are_one_password(api: Api) -> None:
    holder = await api.register()
    await change(api, holder, new="ｈａｌｆ and full 7６5４")

    assert (await log_in(api, holder.username, "half and full 7654")).status_code == 201


# What happens besides


@pytest.mark.parametrize("way", WAYS)
async def test_the_holder_is_told_of_a_new_password(api: Api, way: Way) -> None:
    assert (await way(api, NEW)).status_code == 204

    assert len(await api.messages("li.lei@example.com", "password_changed")) == 1


@pytest.mark.parametrize("way", WAYS)
async def test_a_refused_password_is_not_told(api: Api, way: Way) -> None:
    await way(api, "football2024")

    assert await api.messages("li.lei@example.com", "password_changed") == []


@pytest.mark.parametrize("way", WAYS)
async def test_the_password_is_stored_as_argon2id(api: Api, way: Way) -> None:
    await way(api, NEW)
    async with api.container.engine.connect() as connection:
        stored = await connection.scalar(select(Account.password_hash))

    assert stored is not None
    assert stored.startswith("$argon2id$")


@pytest.mark.parametrize("raised", [{"argon2_memory_kib": 16}, {"argon2_time": 2}])
async def test_the_hash_is_upgraded_at_the_next_login_once_parameters_were_raised(
    api: Api, raised: dict[str, Any]
) -> None:
    holder = await api.register()
    before = await stored_hash(api, holder)
    async with running(api.settings.database_url.get_secret_value(), **raised) as stronger:
        await stronger.log_in(holder)
    after = await stored_hash(api, holder)

    assert after != before
    assert after.startswith(f"$argon2id$v=19$m={raised.get('argon2_memory_kib', 8)},t={raised.get('argon2_time', 1)},")
    await api.log_in(holder)


@pytest.mark.settings(argon2_memory_kib=16, argon2_time=2)
async def test_the_hash_stays_when_parameters_were_lowered(api: Api) -> None:
    holder = await api.register()
    before = await stored_hash(api, holder)
    url = api.settings.database_url.get_secret_value()
    async with running(url, argon2_memory_kib=8, argon2_time=1) as weaker:
        await weaker.log_in(holder)

    assert await stored_hash(api, holder) == before


# After many failures the password is off


async def shut_out(api: Api, holder: Holder) -> None:
    for _ in range(api.settings.login_max_failures):
        assert problem(await log_in(api, holder.username, "a guess")) == (401, "invalid_credentials")


@pytest.mark.settings(login_max_failures=3, login_free_failures=100)
async def test_after_too_many_failures_the_right_password_looks_like_a_wrong_one(api: Api) -> None:
    holder = await api.register()
    await shut_out(api, holder)
    wrong, right = await log_in(api, holder.email, "a guess"), await log_in(api, holder.email, PASSWORD)

    assert problem(right) == (401, "invalid_credentials")
    assert {**right.json(), "trace_id": ""} == {**wrong.json(), "trace_id": ""}


@pytest.mark.settings(login_max_failures=3, login_free_failures=100)
async def test_the_last_allowed_failure_leaves_the_password_on(api: Api) -> None:
    holder = await api.register()
    for _ in range(2):
        await log_in(api, holder.username, "a guess")

    assert (await log_in(api, holder.username, PASSWORD)).status_code == 201


@pytest.mark.settings(login_max_failures=3, login_free_failures=100)
async def test_a_code_login_makes_the_password_work_again(api: Api) -> None:
    holder = await api.register()
    await shut_out(api, holder)
    challenge = await ask_login_code(api, holder.username)
    assert (await log_in_by_code(api, challenge, await api.code(holder.email))).status_code == 201

    assert (await log_in(api, holder.username, PASSWORD)).status_code == 201


@pytest.mark.settings(login_max_failures=3, login_free_failures=100)
async def test_a_reset_makes_the_password_work_again(api: Api) -> None:
    holder = await api.register()
    await shut_out(api, holder)
    await confirm_reset(api, await ask_reset(api, holder.username), await api.code(holder.email))

    assert (await log_in(api, holder.username, NEW)).status_code == 201


async def test_a_password_stays_good_for_years(api: Api) -> None:
    """NIST SP 800-63B-4 §3.1.1.2: no change without a reason."""
    holder = await api.register()
    with time_machine.travel(now() + timedelta(days=5 * 365), tick=False):
        assert (await api.log_in(holder)).account_id == holder.account_id
