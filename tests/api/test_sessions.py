"""Logging in each way, keeping a session going, and every way in which it ends."""

import asyncio
import re
import secrets
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
import time_machine
from sqlalchemy import insert, update

from app.core.clock import now
from app.core.crypto import b64, digest, random_token
from app.models.accounts import Account, Status
from app.models.sessions import LoginTicket
from tests.support.api import PASSWORD, Api, Holder, statements

PHONE = "+8613800138000"
DAY = timedelta(days=1)


async def log_in(api: Api, identifier: str, password: str = PASSWORD) -> httpx.Response:
    return await api.client.post(
        "/v1/sessions", json={"method": "password", "identifier": identifier, "password": password}
    )


async def ask_code(api: Api, identifier: str) -> str:
    """The challenge's id."""
    asked = await api.client.post("/v1/login-codes", json={"identifier": identifier})
    assert asked.status_code == 202, asked.text
    return str(asked.json()["challenge_id"])


async def log_in_by_code(api: Api, challenge_id: str, code: str) -> httpx.Response:
    return await api.client.post("/v1/sessions", json={"method": "code", "challenge_id": challenge_id, "code": code})


async def refresh(api: Api, token: str) -> httpx.Response:
    api.client.cookies.clear()
    return await api.client.post("/v1/sessions/refresh", json={"refresh_token": token})


async def who_am_i(api: Api, holder: Holder) -> httpx.Response:
    return await api.client.get("/v1/account", headers=holder.auth)


async def list_sessions(api: Api, holder: Holder, query: str = "") -> dict[str, Any]:
    answer = await api.client.get(f"/v1/sessions{query}", headers=holder.auth)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def make_ticket(api: Api, holder: Holder, *, life: timedelta = timedelta(seconds=60)) -> str:
    """What the workspace service would have been given for the holder."""
    ticket = random_token()
    row = {
        "ticket_hash": digest(ticket),
        "account_id": UUID(holder.account_id.removeprefix("acnt_")),
        "workspace_id": "wksp_1",
        "actor": "owner@example.com",
        "expires_at": now() + life,
    }
    async with api.container.engine.begin() as connection:
        await connection.execute(insert(LoginTicket).values(row))
    return ticket


async def log_in_by_ticket(api: Api, ticket: str) -> httpx.Response:
    return await api.client.post("/v1/sessions", json={"method": "ticket", "ticket": ticket})


async def set_status(api: Api, holder: Holder, status: Status) -> None:
    account_id = UUID(holder.account_id.removeprefix("acnt_"))
    async with api.container.engine.begin() as connection:
        await connection.execute(update(Account).where(Account.id == account_id).values(status=status))


def without_trace(answer: httpx.Response) -> tuple[int, dict[str, Any]]:
    return answer.status_code, {name: value for name, value in answer.json().items() if name != "trace_id"}


def other_than(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


# Logging in.


@pytest.mark.parametrize("identifier", ["acme", "ACME", "Li.Lei@Example.com", PHONE, "138 0013 8000", " acme "])
async def test_username_email_and_phone_log_in(api: Api, identifier: str) -> None:
    holder = await api.register(username="Acme", email="li.lei@example.com", phone=PHONE)
    assert (await log_in(api, identifier)).json()["account_id"] == holder.account_id


async def test_login_tells_the_token_and_its_life(api: Api) -> None:
    holder = await api.register()
    session = (await log_in(api, holder.username)).json()
    assert (session["token_type"], session["expires_in"]) == ("Bearer", 600)
    assert re.fullmatch(r"sess_[0-9a-f]{32}", session["session_id"])


@pytest.mark.parametrize("unknown", ["nobody", "nobody@example.com", "+8613900139000", "?!", "a@", "+"])
async def test_unknown_identifier_is_answered_like_a_wrong_password(api: Api, unknown: str) -> None:
    holder = await api.register()
    with statements(api) as for_wrong:
        wrong = await log_in(api, holder.username, "not the password")
    with statements(api) as for_unknown:
        nobody = await log_in(api, unknown, "not the password")
    assert wrong.json()["code"] == "invalid_credentials"
    assert without_trace(nobody) == without_trace(wrong)
    assert nobody.headers.keys() == wrong.headers.keys()
    assert len(for_unknown) == len(for_wrong)


async def test_account_without_a_password_is_answered_like_a_wrong_password(api: Api) -> None:
    without, holder = await api.register(password=None), await api.register()
    wrong = await log_in(api, holder.username, "not the password")
    assert without_trace(await log_in(api, without.username)) == without_trace(wrong)


@pytest.mark.parametrize("identifier", ["acme", "li.lei@example.com", PHONE])
async def test_code_goes_to_the_phone_when_that_was_typed_and_else_to_the_email(api: Api, identifier: str) -> None:
    holder = await api.register(username="acme", email="li.lei@example.com", phone=PHONE)
    challenge = await ask_code(api, identifier)
    contact = PHONE if identifier == PHONE else holder.email
    [message] = await api.messages(contact, "login_code")
    session = await log_in_by_code(api, challenge, message.params["code"])
    assert session.json()["account_id"] == holder.account_id


@pytest.mark.parametrize("unknown", ["nobody", "nobody@example.com", "+8613900139000"])
async def test_login_code_for_nobody_is_answered_alike_and_sent_to_nobody(api: Api, unknown: str) -> None:
    holder = await api.register()
    sent_before = len(await api.deliver())
    with statements(api) as for_nobody:
        nobody = await api.client.post("/v1/login-codes", json={"identifier": unknown})
    assert len(await api.deliver()) == sent_before
    with statements(api) as for_known:
        known = await api.client.post("/v1/login-codes", json={"identifier": holder.username})
    assert (nobody.status_code, nobody.json().keys()) == (known.status_code, known.json().keys())
    assert len(for_nobody) == len(for_known)


async def test_wrong_code_for_nobody_is_answered_like_one_for_somebody(api: Api) -> None:
    holder = await api.register()
    known, nobody = await ask_code(api, holder.username), await ask_code(api, "nobody")
    wrong = other_than(await api.code(holder.email))
    assert without_trace(await log_in_by_code(api, nobody, wrong)) == without_trace(
        await log_in_by_code(api, known, wrong)
    )


async def test_right_guess_for_nobody_lets_nobody_in(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "randbelow", lambda _: 123456)
    refused = await log_in_by_code(api, await ask_code(api, "nobody"), "123456")
    assert refused.status_code in {401, 422}


async def test_login_code_does_not_reset_a_password(api: Api) -> None:
    holder = await api.register()
    challenge = await ask_code(api, holder.username)
    code = await api.code(holder.email)
    refused = await api.client.post(
        f"/v1/password-resets/{challenge.replace('chlg_', 'pwrs_')}/confirm",
        json={"code": code, "new_password": "another long passphrase"},
    )
    assert (refused.status_code, refused.json()["code"]) == (410, "code_expired")
    assert (await log_in_by_code(api, challenge, code)).status_code == 201


async def test_reset_code_does_not_log_in(api: Api) -> None:
    holder = await api.register()
    reset = (await api.client.post("/v1/password-resets", json={"identifier": holder.username})).json()["id"]
    code = await api.code(holder.email)
    refused = await log_in_by_code(api, reset.replace("pwrs_", "chlg_"), code)
    assert (refused.status_code, refused.json()["code"]) == (410, "code_expired")
    done = await api.client.post(
        f"/v1/password-resets/{reset}/confirm", json={"code": code, "new_password": "another long passphrase"}
    )
    assert done.status_code == 204


async def test_newer_login_code_takes_the_place_of_the_older(api: Api) -> None:
    holder = await api.register()
    older = await ask_code(api, holder.username)
    older_code = await api.code(holder.email)
    newer = await ask_code(api, holder.email)
    assert (await log_in_by_code(api, older, older_code)).json()["code"] == "code_used"
    assert (await log_in_by_code(api, newer, await api.code(holder.email))).status_code == 201


async def test_login_code_works_once(pg_api: Api) -> None:
    holder = await pg_api.register()
    challenge, code = await ask_code(pg_api, holder.username), await pg_api.code(holder.email)
    answers = await asyncio.gather(*(log_in_by_code(pg_api, challenge, code) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    again = await log_in_by_code(pg_api, challenge, code)
    assert (again.status_code, again.json()["code"]) == (409, "code_used")


async def test_login_code_lives_ten_minutes(api: Api) -> None:
    holder, start = await api.register(), now()
    with time_machine.travel(start, tick=False):
        challenge = await ask_code(api, holder.username)
    code = await api.code(holder.email)
    with time_machine.travel(start + timedelta(minutes=10), tick=False):
        assert (await log_in_by_code(api, challenge, code)).json()["code"] == "code_expired"


# Tickets.


async def test_ticket_logs_in_once(api: Api) -> None:
    holder = await api.register()
    ticket = await make_ticket(api, holder)
    assert (await log_in_by_ticket(api, ticket)).json()["account_id"] == holder.account_id
    again = await log_in_by_ticket(api, ticket)
    assert (again.status_code, again.json()["code"]) == (401, "invalid_ticket")


async def test_ticket_used_by_two_at_once_lets_one_in(pg_api: Api) -> None:
    ticket = await make_ticket(pg_api, await pg_api.register())
    answers = await asyncio.gather(*(log_in_by_ticket(pg_api, ticket) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 401, 401, 401]


async def test_expired_and_unknown_tickets_are_refused_alike(api: Api) -> None:
    holder, start = await api.register(), now()
    with time_machine.travel(start, tick=False):
        ticket = await make_ticket(api, holder)
    with time_machine.travel(start + timedelta(seconds=60), tick=False):
        expired, unknown = await log_in_by_ticket(api, ticket), await log_in_by_ticket(api, random_token())
    assert (expired.status_code, expired.json()["code"]) == (401, "invalid_ticket")
    assert without_trace(expired) == without_trace(unknown)


# Suspended and closed accounts.


async def test_suspension_is_told_only_to_the_holder(api: Api) -> None:
    holder = await api.register()
    challenge, ticket = await ask_code(api, holder.username), await make_ticket(api, holder)
    code = await api.code(holder.email)
    await set_status(api, holder, Status.SUSPENDED)
    for proven in (
        await log_in(api, holder.username),
        await log_in_by_code(api, challenge, code),
        await log_in_by_ticket(api, ticket),
    ):
        assert (proven.status_code, proven.json()["code"]) == (403, "account_suspended")
    wrong = await log_in(api, holder.username, "not the password")
    assert without_trace(wrong) == without_trace(await log_in(api, "nobody"))


@pytest.mark.parametrize("status", [Status.SUSPENDED, Status.CLOSED])
async def test_sessions_of_an_account_that_may_not_act_stop_at_once(api: Api, status: Status) -> None:
    holder = await api.register()
    await set_status(api, holder, status)
    assert (await who_am_i(api, holder)).json()["code"] == "session_ended"
    assert (await refresh(api, holder.refresh_token)).json()["code"] == "invalid_refresh_token"


async def test_closed_account_is_answered_like_an_unknown_one(api: Api) -> None:
    holder = await api.register()
    challenge = await ask_code(api, holder.username)
    code = await api.code(holder.email)
    await set_status(api, holder, Status.CLOSED)
    assert without_trace(await log_in(api, holder.username)) == without_trace(await log_in(api, "nobody"))
    assert (await log_in_by_code(api, challenge, code)).json()["code"] == "invalid_credentials"


async def test_closed_account_is_sent_no_code(api: Api) -> None:
    holder = await api.register()
    await set_status(api, holder, Status.CLOSED)
    await ask_code(api, holder.username)
    assert await api.messages(holder.email, "login_code") == []


# Refreshing.


async def test_refresh_gives_the_next_token_of_the_same_session(api: Api) -> None:
    holder = await api.register()
    refreshed = await refresh(api, holder.refresh_token)
    assert refreshed.status_code == 200
    session = refreshed.json()
    assert session["session_id"] == holder.session_id
    assert session["refresh_token"] != holder.refresh_token
    assert session["access_token"] != holder.access_token
    auth = {"Authorization": f"Bearer {session['access_token']}"}
    assert (await api.client.get("/v1/account", headers=auth)).status_code == 200
    assert (await refresh(api, session["refresh_token"])).status_code == 200


async def test_old_token_within_the_grace_gets_the_same_successor(api: Api) -> None:
    holder, start = await api.register(), now()
    with time_machine.travel(start, tick=False):
        first = (await refresh(api, holder.refresh_token)).json()
    with time_machine.travel(start + timedelta(seconds=10), tick=False):
        repeated = (await refresh(api, holder.refresh_token)).json()
    assert repeated["refresh_token"] == first["refresh_token"]
    assert (await refresh(api, first["refresh_token"])).status_code == 200


async def test_two_tabs_refreshing_at_once_get_the_same_successor(pg_api: Api) -> None:
    holder = await pg_api.register()
    answers = await asyncio.gather(*(refresh(pg_api, holder.refresh_token) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


async def test_old_token_after_the_grace_ends_the_session_and_is_told(api: Api) -> None:
    holder, start = await api.register(), now()
    other = await api.log_in(holder)
    with time_machine.travel(start, tick=False):
        successor = (await refresh(api, holder.refresh_token)).json()
    with time_machine.travel(start + timedelta(seconds=11), tick=False):
        reused = await refresh(api, holder.refresh_token)
        assert (reused.status_code, reused.json()["code"]) == (401, "invalid_refresh_token")
        assert (await refresh(api, successor["refresh_token"])).json()["code"] == "invalid_refresh_token"
        assert (await who_am_i(api, holder)).json()["code"] == "session_ended"
        entries = (await api.client.get("/v1/account/activity", headers=other.auth)).json()["items"]
    [entry] = [entry for entry in entries if entry["action"] == "session.token_reused"]
    assert (entry["session_id"], entry["actor"]) == (holder.session_id, "unknown")


async def test_token_from_two_rotations_ago_ends_the_session_even_within_the_grace(api: Api) -> None:
    holder = await api.register()
    with time_machine.travel(now(), tick=False):
        second = (await refresh(api, holder.refresh_token)).json()["refresh_token"]
        third = (await refresh(api, second)).json()["refresh_token"]
        assert (await refresh(api, holder.refresh_token)).status_code == 401
        assert (await refresh(api, third)).status_code == 401


async def test_garbage_with_a_real_session_id_ends_nothing(api: Api) -> None:
    holder = await api.register()
    made_up = b64(UUID(holder.session_id.removeprefix("sess_")).bytes + secrets.token_bytes(40))
    assert len(made_up) == len(holder.refresh_token)
    assert (await refresh(api, made_up)).json()["code"] == "invalid_refresh_token"
    assert (await who_am_i(api, holder)).status_code == 200
    assert (await refresh(api, holder.refresh_token)).status_code == 200


@pytest.mark.parametrize("cookie", [None, "", "x", "é", "A" * 5000])
async def test_refresh_without_a_token_of_ours_is_refused(api: Api, cookie: str | None) -> None:
    headers = {} if cookie is None else {b"Cookie": f"__Secure-guance_refresh={cookie}".encode()}
    refused = await api.client.post("/v1/sessions/refresh", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_refresh_token")


def cookie_of(answer: httpx.Response) -> tuple[str, set[str]]:
    """Name and value, and the attributes in lower case without their order."""
    pair, *attributes = answer.headers["set-cookie"].split("; ")
    return pair, {attribute.lower() for attribute in attributes}


async def test_refresh_token_goes_into_a_cookie_unless_asked_otherwise(api: Api) -> None:
    holder = await api.register()
    answer = await log_in(api, holder.username)
    assert answer.json()["refresh_token"] is None
    pair, attributes = cookie_of(answer)
    assert re.fullmatch(r"__Secure-guance_refresh=[A-Za-z0-9_-]{40,}", pair)
    assert attributes == {"httponly", "secure", "samesite=strict", "path=/v1/sessions/refresh", "max-age=1209600"}


async def test_cookie_refreshes_and_is_renewed(api: Api) -> None:
    holder = await api.register()
    first = await log_in(api, holder.username)
    refreshed = await api.client.post("/v1/sessions/refresh")
    assert (refreshed.status_code, refreshed.json()["refresh_token"]) == (200, None)
    assert refreshed.json()["session_id"] == first.json()["session_id"]
    pair, attributes = cookie_of(refreshed)
    assert pair != cookie_of(first)[0]
    assert {"httponly", "secure", "samesite=strict", "path=/v1/sessions/refresh"} <= attributes


async def test_session_ends_after_two_weeks_without_a_refresh(api: Api) -> None:
    start = now()
    with time_machine.travel(start, tick=False):
        holder = await api.register()
    with time_machine.travel(start + 13 * DAY, tick=False):
        token = (await refresh(api, holder.refresh_token)).json()["refresh_token"]
    with time_machine.travel(start + 26 * DAY, tick=False):
        token = (await refresh(api, token)).json()["refresh_token"]
    with time_machine.travel(start + 40 * DAY, tick=False):
        assert (await refresh(api, token)).json()["code"] == "invalid_refresh_token"


async def test_session_ends_after_ninety_days_however_often_it_is_refreshed(api: Api) -> None:
    start = now()
    with time_machine.travel(start, tick=False):
        holder = await api.register()
    token = holder.refresh_token
    for days in range(10, 90, 10):
        with time_machine.travel(start + days * DAY, tick=False):
            token = (await refresh(api, token)).json()["refresh_token"]
    with time_machine.travel(start + 90 * DAY - timedelta(minutes=5), tick=False):
        last = (await refresh(api, token)).json()
        auth = {"Authorization": f"Bearer {last['access_token']}"}
        [session] = (await api.client.get("/v1/sessions", headers=auth)).json()["items"]
        assert session["expires_at"][:19] == f"{start + 90 * DAY:%Y-%m-%dT%H:%M:%S}"
    with time_machine.travel(start + 90 * DAY, tick=False):
        assert (await refresh(api, last["refresh_token"])).json()["code"] == "invalid_refresh_token"
        assert (await api.client.get("/v1/account", headers=auth)).json()["code"] == "session_ended"


# The list, and ending sessions.


async def test_sessions_are_listed_newest_first_with_the_current_one_marked(api: Api) -> None:
    holder = await api.register()
    second, third = await api.log_in(holder), await api.log_in(holder)
    await api.register()  # somebody else's is not among them
    items = (await list_sessions(api, second))["items"]
    assert [(item["id"], item["current"], item["method"]) for item in items] == [
        (third.session_id, False, "password"),
        (second.session_id, True, "password"),
        (holder.session_id, False, "registration"),
    ]


async def test_sessions_come_in_pages(api: Api) -> None:
    holder = await api.register()
    expected = [holder.session_id] + [(await api.log_in(holder)).session_id for _ in range(3)]
    seen: list[str] = []
    page = await list_sessions(api, holder, "?limit=1")
    while True:
        seen += [item["id"] for item in page["items"]]
        assert len(page["items"]) == 1
        if page["next_cursor"] is None:
            break
        page = await list_sessions(api, holder, f"?limit=1&cursor={page['next_cursor']}")
    assert seen == expected[::-1]


async def test_ended_and_expired_sessions_are_not_listed(api: Api) -> None:
    start = now()
    with time_machine.travel(start, tick=False):
        holder = await api.register()
    with time_machine.travel(start + 14 * DAY, tick=False):
        ended, current = await api.log_in(holder), await api.log_in(holder)
        await api.client.delete("/v1/sessions/current", headers=ended.auth)
        assert [item["id"] for item in (await list_sessions(api, current))["items"]] == [current.session_id]


async def test_logout_ends_this_session_and_clears_the_cookie(api: Api) -> None:
    holder = await api.register()
    answer = await log_in(api, holder.username)
    cookie = cookie_of(answer)[0]
    auth = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    left = await api.client.delete("/v1/sessions/current", headers=auth)
    assert left.status_code == 204
    pair, attributes = cookie_of(left)
    assert pair in {"__Secure-guance_refresh=", '__Secure-guance_refresh=""'}
    assert {"max-age=0", "path=/v1/sessions/refresh", "httponly", "secure", "samesite=strict"} <= attributes
    kept = await api.client.post("/v1/sessions/refresh", headers={"Cookie": cookie})
    assert kept.json()["code"] == "invalid_refresh_token"
    assert (await api.client.get("/v1/account", headers=auth)).json()["code"] == "session_ended"
    assert (await who_am_i(api, holder)).status_code == 200


async def test_one_session_is_ended_by_its_id(api: Api) -> None:
    holder = await api.register()
    other = await api.log_in(holder)
    url = f"/v1/sessions/{other.session_id}"
    assert (await api.client.delete(url, headers=holder.auth)).status_code == 204
    assert (await who_am_i(api, other)).json()["code"] == "session_ended"
    assert (await who_am_i(api, holder)).status_code == 200
    assert (await api.client.delete(url, headers=holder.auth)).status_code == 404


async def test_all_other_sessions_are_ended(api: Api) -> None:
    holder = await api.register()
    others = [await api.log_in(holder) for _ in range(2)]
    stranger = await api.register()
    assert (await api.client.delete("/v1/sessions", headers=holder.auth)).status_code == 204
    assert [(await who_am_i(api, other)).status_code for other in others] == [401, 401]
    assert [(await who_am_i(api, one)).status_code for one in (holder, stranger)] == [200, 200]


async def test_session_of_somebody_else_is_not_found_and_lives_on(api: Api) -> None:
    holder, stranger = await api.register(), await api.register()
    refused = await api.client.delete(f"/v1/sessions/{stranger.session_id}", headers=holder.auth)
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert (await who_am_i(api, stranger)).status_code == 200


def named(path: str) -> str:
    """With ids of the right kind, that name nothing."""
    prefixes = {"/sessions": "sess", "/real-name": "rnam", "/cloud-accounts": "clda", "/workspaces": "wksp"}
    prefix = next((prefix for part, prefix in prefixes.items() if part in path), "cchg")
    return path.replace("{id}", f"{prefix}_{'0' * 32}").replace("{token}", "x" * 43)


async def test_ended_session_stops_at_once_on_every_route(api: Api) -> None:
    """Those with a body would say first that it is missing; the services behind them load the account alike."""
    holder, other = await api.register(), await api.register()
    operations = [
        (method, named(path))
        for path, item in api.app.openapi()["paths"].items()
        for method, operation in item.items()
        if "security" in operation and "requestBody" not in operation
    ]
    assert len(operations) >= 10
    for method, path in operations:
        if method == "get":
            assert (await api.client.get(path, headers=other.auth)).status_code in {200, 404}, path
    await api.client.delete("/v1/sessions/current", headers=holder.auth)
    for method, path in operations:
        answer = await api.client.request(method, path, headers=holder.auth)
        assert (answer.status_code, answer.json()["code"]) == (401, "session_ended"), f"{method} {path}"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b"Mozilla/5.0", "Mozilla/5.0"),
        (b"x" * 10_000, "x" * 256),
        (b"a\tb\x7fc", "abc"),
        (b"caf\xe9", "café"),
        (b"", None),
    ],
)
async def test_list_shows_with_what_it_was_logged_in(api: Api, sent: bytes, shown: str | None) -> None:
    holder = await api.register()
    body = {"method": "password", "identifier": holder.username, "password": PASSWORD}
    assert (await api.client.post("/v1/sessions", json=body, headers={b"User-Agent": sent})).status_code == 201
    newest = (await list_sessions(api, holder))["items"][0]
    assert (newest["user_agent"], newest["ip"]) == (shown, "127.0.0.1")


async def test_logins_failures_and_logouts_are_in_the_activity(api: Api) -> None:
    holder = await api.register()
    await log_in(api, holder.username, "not the password")
    other = await api.log_in(holder)
    await api.client.delete("/v1/sessions/current", headers=other.auth)
    await api.client.delete("/v1/sessions", headers=holder.auth)
    entries = (await api.client.get("/v1/account/activity", headers=holder.auth)).json()["items"]
    assert [(entry["action"], entry["actor"], entry["session_id"]) for entry in entries] == [
        ("session.others_ended", "holder", holder.session_id),
        ("session.ended", "holder", other.session_id),
        ("session.started", "holder", other.session_id),
        ("session.failed", "unknown", None),
        ("account.registered", "holder", holder.session_id),
    ]
