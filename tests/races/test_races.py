"""Fifty at once, through two instances on one PostgreSQL: one wins, the others are told why, nothing is done twice."""

from collections.abc import AsyncIterator
from itertools import chain

import pytest
import time_machine

from app.core.clock import now
from tests.races import Call, Replicas, another, assert_documented, outcome, post, send, tally
from tests.support.api import PASSWORD, Api, Holder, running

MANY = 50
NEW = "new@example.org"
CHANGES = "/v1/account/credential-changes"


@pytest.fixture
async def replicas(request: pytest.FixtureRequest, pg_api: Api, postgres_database: str) -> AsyncIterator[Replicas]:
    marker = request.node.get_closest_marker("settings")
    async with running(postgres_database, **(marker.kwargs if marker else {})) as second:
        yield Replicas(pg_api, second)


# --- Credential changes ---------------------------------------------------------------------------------------------


async def test_of_fifty_confirmations_with_the_right_code_one_takes_effect(replicas: Replicas) -> None:
    api = replicas.first
    holder = await api.register()
    change = await api.reach_confirm(holder, NEW, proves=holder.email)
    confirm = post(f"{CHANGES}/{change}/confirm", {"code": await api.code(NEW)}, holder)

    answers = await replicas.at_once([confirm] * MANY)

    assert tally(answers)["200"] == 1
    assert_documented(api, f"post {CHANGES}/{{id}}/confirm", answers)
    assert len(await api.messages(holder.email, "credential_changed_old")) == 1
    assert len(await api.messages(NEW, "credential_changed_new")) == 1


async def test_of_five_accounts_that_prove_one_address_at_once_one_gets_it(replicas: Replicas) -> None:
    api, confirm, read = replicas.first, [], []
    for _ in range(5):
        holder = await api.register()
        change = await api.reach_confirm(holder, NEW, proves=holder.email)
        confirm.append(post(f"{CHANGES}/{change}/confirm", {"code": await api.code(NEW)}, holder))
        read.append(send("GET", f"{CHANGES}/{change}", holder))

    answers = await replicas.at_once(confirm)

    assert tally(answers) == {"200": 1, "email_taken": 4}
    states = sorted(answer.json()["state"] for answer in await replicas.at_once(read))
    assert states == ["completed"] + ["propose"] * 4


async def test_of_fifty_starts_of_a_change_one_opens(replicas: Replicas) -> None:
    api = replicas.first
    holder = await api.register()

    answers = await replicas.at_once([post(CHANGES, {"credential": "email"}, holder)] * MANY)

    assert tally(answers)["201"] == 1
    assert_documented(api, f"post {CHANGES}", answers)
    assert len(await api.messages(holder.email, "change_current_code")) == 1
    listed = await api.client.get(CHANGES, headers=holder.auth)
    assert len(listed.json()["items"]) == 1


async def test_of_twenty_uses_of_an_undo_token_one_undoes(replicas: Replicas) -> None:
    api = replicas.first
    holder = await api.register()
    await api.change_email(holder, NEW)
    url = "/v1/credential-change-reversals"

    answers = await replicas.at_once([post(url, {"token": await api.token(holder.email)})] * 20)

    assert tally(answers) == {"200": 1, "reversal_expired": 19}
    assert len(await api.messages(holder.email, "credential_change_undone")) == 1
    assert len(await api.messages(NEW, "credential_change_undone")) == 1


async def test_an_email_that_was_to_change_does_not_once_the_password_has(replicas: Replicas) -> None:
    """Either wins; both only when the password came after the email, which had ended by then."""
    api = replicas.first
    for number in range(4):
        holder = await api.register()
        value = f"new{number}@example.org"
        change = await api.reach_confirm(holder, value, proves=holder.email)
        confirm = post(f"{CHANGES}/{change}/confirm", {"code": await api.code(value)}, holder)

        set_password, confirmed = await replicas.at_once([_change_password(holder), confirm])

        outcomes = {outcome(set_password), outcome(confirmed)}
        assert outcomes & {"204", "200"}
        assert outcomes <= {"204", "200", "credentials_moved", "wrong_state", "code_used"}
        if outcomes == {"204", "200"}:
            trail = await api.client.get("/v1/account/activity", headers=holder.auth)
            assert [one["action"] for one in trail.json()["items"]][:2] == ["password.changed", "email.changed"]


def _change_password(holder: Holder) -> Call:
    body = {"current_password": holder.password, "new_password": "another long passphrase"}
    return send("PUT", "/v1/account/password", holder, body)


# --- Registration ---------------------------------------------------------------------------------------------------


async def test_of_fifty_people_who_confirm_one_username_one_gets_it(replicas: Replicas) -> None:
    api, emails = replicas.first, [f"person{number}@example.com" for number in range(MANY)]
    started = await replicas.at_once(
        post("/v1/registrations", {"username": "Wanted", "email": email, "company_name": "Northwind Trading"})
        for email in emails
    )
    codes = [await api.code(email) for email in emails]

    answers = await replicas.at_once(
        post(f"/v1/registrations/{one.json()['id']}/confirm", {"code": code})
        for one, code in zip(started, codes, strict=True)
    )

    assert tally(answers) == {"201": 1, "username_taken": MANY - 1}
    assert await replicas.scalar("SELECT count(*) FROM accounts") == 1


# --- Codes ----------------------------------------------------------------------------------------------------------


async def test_of_fifty_wrong_codes_at_once_five_are_compared(replicas: Replicas) -> None:
    api = replicas.first
    holder = await api.register()
    challenge, code = await _login_code(api, holder)

    answers = await replicas.at_once(_log_in(challenge, another(code, step)) for step in range(1, MANY + 1))

    assert tally(answers) == {"wrong_code": 5, "too_many_tries": MANY - 5}
    assert outcome(await _log_in(challenge, code)(api.client)) == "too_many_tries"


@pytest.mark.settings(daily_tries=8)
async def test_guesses_on_several_codes_at_once_share_the_budget_of_the_account(replicas: Replicas) -> None:
    api = replicas.first
    holder = await api.register()
    challenge, login_code = await _login_code(api, holder)
    reset = (await api.client.post("/v1/password-resets", json={"identifier": holder.username})).json()["id"]
    reset_code = await api.code(holder.email)
    confirm = f"/v1/password-resets/{reset}/confirm"
    guesses = chain.from_iterable(
        (
            _log_in(challenge, another(login_code, step)),
            _log_in(challenge, another(login_code, step + 100)),
            post(confirm, {"code": another(reset_code, step), "new_password": "another long passphrase"}),
            post(confirm, {"code": another(reset_code, step + 100), "new_password": "another long passphrase"}),
        )
        for step in range(1, 13)
    )

    answers = await replicas.at_once(guesses)

    assert tally(answers) == {"wrong_code": 8, "too_many_tries": 40}


async def test_of_fifty_uses_of_the_right_login_code_one_logs_in(replicas: Replicas) -> None:
    api = replicas.first
    holder = await api.register()
    challenge, code = await _login_code(api, holder)

    answers = await replicas.at_once([_log_in(challenge, code)] * MANY)

    assert tally(answers)["201"] == 1
    assert_documented(api, "post /v1/sessions", answers)
    assert await replicas.scalar("SELECT count(*) FROM sessions WHERE method = 'code'") == 1


async def _login_code(api: Api, holder: Holder) -> tuple[str, str]:
    sent = await api.client.post("/v1/login-codes", json={"identifier": holder.username})
    return str(sent.json()["challenge_id"]), await api.code(holder.email)


def _log_in(challenge: str, code: str) -> Call:
    return post("/v1/sessions", {"method": "code", "challenge_id": challenge, "code": code})


# --- Passwords ------------------------------------------------------------------------------------------------------


async def test_of_fifty_wrong_passwords_at_once_only_the_free_ones_are_compared(replicas: Replicas) -> None:
    holder = await replicas.first.register()
    with time_machine.travel(now(), tick=False):
        answers = await replicas.at_once([_log_in_by_password(holder.username, "a wrong passphrase")] * MANY)

    free = replicas.first.settings.login_free_failures
    assert tally(answers) == {"invalid_credentials": free, "login_slowed": MANY - free}
    # Under what was typed and under the account: what was not compared is no failure of the account.
    assert (
        await replicas.scalar("SELECT min(failures) || ' ' || max(failures) FROM login_throttles") == f"{free} {free}"
    )


@pytest.mark.settings(login_free_failures=1_000)
async def test_right_and_wrong_passwords_at_once_never_end_in_an_error_of_ours(replicas: Replicas) -> None:
    """A success locks the account and then forgets its failures, a failure is counted the other way round."""
    holder = await replicas.first.register()
    right = _log_in_by_password(holder.username, PASSWORD)
    wrong = _log_in_by_password(holder.username, "a wrong passphrase")

    answers = await replicas.at_once([right, right, wrong, wrong] * 8)

    assert tally(answers) == {"201": 16, "invalid_credentials": 16}


def _log_in_by_password(identifier: str, password: str) -> Call:
    return post("/v1/sessions", {"method": "password", "identifier": identifier, "password": password})


# --- Sessions -------------------------------------------------------------------------------------------------------


async def test_fifty_refreshes_with_one_token_get_the_same_next_one(replicas: Replicas) -> None:
    holder = await replicas.first.register()
    token = holder.refresh_token
    for _ in range(3):
        answers = await replicas.at_once([_refresh(token)] * MANY)

        assert tally(answers) == {"200": MANY}
        (token,) = {answer.json()["refresh_token"] for answer in answers}
    alive = await replicas.second.client.get(
        "/v1/account", headers={"Authorization": f"Bearer {answers[-1].json()['access_token']}"}
    )
    assert alive.status_code == 200


async def test_an_old_and_a_new_refresh_token_at_once_never_make_two_lines_of_tokens(replicas: Replicas) -> None:
    holder = await replicas.first.register()
    old = holder.refresh_token
    new = (await _refresh(old)(replicas.first.client)).json()["refresh_token"]

    answers = await replicas.at_once([_refresh(old), _refresh(new)] * 25)

    of_old = {answer.json()["refresh_token"] for answer in answers[::2] if answer.is_success}
    of_new = {answer.json()["refresh_token"] for answer in answers[1::2] if answer.is_success}
    assert of_old <= {new}
    assert len(of_new) <= 1


async def test_refreshes_and_logouts_at_once_leave_the_session_ended(replicas: Replicas) -> None:
    holder = await replicas.first.register()
    log_out = send("DELETE", "/v1/sessions/current", holder)

    answers = await replicas.at_once([_refresh(holder.refresh_token), log_out] * 25)
    refreshes, logouts = answers[::2], answers[1::2]

    assert_documented(replicas.first, "post /v1/sessions/refresh", refreshes)
    assert_documented(replicas.first, "delete /v1/sessions/current", logouts)
    assert tally(logouts) == {"204": 1, "session_ended": 24}
    tokens = {holder.refresh_token} | {answer.json()["refresh_token"] for answer in refreshes if answer.is_success}
    after = await replicas.at_once(_refresh(token) for token in tokens)
    assert tally(after) == {"invalid_refresh_token": len(tokens)}


def _refresh(token: str) -> Call:
    return post("/v1/sessions/refresh", {"refresh_token": token})


# --- Profile, and everything together -------------------------------------------------------------------------------


async def test_of_fifty_edits_of_one_version_of_the_profile_one_is_written(replicas: Replicas) -> None:
    holder = await replicas.first.register()

    answers = await replicas.at_once(_edit(holder, f"Contact {number}") for number in range(MANY))

    assert tally(answers) == {"200": 1, "precondition_failed": MANY - 1}
    (written,) = [answer.json()["contact_name"] for answer in answers if answer.is_success]
    read = await replicas.second.client.get("/v1/account/profile", headers=holder.auth)
    assert (read.json()["contact_name"], read.headers["etag"]) == (written, '"2"')


async def test_everything_at_once_on_one_account_never_ends_in_an_error_of_ours(replicas: Replicas) -> None:
    """Each act locks rows of the account in its own order: where two meet head-on, one is run again."""
    api = replicas.first
    holder = await api.register()
    change = await api.reach_confirm(holder, NEW, proves=holder.email)
    challenge, code = await _login_code(api, holder)
    reset = (await api.client.post("/v1/password-resets", json={"identifier": holder.username})).json()["id"]
    reset_body = {"code": await api.code(holder.email), "new_password": "a third long passphrase"}
    calls = [
        post(f"{CHANGES}/{change}/confirm", {"code": await api.code(NEW)}, holder),
        _change_password(holder),
        post(f"/v1/password-resets/{reset}/confirm", reset_body),
        _log_in(challenge, code),
        _log_in_by_password(holder.username, PASSWORD),
        _log_in_by_password(holder.email, "a wrong passphrase"),
        _refresh(holder.refresh_token),
        _edit(holder, "Li Lei"),
        post(CHANGES, {"credential": "phone"}, holder),
        send("DELETE", "/v1/sessions", holder),
        send("GET", "/v1/account", holder),
    ]

    answers = await replicas.at_once(calls * 5)

    assert [answer.text for answer in answers if answer.status_code >= 500] == []


def _edit(holder: Holder, contact_name: str) -> Call:
    headers = {**holder.auth, "If-Match": '"1"'}
    return lambda client: client.patch("/v1/account/profile", json={"contact_name": contact_name}, headers=headers)
