"""Changing the login email and phone: the steps, what each refuses, and what ends a flow."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.core.clock import now
from tests.support.api import (
    PASSWORD,
    Api,
    Holder,
    calling_from,
    cancel,
    change_of,
    frozen,
    may_act,
    may_log_in,
    refusal,
    renewed,
    resend,
    wrong,
)

PHONE = "+8613800138000"
NEW_PHONE = "+8613900139000"
NEW_EMAIL = "fresh@example.org"


@dataclass(frozen=True)
class Case:
    """A credential, its next value, and how both are shown."""

    credential: str
    new: str
    masked_old: str
    masked_new: str
    taken: str

    def old(self, holder: Holder) -> str:
        return holder.email if self.credential == "email" else PHONE


EMAIL_CASE = Case("email", NEW_EMAIL, "h***@example.com", "f***@example.org", "email_taken")
PHONE_CASE = Case("phone", NEW_PHONE, "+86*******8000", "+86*******9000", "phone_taken")
BOTH = pytest.mark.parametrize("case", [EMAIL_CASE, PHONE_CASE], ids=["email", "phone"])


def shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


async def started(api: Api, holder: Holder, credential: str = "email") -> str:
    answer = await api.start(holder, credential)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def proven(api: Api, holder: Holder, credential: str = "email", *, by: str | None = None) -> str:
    """A change whose current contact is proven."""
    change = await started(api, holder, credential)
    answer = await api.step(holder, change, "verify-current", {"code": await api.code(by or holder.email)})
    assert answer.json()["state"] == "propose", answer.text
    return change


async def completed(api: Api, holder: Holder, case: Case, value: str | None = None) -> None:
    value = value or case.new
    change = await api.reach_confirm(holder, value, credential=case.credential, proves=case.old(holder))
    answer = await api.step(holder, change, "confirm", {"code": await api.code(value)})
    assert answer.json()["state"] == "completed", answer.text


async def execute(api: Api, statement: str, **values: Any) -> None:
    """Something that happens to the account elsewhere."""
    async with api.container.engine.begin() as connection:
        await connection.execute(text(statement), values)


async def suspend(api: Api) -> None:
    await execute(api, "UPDATE accounts SET status = 'suspended'")


# --- The steps ------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.settings(code_resend_seconds=60)
async def test_each_step_answers_with_masked_contacts_and_with_what_is_left(api: Api, case: Case) -> None:
    with frozen() as clock:
        holder = await api.register(phone=PHONE)
        at = now()
        first = (await api.start(holder, case.credential)).json()
        change = first["id"]
        assert first == {
            "id": change,
            "credential": case.credential,
            "proof": "current",
            "state": "verify_current",
            "new_value": None,
            "sent_to": case.masked_old,
            "tries_left": 5,
            "resend_at": shown(at + timedelta(seconds=60)),
            "expires_at": shown(at + timedelta(minutes=30)),
            "effective_at": None,
            "created_at": shown(at),
        }

        silent = {"sent_to": None, "tries_left": None, "resend_at": None}
        clock.shift(60)
        code = await api.code(case.old(holder))
        second = (await api.step(holder, change, "verify-current", {"code": code})).json()
        proof_ends = shown(at + timedelta(minutes=11))
        assert second == first | silent | {"state": "propose", "expires_at": proof_ends}

        clock.shift(60)
        third = (await api.step(holder, change, "new-value", {"value": case.new})).json()
        asking = {
            "state": "verify_new",
            "new_value": case.masked_new,
            "sent_to": case.masked_new,
            "resend_at": shown(at + timedelta(seconds=180)),
        }
        assert third == first | asking

        code = await api.code(case.new)
        fourth = (await api.step(holder, change, "confirm", {"code": code})).json()
        done = {"state": "completed", "expires_at": None, "effective_at": shown(at + timedelta(minutes=2))}
        assert fourth == third | silent | done
        assert await change_of(api, holder, change) == fourth


@BOTH
async def test_new_value_logs_in_at_once_and_the_old_one_does_not(api: Api, case: Case) -> None:
    holder = await api.register(phone=PHONE)
    await completed(api, holder, case)
    assert await may_log_in(api, case.new)
    assert not await may_log_in(api, case.old(holder))


async def test_first_phone_is_proven_by_the_email_and_may_be_replaced_at_once(api: Api) -> None:
    holder = await api.register()
    change = (await api.start(holder, "phone", "other")).json()
    assert (change["proof"], change["sent_to"]) == ("current", "h***@example.com")
    await api.step(holder, change["id"], "verify-current", {"code": await api.code(holder.email)})
    await api.step(holder, change["id"], "new-value", {"value": PHONE})
    done = await api.step(holder, change["id"], "confirm", {"code": await api.code(PHONE)})
    assert done.json()["state"] == "completed"
    await completed(api, holder, PHONE_CASE)


async def test_email_of_an_account_without_phone_cannot_be_proven_by_another_credential(api: Api) -> None:
    holder = await api.register()
    assert refusal(await api.start(holder, "email", "other")) == (409, "no_other_credential")


@pytest.mark.parametrize(
    ("reached", "step"),
    [
        ("verify_current", "new-value"),
        ("verify_current", "confirm"),
        ("propose", "verify-current"),
        ("propose", "confirm"),
        ("propose", "resend"),
        ("verify_new", "verify-current"),
        ("completed", "verify-current"),
        ("completed", "new-value"),
        ("completed", "confirm"),
        ("completed", "resend"),
        ("completed", "cancel"),
        ("cancelled", "verify-current"),
        ("cancelled", "resend"),
        ("cancelled", "cancel"),
    ],
)
async def test_step_out_of_its_turn_is_refused(api: Api, reached: str, step: str) -> None:
    holder = await api.register()
    change = await started(api, holder)
    code = await api.code(holder.email)
    if reached not in ("verify_current", "cancelled"):
        await api.step(holder, change, "verify-current", {"code": code})
    if reached in ("verify_new", "completed"):
        await api.step(holder, change, "new-value", {"value": NEW_EMAIL})
    if reached == "completed":
        code = await api.code(NEW_EMAIL)
        await api.step(holder, change, "confirm", {"code": code})
    if reached == "cancelled":
        await cancel(api, holder, change)

    if step == "resend":
        answer = await resend(api, holder, change)
    elif step == "cancel":
        answer = await cancel(api, holder, change)
    else:
        answer = await api.step(holder, change, step, {"value": "b@example.org"} if "value" in step else {"code": code})
    assert refusal(answer) == (409, "wrong_state")
    assert (await change_of(api, holder, change))["state"] == reached


async def test_another_session_sees_and_cancels_a_flow_but_takes_no_step(api: Api) -> None:
    holder = await api.register()
    other = await api.log_in(holder)
    change = await started(api, holder)
    assert (await change_of(api, other, change))["state"] == "verify_current"
    code = await api.code(holder.email)
    assert refusal(await api.step(other, change, "verify-current", {"code": code})) == (409, "other_session")
    assert refusal(await resend(api, other, change)) == (409, "other_session")
    await api.step(holder, change, "verify-current", {"code": code})
    assert refusal(await api.step(other, change, "new-value", {"value": NEW_EMAIL})) == (409, "other_session")
    await api.step(holder, change, "new-value", {"value": NEW_EMAIL})
    code = await api.code(NEW_EMAIL)
    assert refusal(await api.step(other, change, "confirm", {"code": code})) == (409, "other_session")
    assert (await cancel(api, other, change)).status_code == 204
    assert (await change_of(api, holder, change))["state"] == "cancelled"


async def test_another_account_does_not_find_a_flow_and_its_guesses_cost_the_holder_nothing(api: Api) -> None:
    holder, stranger = await api.register(), await api.register()
    change = await started(api, holder)
    code = await api.code(holder.email)
    url = f"/v1/account/credential-changes/{change}"
    answers = [
        await api.client.get(url, headers=stranger.auth),
        await api.step(stranger, change, "new-value", {"value": NEW_EMAIL}),
        await api.step(stranger, change, "confirm", {"code": code}),
        await resend(api, stranger, change),
        await cancel(api, stranger, change),
    ]
    answers += [await api.step(stranger, change, "verify-current", {"code": wrong(code)}) for _ in range(25)]
    answers.append(await api.step(stranger, change, "verify-current", {"code": code}))
    assert {refusal(answer) for answer in answers} == {(404, "not_found")}
    assert (await change_of(api, holder, change))["tries_left"] == 5
    assert (await api.step(holder, change, "verify-current", {"code": code})).status_code == 200


async def test_account_shows_the_open_changes_and_no_others(api: Api) -> None:
    holder = await api.register(phone=PHONE)
    over = await started(api, holder)
    await cancel(api, holder, over)
    email, phone = await proven(api, holder), await started(api, holder, "phone")
    account = (await api.client.get("/v1/account", headers=holder.auth)).json()
    listed = (await api.client.get("/v1/account/credential-changes", headers=holder.auth)).json()
    assert [(one["id"], one["state"]) for one in listed["items"]] == [(email, "propose"), (phone, "verify_current")]
    assert account["credential_changes"] == listed["items"]


# --- Codes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["an earlier flow", "another account", "a login", "an earlier send"])
async def test_code_of_elsewhere_is_wrong_at_the_first_step(api: Api, source: str) -> None:
    holder = await api.register()
    earlier = await started(api, holder)
    code = await api.code(holder.email)
    if source == "another account":
        stranger = await api.register()
        await started(api, stranger)
        code = await api.code(stranger.email)
    if source == "an earlier send":
        await resend(api, holder, earlier)
        change = earlier
    else:
        await cancel(api, holder, earlier)
        change = await started(api, holder)
    right = await api.code(holder.email)
    if source == "a login":
        await api.client.post("/v1/login-codes", json={"identifier": holder.username})
        code = await api.code(holder.email)
    # Six digits may be alike by chance: then there is nothing to tell apart.
    assert code == right or refusal(await api.step(holder, change, "verify-current", {"code": code})) == (
        422,
        "wrong_code",
    )
    assert (await api.step(holder, change, "verify-current", {"code": right})).json()["state"] == "propose"


async def test_code_of_the_first_step_and_that_of_another_claim_are_wrong_at_the_last(api: Api) -> None:
    holder, stranger = await api.register(), await api.register()
    change = await started(api, holder)
    first = await api.code(holder.email)
    await api.step(holder, change, "verify-current", {"code": first})
    await api.step(holder, change, "new-value", {"value": NEW_EMAIL})
    right = await api.code(NEW_EMAIL)
    await api.reach_confirm(stranger, NEW_EMAIL, proves=stranger.email)
    claims = await api.code(NEW_EMAIL)
    for foreign in {first, claims} - {right}:
        assert refusal(await api.step(holder, change, "confirm", {"code": foreign})) == (422, "wrong_code")
    assert (await api.step(holder, change, "confirm", {"code": right})).json()["state"] == "completed"


async def test_code_expires_after_ten_minutes_and_another_may_be_asked_for(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        change = await started(api, holder)
        code = await api.code(holder.email)
        clock.shift(timedelta(minutes=10))
        holder = await renewed(api, holder)
        assert refusal(await api.step(holder, change, "verify-current", {"code": code})) == (410, "code_expired")
        await resend(api, holder, change)
        code = await api.code(holder.email)
        assert (await api.step(holder, change, "verify-current", {"code": code})).status_code == 200


async def test_code_works_until_its_last_second(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        change = await started(api, holder)
        code = await api.code(holder.email)
        clock.shift(timedelta(minutes=9, seconds=59))
        assert (await api.step(holder, change, "verify-current", {"code": code})).status_code == 200


async def test_one_right_code_sent_many_times_at_once_changes_the_login_once(pg_api: Api) -> None:
    holder = await pg_api.register()
    change = await pg_api.reach_confirm(holder, NEW_EMAIL, proves=holder.email)
    code = {"code": await pg_api.code(NEW_EMAIL)}
    answers = await asyncio.gather(*(pg_api.step(holder, change, "confirm", code) for _ in range(4)))
    refused = [refusal(answer) for answer in answers if answer.status_code != 200]
    assert len(refused) == 3
    assert set(refused) <= {(409, "wrong_state"), (409, "code_used"), (409, "credentials_moved")}
    assert (await change_of(pg_api, holder, change))["state"] == "completed"
    assert len(await pg_api.messages(NEW_EMAIL, "credential_changed_new")) == 1


# --- Time -----------------------------------------------------------------------------------------------------------


async def test_proof_is_good_for_ten_minutes(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        change = await proven(api, holder)
        clock.shift(timedelta(minutes=9, seconds=59))
        assert (await api.step(holder, change, "new-value", {"value": NEW_EMAIL})).status_code == 200
        clock.shift(timedelta(seconds=1))
        holder = await renewed(api, holder)
        again = await api.step(holder, change, "new-value", {"value": "typo@example.org"})
        assert refusal(again) == (410, "change_expired")
        code = await api.code(NEW_EMAIL)
        assert (await api.step(holder, change, "confirm", {"code": code})).json()["state"] == "completed"


async def test_proof_that_nothing_followed_ends_the_flow(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        change = await proven(api, holder)
        clock.shift(timedelta(minutes=10))
        holder = await renewed(api, holder)
        assert (await change_of(api, holder, change))["state"] == "expired"
        answer = await api.step(holder, change, "new-value", {"value": NEW_EMAIL})
        assert refusal(answer) == (410, "change_expired")


@pytest.mark.parametrize("step", ["confirm", "new-value", "resend"])
async def test_flow_ends_after_thirty_minutes(api: Api, step: str) -> None:
    with frozen() as clock:
        holder = await api.register()
        change = await started(api, holder)
        clock.shift(timedelta(minutes=9))
        await api.step(holder, change, "verify-current", {"code": await api.code(holder.email)})
        clock.shift(timedelta(minutes=9))
        holder = await renewed(api, holder)
        await api.step(holder, change, "new-value", {"value": NEW_EMAIL})
        clock.shift(timedelta(minutes=8))
        await resend(api, holder, change)
        code = await api.code(NEW_EMAIL)
        clock.shift(timedelta(minutes=3, seconds=59))
        holder = await renewed(api, holder)
        assert (await change_of(api, holder, change))["state"] == "verify_new"
        clock.shift(timedelta(seconds=1))
        assert (await change_of(api, holder, change))["state"] == "expired"
        if step == "resend":
            answer = await resend(api, holder, change)
        else:
            answer = await api.step(holder, change, step, {"code": code} if step == "confirm" else {"value": "b@c.org"})
        assert refusal(answer) == (410, "change_expired")
        assert not await may_log_in(api, NEW_EMAIL)


async def test_flow_whose_time_is_over_makes_room_for_another(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        await started(api, holder)
        clock.shift(timedelta(minutes=30))
        holder = await renewed(api, holder)
        listed = await api.client.get("/v1/account/credential-changes", headers=holder.auth)
        assert listed.json()["items"] == []
        change = await started(api, holder)
        assert (await change_of(api, holder, change))["state"] == "verify_current"


# --- The new value --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("credential", "value", "code"),
    [
        ("email", "no address", "invalid_email"),
        ("email", "a@b", "invalid_email"),
        ("email", PHONE, "invalid_email"),
        ("email", "HOLDER@example.com", "same_value"),
        ("phone", "not a number", "invalid_phone"),
        ("phone", "+86138", "invalid_phone"),
        ("phone", "someone@example.org", "invalid_phone"),
        ("phone", "+861084567890", "phone_not_mobile"),
        ("phone", "+5511961234567", "phone_country_not_served"),
        ("phone", "138 0013 8000", "same_value"),
    ],
)
async def test_value_that_cannot_be_used_is_refused_with_its_reason(
    api: Api, credential: str, value: str, code: str
) -> None:
    holder = await api.register(phone=PHONE, email="Holder@example.com")
    change = await proven(api, holder, credential, by=holder.email if credential == "email" else PHONE)
    answer = await api.step(holder, change, "new-value", {"value": value})
    assert refusal(answer) == (422, "validation_failed")
    assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [("/value", code)]
    assert (await change_of(api, holder, change))["state"] == "propose"


async def test_national_number_is_read_in_the_region_of_the_account(api: Api) -> None:
    holder = await api.register(region="SG")
    change = await proven(api, holder, "phone")
    proposed = await api.step(holder, change, "new-value", {"value": "8123 4567"})
    assert proposed.json()["sent_to"] == "+65****4567"
    assert await api.messages("+6581234567", "change_new_code")


async def test_another_value_may_be_proposed_after_a_typo(api: Api) -> None:
    holder = await api.register()
    change = await api.reach_confirm(holder, "tpyo@example.org", proves=holder.email)
    typo_code = await api.code("tpyo@example.org")
    again = await api.step(holder, change, "new-value", {"value": NEW_EMAIL})
    assert (again.json()["state"], again.json()["new_value"]) == ("verify_new", "f***@example.org")
    code = await api.code(NEW_EMAIL)
    if typo_code != code:
        assert refusal(await api.step(holder, change, "confirm", {"code": typo_code})) == (422, "wrong_code")
    assert (await api.step(holder, change, "confirm", {"code": code})).json()["state"] == "completed"
    assert await may_log_in(api, NEW_EMAIL)
    assert not await may_log_in(api, "tpyo@example.org")


@BOTH
async def test_taken_value_is_told_only_to_who_proves_it_and_another_may_follow(api: Api, case: Case) -> None:
    await api.register(email=NEW_EMAIL, phone=NEW_PHONE)
    with frozen():
        holder = await api.register(phone=PHONE)
        change = await proven(api, holder, case.credential, by=case.old(holder))
        free = {"email": "free@example.net", "phone": "+8613700137000"}[case.credential]
        of_free = await api.step(holder, change, "new-value", {"value": free})
        of_taken = await api.step(holder, change, "new-value", {"value": case.new})
        masked = {"new_value": case.masked_new, "sent_to": case.masked_new}
        assert of_taken.json() == of_free.json() | masked
        code = await api.code(case.new)
        assert refusal(await api.step(holder, change, "confirm", {"code": wrong(code)})) == (422, "wrong_code")
        assert refusal(await api.step(holder, change, "confirm", {"code": code})) == (409, case.taken)
        back = await change_of(api, holder, change)
        assert (back["state"], back["new_value"]) == ("propose", None)
        await api.step(holder, change, "new-value", {"value": free})
        done = await api.step(holder, change, "confirm", {"code": await api.code(free)})
        assert done.json()["state"] == "completed"


@BOTH
async def test_two_accounts_that_prove_one_value_at_once_do_not_both_get_it(pg_api: Api, case: Case) -> None:
    one = await pg_api.register(phone=PHONE)
    two = await pg_api.register(phone="+8613600136000")
    claims: list[tuple[Holder, str, dict[str, str]]] = []
    for holder, phone in ((one, PHONE), (two, "+8613600136000")):
        proves = holder.email if case.credential == "email" else phone
        change = await pg_api.reach_confirm(holder, case.new, credential=case.credential, proves=proves)
        claims.append((holder, change, {"code": await pg_api.code(case.new)}))
    answers = await asyncio.gather(*(pg_api.step(holder, change, "confirm", code) for holder, change, code in claims))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert {answer.json().get("code") for answer in answers} == {None, case.taken}
    states = {(await change_of(pg_api, holder, change))["state"] for holder, change, _ in claims}
    assert states == {"completed", "propose"}


# --- One at a time, and what ends a flow ----------------------------------------------------------------------------


async def test_one_flow_is_open_for_each_credential(api: Api) -> None:
    holder = await api.register(phone=PHONE)
    email = await started(api, holder)
    phone = await started(api, holder, "phone")
    assert refusal(await api.start(holder)) == (409, "change_open")
    assert refusal(await api.start(holder, "phone", "other")) == (409, "change_open")
    code = await api.code(holder.email)
    assert (await api.step(holder, email, "verify-current", {"code": code})).status_code == 200
    await cancel(api, holder, phone)
    await started(api, holder, "phone")


async def test_flows_started_at_once_for_one_credential_leave_one_open(pg_api: Api) -> None:
    holder = await pg_api.register()
    answers = await asyncio.gather(*(pg_api.start(holder) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert {answer.json().get("code") for answer in answers} == {None, "change_open"}


async def _change_password(api: Api, holder: Holder, _: Holder) -> None:
    body = {"current_password": PASSWORD, "new_password": "another long passphrase"}
    answer = await api.client.put("/v1/account/password", json=body, headers=holder.auth)
    assert answer.status_code == 204


async def _change_phone(api: Api, holder: Holder, _: Holder) -> None:
    await completed(api, holder, PHONE_CASE)


async def _log_out(api: Api, holder: Holder, _: Holder) -> None:
    assert (await api.client.delete("/v1/sessions/current", headers=holder.auth)).status_code == 204


async def _end_it(api: Api, holder: Holder, other: Holder) -> None:
    answer = await api.client.delete(f"/v1/sessions/{holder.session_id}", headers=other.auth)
    assert answer.status_code == 204


async def _end_all_others(api: Api, _: Holder, other: Holder) -> None:
    assert (await api.client.delete("/v1/sessions", headers=other.auth)).status_code == 204


@pytest.mark.parametrize("end", [_change_password, _change_phone, _log_out, _end_it, _end_all_others])
async def test_flow_dies_with_its_session_and_when_the_credentials_move(api: Api, end: Any) -> None:
    holder = await api.register(phone=PHONE)
    other = await api.log_in(holder)
    change = await api.reach_confirm(holder, NEW_EMAIL, proves=holder.email)
    code = await api.code(NEW_EMAIL)
    await end(api, holder, other)
    watcher = holder if await may_act(api, holder) else other
    assert (await change_of(api, watcher, change))["state"] == "cancelled"
    answer = await api.step(holder, change, "confirm", {"code": code})
    assert refusal(answer) in {(409, "wrong_state"), (401, "session_ended")}
    assert (await api.start(watcher)).status_code == 201  # there is room for another


async def test_end_of_another_session_leaves_the_flow(api: Api) -> None:
    holder = await api.register()
    other = await api.log_in(holder)
    change = await started(api, holder)
    await _log_out(api, other, holder)
    assert (await change_of(api, holder, change))["state"] == "verify_current"


async def test_credentials_that_moved_at_the_last_moment_leave_the_login_and_end_the_flow(api: Api) -> None:
    holder = await api.register()
    change = await api.reach_confirm(holder, NEW_EMAIL, proves=holder.email)
    await execute(api, "UPDATE accounts SET credentials_version = credentials_version + 1")
    answer = await api.step(holder, change, "confirm", {"code": await api.code(NEW_EMAIL)})
    assert refusal(answer) == (409, "credentials_moved")
    assert (await change_of(api, holder, change))["state"] == "cancelled"
    assert await may_log_in(api, holder.email)
    assert not await may_log_in(api, NEW_EMAIL)


async def test_suspended_account_changes_nothing(api: Api) -> None:
    holder = await api.register()
    change = await api.reach_confirm(holder, NEW_EMAIL, proves=holder.email)
    code = {"code": await api.code(NEW_EMAIL)}
    await suspend(api)
    assert refusal(await api.step(holder, change, "confirm", code)) == (401, "session_ended")
    await execute(api, "UPDATE accounts SET status = 'active'")
    assert await may_log_in(api, holder.email)


@BOTH
async def test_completed_change_ends_all_that_was_open_but_the_session_that_made_it(api: Api, case: Case) -> None:
    holder = await api.register(phone=PHONE)
    others = [await api.log_in(holder) for _ in range(2)]
    other_credential = "phone" if case.credential == "email" else "email"
    flow = await started(api, others[0], other_credential)
    login = (await api.client.post("/v1/login-codes", json={"identifier": holder.username})).json()["challenge_id"]
    login_code = await api.code(holder.email)
    reset = (await api.client.post("/v1/password-resets", json={"identifier": PHONE})).json()["id"]
    reset_code = await api.code(PHONE)

    await completed(api, holder, case)
    assert await may_act(api, holder)
    assert [await may_act(api, other) for other in others] == [False, False]
    refreshed = await api.client.post("/v1/sessions/refresh", json={"refresh_token": others[0].refresh_token})
    assert refusal(refreshed) == (401, "invalid_refresh_token")
    assert (await change_of(api, holder, flow))["state"] == "cancelled"
    entered = await api.client.post("/v1/sessions", json={"method": "code", "challenge_id": login, "code": login_code})
    assert refusal(entered) == (409, "code_used")
    body = {"code": reset_code, "new_password": "another long passphrase"}
    assert refusal(await api.client.post(f"/v1/password-resets/{reset}/confirm", json=body)) == (409, "code_used")


@BOTH
async def test_second_change_of_a_credential_waits_a_day_and_that_of_the_other_does_not(api: Api, case: Case) -> None:
    with frozen() as clock:
        holder = await api.register(phone=PHONE)
        await completed(api, holder, case)
        assert refusal(await api.start(holder, case.credential)) == (409, "change_held")
        other = await api.start(holder, "phone" if case.credential == "email" else "email")
        assert other.status_code == 201
        clock.shift(timedelta(hours=23, minutes=59, seconds=59))
        holder = await renewed(api, holder)
        assert refusal(await api.start(holder, case.credential)) == (409, "change_held")
        clock.shift(timedelta(seconds=1))
        assert (await api.start(holder, case.credential)).status_code == 201


# --- Tries ----------------------------------------------------------------------------------------------------------


async def guess(api: Api, holder: Holder, change: str, step: str, code: str, *, times: int) -> list[tuple[int, str]]:
    return [refusal(await api.step(holder, change, step, {"code": code})) for _ in range(times)]


WRONG, SPENT = (422, "wrong_code"), (429, "too_many_tries")


async def test_wrong_code_is_counted_even_though_the_request_fails(api: Api) -> None:
    holder = await api.register()
    change = await started(api, holder)
    code = wrong(await api.code(holder.email))
    left = []
    for _ in range(5):
        answer = await api.step(holder, change, "verify-current", {"code": code})
        assert refusal(answer) == WRONG
        left.append((answer.json()["tries_left"], (await change_of(api, holder, change))["tries_left"]))
    assert left == [(4, 4), (3, 3), (2, 2), (1, 1), (0, 0)]


@pytest.mark.parametrize("step", ["verify-current", "confirm"])
async def test_right_code_is_refused_after_five_wrong_ones_until_another_is_sent(api: Api, step: str) -> None:
    with frozen():
        holder = await api.register()
        target = holder.email
        if step == "verify-current":
            change = await started(api, holder)
        else:
            target = NEW_EMAIL
            change = await api.reach_confirm(holder, target, proves=holder.email)
        code = await api.code(target)
        assert await guess(api, holder, change, step, wrong(code), times=5) == [WRONG] * 5
        refused = await api.step(holder, change, step, {"code": code})
        assert refusal(refused) == SPENT
        assert refused.headers["Retry-After"] == "600"  # the life of the code
        assert (await resend(api, holder, change)).json()["tries_left"] == 5
        answer = await api.step(holder, change, step, {"code": await api.code(target)})
        assert answer.status_code == 200


async def test_ten_wrong_codes_over_both_steps_end_the_flow(api: Api) -> None:
    holder = await api.register()
    change = await started(api, holder)
    code = await api.code(holder.email)
    assert await guess(api, holder, change, "verify-current", wrong(code), times=4) == [WRONG] * 4
    await api.step(holder, change, "verify-current", {"code": code})
    await api.step(holder, change, "new-value", {"value": NEW_EMAIL})
    code = await api.code(NEW_EMAIL)
    assert await guess(api, holder, change, "confirm", wrong(code), times=3) == [WRONG] * 3
    assert (await resend(api, holder, change)).json()["tries_left"] == 3
    code = await api.code(NEW_EMAIL)
    assert await guess(api, holder, change, "confirm", wrong(code), times=3) == [WRONG] * 3
    assert (await guess(api, holder, change, "confirm", code, times=1)) == [SPENT]
    assert (await change_of(api, holder, change))["state"] == "expired"
    assert not await may_log_in(api, NEW_EMAIL)
    listed = await api.client.get("/v1/account/credential-changes", headers=holder.auth)
    assert listed.json()["items"] == []
    await started(api, holder)  # it makes room


@pytest.mark.parametrize("step", ["resend", "new-value"])
async def test_flow_without_tries_sends_no_more_codes(api: Api, step: str) -> None:
    holder = await api.register()
    change = await api.reach_confirm(holder, NEW_EMAIL, proves=holder.email)
    await guess(api, holder, change, "confirm", wrong(await api.code(NEW_EMAIL)), times=5)
    await resend(api, holder, change)
    await guess(api, holder, change, "confirm", wrong(await api.code(NEW_EMAIL)), times=5)
    if step == "resend":
        answer = await resend(api, holder, change)
    else:
        answer = await api.step(holder, change, step, {"value": "b@example.org"})
    assert refusal(answer) == (410, "change_expired")


@pytest.mark.settings(daily_tries=6)
@pytest.mark.parametrize("step", ["verify-current", "confirm"])
async def test_daily_tries_of_an_account_outlive_its_flows(api: Api, step: str) -> None:
    holder = await api.register()

    async def reach(target: str) -> tuple[str, str]:
        if step == "verify-current":
            return await started(api, holder), await api.code(holder.email)
        return await api.reach_confirm(holder, target, proves=holder.email), await api.code(target)

    with frozen() as clock:
        holder = await renewed(api, holder)
        change, code = await reach("first@example.org")
        assert await guess(api, holder, change, step, wrong(code), times=4) == [WRONG] * 4
        await cancel(api, holder, change)
        clock.shift(timedelta(hours=1))
        holder = await renewed(api, holder)
        change, code = await reach("second@example.org")
        assert await guess(api, holder, change, step, wrong(code), times=2) == [WRONG] * 2
        refused = await api.step(holder, change, step, {"code": code})
        assert refusal(refused) == SPENT
        assert refused.headers["Retry-After"] == str(23 * 3600)
        clock.shift(timedelta(hours=23))
        holder = await renewed(api, holder)
        change, code = await reach("third@example.org")
        assert (await api.step(holder, change, step, {"code": code})).status_code == 200


@pytest.mark.settings(daily_tries=3)
async def test_right_codes_do_not_use_up_the_daily_tries(api: Api) -> None:
    holder = await api.register()
    for _ in range(5):
        change = await proven(api, holder)
        await cancel(api, holder, change)


@pytest.mark.settings(daily_tries=3)
async def test_guesses_of_strangers_do_not_use_up_the_tries_of_the_session(api: Api) -> None:
    holder, stranger = await api.register(), await api.register()
    async with calling_from(api, "203.0.113.9") as elsewhere:
        asked = await elsewhere.client.post("/v1/login-codes", json={"identifier": holder.email})
        entry = {"method": "code", "challenge_id": asked.json()["challenge_id"]}
        code = wrong(await api.code(holder.email))
        guesses = [await elsewhere.client.post("/v1/sessions", json=entry | {"code": code}) for _ in range(5)]
    assert refusal(guesses[-1]) == SPENT
    claim = await api.reach_confirm(stranger, holder.email, proves=stranger.email)
    code = wrong(await api.code(holder.email))
    assert (await guess(api, stranger, claim, "confirm", code, times=5))[-1] == SPENT
    await completed(api, holder, EMAIL_CASE)


# --- Sends ----------------------------------------------------------------------------------------------------------


@pytest.mark.settings(code_resend_seconds=60)
async def test_codes_are_sent_a_minute_apart(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        change = await started(api, holder)
        clock.shift(59)
        early = await resend(api, holder, change)
        assert (refusal(early), early.headers["Retry-After"]) == ((429, "resend_too_soon"), "1")
        clock.shift(1)
        sent = await resend(api, holder, change)
        assert sent.json()["resend_at"] == shown(now() + timedelta(seconds=60))
        assert len(await api.messages(holder.email, "change_current_code")) == 2


@pytest.mark.settings(code_resend_seconds=60)
async def test_flow_that_follows_a_cancelled_one_keeps_the_minute(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        await cancel(api, holder, await started(api, holder))
        assert refusal(await api.start(holder)) == (429, "resend_too_soon")
        clock.shift(60)
        await started(api, holder)


async def test_flow_sends_five_codes_over_both_steps(api: Api) -> None:
    with frozen():
        holder = await api.register()
        change = await started(api, holder)
        await resend(api, holder, change)
        await api.step(holder, change, "verify-current", {"code": await api.code(holder.email)})
        await api.step(holder, change, "new-value", {"value": "tpyo@example.org"})
        await api.step(holder, change, "new-value", {"value": NEW_EMAIL})
        assert (await resend(api, holder, change)).status_code == 200
        code = await api.code(NEW_EMAIL)
        again = await resend(api, holder, change)
        assert (refusal(again), again.headers["Retry-After"]) == ((429, "too_many_sends"), "1800")
        another = await api.step(holder, change, "new-value", {"value": "b@example.org"})
        assert refusal(another) == (429, "too_many_sends")
        assert (await api.step(holder, change, "confirm", {"code": code})).json()["state"] == "completed"


@pytest.mark.settings(daily_sends_per_target=3)
async def test_daily_sends_to_a_contact_outlive_a_flow(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        for _ in range(3):
            await cancel(api, holder, await started(api, holder))
        refused = await api.start(holder)
        assert (refusal(refused), refused.headers["Retry-After"]) == ((429, "too_many_sends"), "86400")
        clock.shift(timedelta(days=1))
        await started(api, await renewed(api, holder))


@pytest.mark.settings(daily_sends_per_target=3)
async def test_strangers_who_propose_a_contact_do_not_stop_its_holder(api: Api) -> None:
    holder, stranger = await api.register(), await api.register()
    change = await proven(api, stranger)
    proposals = [await api.step(stranger, change, "new-value", {"value": holder.email}) for _ in range(4)]
    assert refusal(proposals[-1]) == (429, "too_many_sends")
    await completed(api, holder, EMAIL_CASE)
