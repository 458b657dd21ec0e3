"""Changing the login email and phone: the steps, the new value, and what each refuses."""

import asyncio
from datetime import timedelta

import pytest

from app.core.clock import now
from tests.support.api import (
    Api,
    Holder,
    cancel,
    change_of,
    frozen,
    may_log_in,
    refusal,
    resend,
    wrong,
)
from tests.support.changes import (
    BOTH,
    NEW_EMAIL,
    NEW_PHONE,
    PHONE,
    PHONE_CASE,
    Case,
    completed,
    proven,
    shown,
    started,
)


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
