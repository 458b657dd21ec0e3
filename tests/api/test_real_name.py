"""Real-name authentication as its holder sees it: every state, what is missing, why not, and what stays in force."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.core.clock import now, shown
from app.notifiers.templates import render
from tests.support.api import Api, Holder, frozen, refusal, statements
from tests.support.real_names import (
    OTHER_CREDIT_CODE,
    OTHER_ID_NUMBER,
    ask,
    decided,
    enterprise,
    individual,
    status,
    submit,
    submitted,
    withdraw,
)
from tests.support.services import client, feed, staff

Json = dict[str, Any]
MASKED_CREDIT_CODE, MASKED_OTHER_CREDIT_CODE = f"913{'*' * 13}43", f"911{'*' * 13}1L"
MASKED_ID_NUMBER = f"110{'*' * 13}2X"
LEGAL = {"name": "李雷", "id_number": OTHER_ID_NUMBER}
ABROAD = enterprise("Acme Pte. Ltd.", "201912345K", country="SG")
IN_FORCE = ("status", "type", "verified_name", "registration_number", "missing")
NOTHING = {
    "status": "none",
    "type": None,
    "verified_name": None,
    "registration_number": None,
    "verified_at": None,
    "missing": ["enterprise"],
    "latest": None,
}
ENTERPRISE: tuple[Any, ...] = ("verified", "enterprise", "Acme Ltd.", MASKED_CREDIT_CODE, [])
INDIVIDUAL: tuple[Any, ...] = ("verified", "individual", "张***", MASKED_ID_NUMBER, ["enterprise"])


async def in_force(api: Api, holder: Holder) -> tuple[Any, ...]:
    """What counts, whatever was submitted since."""
    found = await status(api, holder)
    return tuple(found[member] for member in IN_FORCE)


async def listed(api: Api, holder: Holder, language: str = "en", **params: Any) -> Json:
    url, headers = "/v1/account/real-name/submissions", {**holder.auth, "Accept-Language": language}
    answer = await api.client.get(url, headers=headers, params=params)
    assert answer.status_code == 200, answer.text
    page: Json = answer.json()
    return page


async def latest(api: Api, holder: Holder, language: str = "en") -> Json:
    found: Json = (await status(api, holder, language))["latest"]
    return found


# --- Every state ----------------------------------------------------------------------------------------------------


async def test_who_never_submitted_anything_is_missing_an_enterprise(api: Api) -> None:
    assert await status(api, await api.register()) == NOTHING


async def test_what_was_submitted_is_pending_until_somebody_has_answered(api: Api) -> None:
    holder = await api.register()
    with frozen():
        answer = await submit(api, holder, enterprise(legal_representative=LEGAL))
        at = shown(now())

    expected = {
        "id": answer.json()["id"],
        "type": "enterprise",
        "status": "pending",
        "country": "CN",
        "name": "Acme Ltd.",
        "registration_number": MASKED_CREDIT_CODE,
        "legal_representative": "李***",
        "phone": None,
        "in_review": False,
        "reason": None,
        "field": None,
        "reason_text": None,
        "created_at": at,
        "decided_at": None,
    }
    assert (answer.status_code, answer.json()) == (201, expected)
    assert await status(api, holder) == NOTHING | {"status": "pending", "latest": expected}


@pytest.mark.parametrize(("body", "expected"), [(enterprise(), ENTERPRISE), (individual(), INDIVIDUAL)])
async def test_what_a_provider_confirms_is_in_force_from_then_on(
    api: Api, body: Json, expected: tuple[Any, ...]
) -> None:
    holder = await api.register()
    await submitted(api, holder, body)
    with frozen():
        await ask(api)
        at = shown(now())

    found = await status(api, holder)
    assert tuple(found[member] for member in IN_FORCE) == expected
    assert (found["verified_at"], found["latest"]["decided_at"], found["latest"]["status"]) == (at, at, "verified")


@pytest.mark.parametrize(
    ("language", "text"), [("en", "Name and number do not belong together."), ("zh-CN", "名称与证件号码不一致。")]
)
async def test_what_a_provider_refuses_says_which_member_is_wrong_and_why(api: Api, language: str, text: str) -> None:
    holder = await api.register()
    await decided(api, holder, enterprise("Acme (mismatched)"))

    assert await status(api, holder) == NOTHING | {"status": "rejected", "latest": await latest(api, holder)}
    for found in (await latest(api, holder, language), (await listed(api, holder, language))["items"][0]):
        told = tuple(found[member] for member in ("status", "field", "reason", "reason_text", "in_review"))
        assert told == ("rejected", "name", "mismatched", text, False)


@pytest.mark.parametrize("name", ["Acme (not found)", "Acme (not operating)"])
async def test_what_no_provider_can_tell_is_pending_with_staff_and_not_rejected(api: Api, name: str) -> None:
    holder = await api.register()
    await decided(api, holder, enterprise(name))
    found = await latest(api, holder)
    assert [found[each] for each in ("status", "in_review", "reason", "reason_text")] == ["pending", True, None, None]


async def test_an_enterprise_abroad_is_looked_at_by_staff_and_no_provider_is_asked(api: Api) -> None:
    holder, desk = await api.register(), await client(api)
    submission = await submitted(api, holder, ABROAD)
    await ask(api)
    (waiting,) = (await desk.get("/real-name/submissions", in_review="true")).json()["items"]
    assert (waiting["id"], waiting["reason"], waiting["calls"]) == (submission, "review_needed", [])

    answer = await desk.post(f"/real-name/submissions/{submission}/decision", {"decision": "approve"}, headers=staff())

    assert answer.status_code == 200, answer.text
    expected: tuple[Any, ...] = ("verified", "enterprise", "Acme Pte. Ltd.", f"201{'*' * 5}5K", [])
    assert await in_force(api, holder) == expected


@pytest.mark.parametrize("makes", [submitted, decided], ids=["with a provider", "in review"])
async def test_a_pending_submission_can_be_withdrawn(api: Api, makes: Callable[..., Awaitable[str]]) -> None:
    holder = await api.register()
    submission = await makes(api, holder, ABROAD)

    assert (await withdraw(api, holder, submission)).status_code == 204

    found = await latest(api, holder)
    assert (found["status"], found["in_review"]) == ("cancelled", False)
    assert await status(api, holder) == NOTHING | {"latest": found}
    assert await ask(api) == 0


@pytest.mark.parametrize("name", ["Acme Ltd.", "Acme (mismatched)"])
async def test_what_was_decided_cannot_be_withdrawn(api: Api, name: str) -> None:
    holder = await api.register()
    submission = await decided(api, holder, enterprise(name))
    before = await status(api, holder)
    assert refusal(await withdraw(api, holder, submission)) == (409, "wrong_state")
    assert await status(api, holder) == before


async def test_what_was_withdrawn_cannot_be_withdrawn_again(api: Api) -> None:
    holder = await api.register()
    submission = await submitted(api, holder, enterprise())
    await withdraw(api, holder, submission)
    assert refusal(await withdraw(api, holder, submission)) == (409, "wrong_state")


# --- Again and again ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [enterprise("Acme (mismatched)"), individual("张三 (mismatched)")])
async def test_what_was_rejected_is_submitted_again(api: Api, first: Json) -> None:
    holder = await api.register()
    await decided(api, holder, first)
    await submitted(api, holder, enterprise())
    assert (await status(api, holder))["status"] == "pending"
    await ask(api)
    assert await in_force(api, holder) == ENTERPRISE


async def test_a_verified_individual_becomes_an_enterprise(api: Api) -> None:
    holder = await api.register()
    await decided(api, holder, individual())
    await submitted(api, holder, enterprise())
    assert await in_force(api, holder) == INDIVIDUAL
    await ask(api)
    assert await in_force(api, holder) == ENTERPRISE


async def test_a_verified_enterprise_does_not_become_an_individual(api: Api) -> None:
    holder = await api.register()
    await decided(api, holder, enterprise())
    before = await status(api, holder)
    assert refusal(await submit(api, holder, individual())) == (409, "wrong_state")
    assert await status(api, holder) == before


async def test_a_changed_name_is_in_force_once_it_is_verified(api: Api) -> None:
    holder = await api.register()
    await decided(api, holder, enterprise())
    before = await status(api, holder)

    await submitted(api, holder, enterprise("Acme Group Ltd.", OTHER_CREDIT_CODE))
    pending = await status(api, holder)
    await ask(api)

    assert pending == before | {"latest": pending["latest"]}
    assert pending["latest"]["status"] == "pending"
    expected: tuple[Any, ...] = ("verified", "enterprise", "Acme Group Ltd.", MASKED_OTHER_CREDIT_CODE, [])
    assert await in_force(api, holder) == expected


@pytest.mark.parametrize("fate", ["mismatched", "not found", "unavailable", "withdrawn", "rejected by staff"])
async def test_the_old_name_stays_in_force_whatever_becomes_of_the_new_one(api: Api, fate: str) -> None:
    holder, desk = await api.register(), await client(api)
    await decided(api, holder, enterprise())
    before = await status(api, holder)

    name = "Acme Group (not found)" if fate == "rejected by staff" else f"Acme Group ({fate})"
    submission = await submitted(api, holder, enterprise(name))
    if fate == "withdrawn":
        assert (await withdraw(api, holder, submission)).status_code == 204
    await ask(api)
    if fate == "rejected by staff":
        path, body = f"/real-name/submissions/{submission}/decision", {"decision": "reject"}
        assert (await desk.post(path, body, headers=staff())).status_code == 200

    after = await status(api, holder)
    assert after == before | {"latest": after["latest"]}
    assert after["latest"]["id"] == submission


async def test_what_is_in_force_and_what_is_latest_are_read_in_one_statement(api: Api) -> None:
    holder = await api.register()
    await decided(api, holder, enterprise())
    await submitted(api, holder, enterprise("Acme Group Ltd."))
    with statements(api) as seen:
        found = await status(api, holder)
    assert len(seen) == 1
    assert (found["verified_name"], found["latest"]["name"]) == ("Acme Ltd.", "Acme Group Ltd.")


# --- Lists ----------------------------------------------------------------------------------------------------------


async def test_submissions_are_listed_newest_first_a_page_at_a_time(api: Api) -> None:
    holder, other = await api.register(), await api.register()
    made = [await decided(api, holder, enterprise(f"Acme {number} (mismatched)")) for number in range(3)]
    await submitted(api, other, individual())

    first = await listed(api, holder, limit=2)
    second = await listed(api, holder, limit=2, cursor=first["next_cursor"])

    assert [one["id"] for one in first["items"] + second["items"]] == made[::-1]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("body", "clear"),
    [
        (enterprise(legal_representative=LEGAL), ["李雷", OTHER_ID_NUMBER, "91350100M000100Y43"]),
        (individual(phone="13800138000"), ["张三", "11010519491231002X", "13800138000"]),
        (ABROAD, ["201912345K"]),
    ],
)
async def test_a_number_or_a_persons_name_is_shown_to_the_holder_only_masked(
    api: Api, body: Json, clear: list[str]
) -> None:
    holder = await api.register()
    made = await submit(api, holder, body)
    await ask(api)

    answers = [made.text, str(await status(api, holder)), str(await listed(api, holder))]

    assert [text for text in clear for answer in answers if text in answer] == []


async def test_the_submission_of_another_account_is_not_found(api: Api) -> None:
    holder, other = await api.register(), await api.register()
    submission = await submitted(api, holder, enterprise())
    assert refusal(await withdraw(api, other, submission)) == (404, "not_found")
    assert (await listed(api, other))["items"] == []
    assert (await latest(api, holder))["status"] == "pending"


# --- Who is told ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "name", "subject"),
    [
        ("en", "Acme Ltd.", "[Guance] Your real-name authentication was accepted"),
        ("zh-CN", "Acme Ltd.", "【观测云】实名认证已通过"),
        ("en", "Acme (mismatched)", "[Guance] Your real-name authentication was not accepted"),
        ("zh-CN", "Acme (mismatched)", "【观测云】实名认证未通过"),
    ],
)
async def test_the_holder_is_told_the_outcome_in_the_accounts_language(
    api: Api, locale: str, name: str, subject: str
) -> None:
    holder = await api.register(locale=locale)
    before = len(await api.messages(holder.email))
    await decided(api, holder, enterprise(name))

    (notice,) = (await api.messages(holder.email))[before:]

    text = render(notice.template, notice.locale, notice.params)
    assert (text.subject, holder.username in text.email) == (subject, True)


async def test_the_trail_names_each_step_and_no_document(api: Api) -> None:
    holder = await api.register()
    refused = await decided(api, holder, enterprise("Acme (mismatched)"))
    withdrawn = await submitted(api, holder, enterprise())
    await withdraw(api, holder, withdrawn)
    reviewed = await decided(api, holder, enterprise("Acme (not found)"))

    answer = await api.client.get("/v1/account/activity", headers=holder.auth)

    steps = [one for one in answer.json()["items"] if one["action"].startswith("real_name.")]
    shown_steps = [(one["action"], one["actor"], one["old_value"], one["new_value"]) for one in reversed(steps)]
    assert shown_steps == [
        ("real_name.submitted", "holder", None, refused),
        ("real_name.rejected", "system", refused, "mismatched"),
        ("real_name.submitted", "holder", None, withdrawn),
        ("real_name.cancelled", "holder", withdrawn, None),
        ("real_name.submitted", "holder", None, reviewed),
        ("real_name.in_review", "system", None, "not_found"),
    ]


async def test_others_hear_of_each_step_by_its_id_and_of_no_name_or_number(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    refused = await decided(api, holder, individual("张三 (mismatched)", phone="13800138000"))
    verified = await decided(api, holder, enterprise(legal_representative=LEGAL))

    events = [one for one in await feed(service) if one["type"].startswith("real_name.")]

    assert {one["subject"] for one in events} == {holder.account_id}
    told = [(one["type"], one["data"]["submission_id"], one["data"].get("reason")) for one in events]
    assert told == [
        ("real_name.submitted", refused, None),
        ("real_name.rejected", refused, "mismatched"),
        ("real_name.submitted", verified, None),
        ("real_name.verified", verified, None),
    ]
    data = str([one["data"] for one in events])
    for clear in ("张三", "李雷", "Acme", "11010519491231002X", OTHER_ID_NUMBER, "91350100M000100Y43", "13800138000"):
        assert clear not in data
