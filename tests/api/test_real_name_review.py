"""Staff's part: a queue, a decision with a reason, and two people where a provider is overruled."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from app.core.clock import now
from app.core.scopes import Scope
from app.models.real_name import DocumentUse, Submission, SubmissionStatus
from tests.support.api import Api, Holder, frozen, refusal
from tests.support.real_names import (
    CREDIT_CODE,
    OTHER_ID_NUMBER,
    decided,
    enterprise,
    gate,
    individual,
    status,
    submitted,
    withdraw,
)
from tests.support.services import ServiceClient, client, feed, staff

Json = dict[str, Any]
QUEUE = "/real-name/submissions"
ABROAD = enterprise("Acme Pte. Ltd.", "201912345K", country="SG")
UNKNOWN, REFUSED = enterprise("Acme (not found)"), enterprise("Acme (mismatched)")
FIRST, SECOND = "han.meimei", "li.lei"


async def decide(
    desk: ServiceClient, submission: str, decision: str = "approve", actor: str = FIRST, **members: Any
) -> httpx.Response:
    body = {"decision": decision, **members}
    return await desk.post(f"{QUEUE}/{submission}/decision", body, headers=staff(actor, "工单 4711"))


async def queue(desk: ServiceClient, **params: Any) -> Json:
    answer = await desk.get(QUEUE, **params)
    assert answer.status_code == 200, answer.text
    page: Json = answer.json()
    return page


async def trail(desk: ServiceClient, holder: Holder) -> list[tuple[Any, ...]]:
    """What staff did, the latest first."""
    answer = await desk.get(f"/accounts/{holder.account_id}/activity")
    assert answer.status_code == 200, answer.text
    entries = [one for one in answer.json()["items"] if one["actor"] == "staff"]
    return [(one["action"], one["actor_name"], one["reason"], one["old_value"], one["new_value"]) for one in entries]


async def uses(api: Api) -> int:
    async with api.container.engine.connect() as connection:
        return await connection.scalar(select(func.sum(DocumentUse.used))) or 0


# --- The queue ------------------------------------------------------------------------------------------------------


async def test_the_queue_shows_in_clear_what_was_submitted_and_who_was_asked(api: Api) -> None:
    holder, desk = await api.register(), await client(api)
    legal = {"name": "李雷", "id_number": OTHER_ID_NUMBER}
    with frozen():
        submission = await decided(api, holder, enterprise("Acme (not found)", legal_representative=legal))

    (found,) = (await queue(desk))["items"]

    (call,) = found.pop("calls")
    created = found.pop("created_at")
    assert found == {
        "id": submission,
        "account_id": holder.account_id,
        "type": "enterprise",
        "status": "pending",
        "country": "CN",
        "name": "Acme (not found)",
        "number": CREDIT_CODE,
        "legal_representative": "李雷",
        "legal_id_number": OTHER_ID_NUMBER,
        "phone": None,
        "in_review": True,
        "reason": "not_found",
        "field": None,
        "proposed_by": None,
        "decided_at": None,
    }
    assert call.pop("request_id")
    assert call == {"provider": "sandbox", "outcome": "not_found", "detail": "sandbox", "created_at": created}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, ["pending", "abroad", "unknown", "refused", "person"]),
        ({"in_review": True}, ["abroad", "unknown"]),
        ({"in_review": False}, ["pending", "refused", "person"]),
        ({"status": "rejected"}, ["refused"]),
        ({"status": "cancelled"}, []),
        ({"status": "pending"}, ["pending", "abroad", "unknown"]),
        ({"status": "pending", "in_review": False}, ["pending"]),
        ({"type": "individual"}, ["person"]),
        ({"type": "individual", "status": "rejected"}, []),
        ({"type": "individual", "status": "rejected", "in_review": False}, []),
        ({"type": "enterprise", "status": "pending", "in_review": True}, ["abroad", "unknown"]),
    ],
)
async def test_the_queue_is_filtered_and_read_a_page_at_a_time(api: Api, wanted: Json, expected: list[str]) -> None:
    desk, made = await client(api), {}
    for name, body in (("person", individual()), ("refused", REFUSED), ("unknown", UNKNOWN), ("abroad", ABROAD)):
        made[await decided(api, await api.register(), body)] = name
    made[await submitted(api, await api.register(), enterprise())] = "pending"

    found, cursor = [], None
    while True:
        page = await queue(desk, limit=2, **wanted, **({"cursor": cursor} if cursor else {}))
        found += [made[one["id"]] for one in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break

    assert found == expected


@pytest.mark.parametrize(
    "params", [{"status": "open"}, {"type": "x"}, {"in_review": "perhaps"}, {"limit": 0}, {"q": 1}]
)
async def test_a_filter_that_is_none_is_refused(api: Api, params: Json) -> None:
    assert refusal(await (await client(api)).get(QUEUE, **params)) == (422, "validation_failed")


async def test_the_scope_for_the_trail_does_not_open_the_queue_or_decide(api: Api) -> None:
    desk = await client(api, Scope.STAFF_AUDIT, Scope.STAFF_ACCOUNTS)
    submission = await decided(api, await api.register(), ABROAD)
    assert refusal(await desk.get(QUEUE)) == (403, "insufficient_scope")
    assert refusal(await decide(desk, submission)) == (403, "insufficient_scope")


# --- A decision -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [ABROAD, UNKNOWN, enterprise("Acme (not operating)")])
async def test_staff_approves_what_is_in_review_and_the_trail_says_who_and_why(api: Api, body: Json) -> None:
    holder, desk = await api.register(), await client(api)
    submission = await decided(api, holder, body)

    answer = await decide(desk, submission)

    decision = {member: answer.json()[member] for member in ("status", "in_review", "reason", "proposed_by")}
    assert decision == {"status": "verified", "in_review": False, "reason": None, "proposed_by": None}
    assert ((await gate(desk, holder))["reason"], (await status(api, holder))["status"]) == ("verified", "verified")
    assert await trail(desk, holder) == [("real_name.verified", FIRST, "工单 4711", submission, None)]


@pytest.mark.parametrize(
    ("members", "reason"),
    [({}, "other"), *(({"reason": each}, each) for each in ("unclear_document", "forged_document", "not_operating"))],
)
async def test_staff_rejects_what_is_in_review_for_a_reason_that_the_holder_is_told(
    api: Api, members: Json, reason: str
) -> None:
    holder, desk = await api.register(), await client(api)
    submission = await decided(api, holder, UNKNOWN)

    answer = await decide(desk, submission, "reject", **members)

    assert (answer.status_code, answer.json()["status"], answer.json()["reason"]) == (200, "rejected", reason)
    found = (await status(api, holder))["latest"]
    assert (found["status"], found["reason"], bool(found["reason_text"])) == ("rejected", reason, True)
    assert await trail(desk, holder) == [("real_name.rejected", FIRST, "工单 4711", submission, reason)]
    told = [(one["type"], one["data"]["reason"]) for one in (await feed(desk))[-1:]]
    assert (told, len(await api.messages(holder.email, "real_name_rejected"))) == ([("real_name.rejected", reason)], 1)


@pytest.mark.parametrize(
    "body",
    [
        {"decision": "maybe"},
        {"decision": None},
        {},
        {"decision": "reject", "reason": "review_needed"},
        {"decision": "reject", "reason": "mismatched"},
        {"decision": "reject", "reason": "because"},
        {"decision": "reject", "note": "x"},
    ],
)
async def test_a_decision_that_is_none_is_refused(api: Api, body: Json) -> None:
    desk = await client(api)
    submission = await decided(api, await api.register(), ABROAD)
    answer = await desk.post(f"{QUEUE}/{submission}/decision", body, headers=staff())
    assert refusal(answer) == (422, "validation_failed")


@pytest.mark.parametrize(
    ("body", "decision"),
    [
        (enterprise("Acme (unavailable)"), "approve"),
        (enterprise("Acme (unavailable)"), "reject"),
        (enterprise(), "approve"),
        (enterprise(), "reject"),
        (REFUSED, "reject"),
    ],
)
async def test_what_is_not_staffs_to_decide_stays_as_it_is(api: Api, body: Json, decision: str) -> None:
    holder, desk = await api.register(), await client(api)
    submission = await decided(api, holder, body)
    before = await status(api, holder)
    assert refusal(await decide(desk, submission, decision)) == (409, "wrong_state")
    assert (await status(api, holder), await trail(desk, holder)) == (before, [])


@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_what_was_withdrawn_cannot_be_decided(api: Api, decision: str) -> None:
    holder, desk = await api.register(), await client(api)
    submission = await decided(api, holder, ABROAD)
    await withdraw(api, holder, submission)
    assert refusal(await decide(desk, submission, decision)) == (409, "wrong_state")


@pytest.mark.parametrize("reason", ["not_found", "forged_document", "other"])
async def test_what_staff_rejected_stays_rejected_whatever_the_reason(api: Api, reason: str) -> None:
    desk = await client(api)
    submission = await decided(api, await api.register(), UNKNOWN)
    await decide(desk, submission, "reject", reason=reason)
    assert refusal(await decide(desk, submission, actor=SECOND)) == (409, "wrong_state")


@pytest.mark.parametrize("submission", ["rnam_0193b5c27d3e7a41b4d2c9f1e8a60b57", "rnam_1", "acnt_1"])
async def test_an_unknown_submission_is_not_found(api: Api, submission: str) -> None:
    assert refusal(await decide(await client(api), submission)) == (404, "not_found")


# --- Overruling a provider ------------------------------------------------------------------------------------------


async def test_two_people_together_overrule_a_provider(api: Api) -> None:
    holder, desk = await api.register(), await client(api)
    submission = await decided(api, holder, REFUSED)

    first = (await decide(desk, submission)).json()
    between = await gate(desk, holder)
    second = (await decide(desk, submission, actor=SECOND)).json()

    assert (first["status"], first["proposed_by"], between["reason"]) == ("rejected", FIRST, "rejected")
    assert (second["status"], (await gate(desk, holder))["verified_name"]) == ("verified", "Acme (mismatched)")
    assert await trail(desk, holder) == [
        ("real_name.verified", SECOND, "工单 4711", submission, None),
        ("real_name.override_proposed", FIRST, "工单 4711", None, submission),
    ]
    assert await uses(api) == 1


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ("han.meimei", "han.meimei"),
        ("han.meimei", "HAN.Meimei"),
        ("han.meimei", " han.meimei  "),
        ("Han Meimei", "han  meimei"),
        ("Han Meimei", "Han\u00a0Meimei"),
        ("han.meimei", "ｈａｎ．ｍｅｉｍｅｉ"),
        ("han.meimei", "han.\u200bmeimei"),
        ("韩梅梅", "韩梅梅 "),
    ],
)
async def test_the_same_person_written_otherwise_is_no_second_one(api: Api, first: str, again: str) -> None:
    holder, desk = await api.register(), await client(api)
    submission = await decided(api, holder, REFUSED)
    assert (await decide(desk, submission, actor=first)).status_code == 200
    assert refusal(await decide(desk, submission, actor=again)) == (409, "second_actor_needed")
    assert (await gate(desk, holder))["allowed"] is False


async def test_what_was_erased_cannot_be_overruled(api: Api) -> None:
    holder, desk = await api.register(), await client(api)
    submission = await decided(api, holder, REFUSED)
    await decide(desk, submission)
    with frozen() as clock:
        clock.shift(timedelta(days=api.settings.real_name_retention_days))
        async with api.container.profile.uow() as uow:
            await uow.real_name.erase_due(now(), limit=10)
        await desk.renew()
        assert refusal(await decide(desk, submission, actor=SECOND)) == (409, "wrong_state")


@pytest.mark.settings(real_name_accounts_per_enterprise=1)
async def test_a_document_that_is_used_up_meanwhile_cannot_be_overruled_into(api: Api) -> None:
    holder, desk = await api.register(), await client(api)
    submission = await decided(api, holder, REFUSED)
    await decide(desk, submission)
    await decided(api, await api.register(), enterprise())
    assert refusal(await decide(desk, submission, actor=SECOND)) == (409, "document_used_up")
    assert ((await status(api, holder))["status"], await uses(api)) == ("rejected", 1)


@pytest.mark.parametrize("later", [enterprise(), individual()])
async def test_a_provider_is_not_overruled_while_the_holder_has_submitted_anew(api: Api, later: Json) -> None:
    holder, desk = await api.register(), await client(api)
    refused = await decided(api, holder, REFUSED)
    await decide(desk, refused)
    await submitted(api, holder, later)
    assert refusal(await decide(desk, refused, actor=SECOND)) == (409, "wrong_state")
    assert await uses(api) == 1


async def test_a_person_is_not_overruled_into_the_place_of_an_enterprise(api: Api) -> None:
    holder, desk = await api.register(), await client(api)
    person = await decided(api, holder, individual("张三 (mismatched)"))
    await decided(api, holder, enterprise())
    assert refusal(await decide(desk, person)) == (409, "wrong_state")


# --- At once --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("staff_first", [True, False])
@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_a_decision_and_a_withdrawal_at_once_leave_one_of_them(
    pg_api: Api, decision: str, staff_first: bool
) -> None:
    api, desk = pg_api, await client(pg_api)
    for _ in range(5):
        holder = await api.register()
        submission = await decided(api, holder, ABROAD)
        calls = [decide(desk, submission, decision), withdraw(api, holder, submission)]
        answers = await asyncio.gather(*(calls if staff_first else calls[::-1]))

        won = [answer for answer in answers if answer.is_success]
        lost = [refusal(answer) for answer in answers if not answer.is_success]
        assert (len(won), lost) == (1, [(409, "wrong_state")])
        verdict = {"approve": "verified", "reject": "rejected"}[decision]
        expected = ("cancelled", "none") if won[0].status_code == 204 else (verdict, verdict)
        found = await status(api, holder)
        assert (found["latest"]["status"], found["status"]) == expected
    async with api.container.engine.connect() as connection:
        verified = Submission.status == SubmissionStatus.VERIFIED
        assert await connection.scalar(select(func.count()).where(verified)) == await uses(api)


async def test_two_people_at_once_overrule_a_provider_once(pg_api: Api) -> None:
    holder, desk = await pg_api.register(), await client(pg_api)
    submission = await decided(pg_api, holder, REFUSED)
    answers = await asyncio.gather(*(decide(desk, submission, actor=f"person {number}") for number in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409, 409, 409]
    assert {refusal(answer) for answer in answers if answer.is_error} == {(409, "wrong_state")}
    assert len(await trail(desk, holder)) == 2
    assert await uses(pg_api) == 1
