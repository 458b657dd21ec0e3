"""The gate that the invoice service asks, in every state of an account; and what is left of one that was closed."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from app.core.clock import now, shown
from app.core.scopes import Scope
from app.models.real_name import DocumentUse, Submission
from app.workers.upkeep import Upkeep
from tests.support.api import Api, Holder, frozen, refusal, statements
from tests.support.real_names import (
    CREDIT_CODE,
    OTHER_CREDIT_CODE,
    ask,
    decided,
    enterprise,
    gate,
    individual,
    submitted,
    withdraw,
)
from tests.support.services import ServiceClient, client, feed, staff

Json = dict[str, Any]
Step = Callable[[Api, Holder], Awaitable[Any]]
ANOTHER = enterprise("Acme Group (mismatched)", OTHER_CREDIT_CODE)
NOT_ALLOWED = {
    "allowed": False,
    "missing": ["enterprise"],
    "verified_name": None,
    "taxpayer_number": None,
    "since": None,
}
HEADER = {"verified_name": "Acme Ltd.", "taxpayer_number": CREDIT_CODE}
ALLOWED = {"allowed": True, "reason": "verified", "missing": [], **HEADER}


def submits(body: Json) -> Step:
    return lambda api, holder: submitted(api, holder, body)


def asks(body: Json) -> Step:
    return lambda api, holder: decided(api, holder, body)


def withdraws(body: Json) -> Step:
    async def step(api: Api, holder: Holder) -> None:
        await withdraw(api, holder, await submitted(api, holder, body))

    return step


async def suspend(api: Api, holder: Holder, status: str = "suspended") -> None:
    desk = await client(api)
    answer = await desk.put(f"/accounts/{holder.account_id}/status", {"status": status}, headers=staff())
    assert answer.status_code == 200, answer.text


async def restore(api: Api, holder: Holder) -> None:
    await suspend(api, holder, "active")


async def close(api: Api, holder: Holder) -> None:
    answer = await api.client.post("/v1/account/closure", headers=holder.auth)
    assert answer.status_code == 204, answer.text


async def answer_of(api: Api, *steps: Step) -> Json:
    """What the gate answers after these steps, but for the time."""
    holder, service = await api.register(), await client(api, Scope.INVOICING)
    for step in steps:
        await step(api, holder)
    found = await gate(service, holder)
    assert (found.pop("since") is not None) == (found["verified_name"] is not None)
    return found


async def forget(api: Api) -> None:
    """What runs by the clock."""
    container, settings = api.container, api.settings
    await Upkeep(
        container.profile.uow,
        container.waiting,
        container.data_keys,
        retention=timedelta(days=settings.retention_days),
        known_address=timedelta(days=settings.known_address_days),
        events_kept=timedelta(days=settings.event_retention_days),
    ).forget()


async def uses(api: Api) -> int:
    """How many accounts stand against the caps of documents, of all of them."""
    async with api.container.engine.connect() as connection:
        return await connection.scalar(select(func.sum(DocumentUse.used))) or 0


# --- Every state ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([], "not_submitted"),
        ([submits(enterprise())], "pending"),
        ([submits(individual())], "pending"),
        ([asks(enterprise("Acme (unavailable)"))], "pending"),
        ([asks(enterprise("Acme (not found)"))], "pending"),
        ([submits(enterprise(number="201912345K", country="SG"))], "pending"),
        ([asks(enterprise("Acme (mismatched)"))], "rejected"),
        ([asks(enterprise("Acme (mismatched)")), submits(enterprise())], "pending"),
        ([withdraws(enterprise())], "not_submitted"),
        ([asks(individual())], "enterprise_required"),
        ([asks(individual()), submits(enterprise())], "enterprise_required"),
        ([asks(individual()), asks(enterprise("Acme (mismatched)"))], "enterprise_required"),
        ([suspend], "account_suspended"),
        ([close], "account_closed"),
        ([asks(individual()), close], "account_closed"),
    ],
)
async def test_without_a_verified_enterprise_there_are_no_invoices(api: Api, steps: list[Step], reason: str) -> None:
    expected = NOT_ALLOWED | {"reason": reason}
    found = await answer_of(api, *steps)
    assert {**found, "since": None} == expected


@pytest.mark.parametrize(
    "steps",
    [
        [asks(enterprise())],
        [asks(individual()), asks(enterprise())],
        [asks(enterprise()), submits(ANOTHER)],
        [asks(enterprise()), asks(ANOTHER)],
        [asks(enterprise()), withdraws(ANOTHER)],
        [asks(enterprise()), suspend, restore],
    ],
)
async def test_with_a_verified_enterprise_there_are_invoices_in_its_name(api: Api, steps: list[Step]) -> None:
    assert await answer_of(api, *steps) == ALLOWED


@pytest.mark.parametrize(("step", "reason"), [(suspend, "account_suspended"), (close, "account_closed")])
async def test_a_verified_enterprise_that_is_not_active_gets_none(api: Api, step: Step, reason: str) -> None:
    found = await answer_of(api, asks(enterprise()), step)
    assert found == ALLOWED | {"allowed": False, "reason": reason}


async def test_a_changed_name_is_on_invoices_since_it_was_verified(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    await decided(api, holder, enterprise())
    with frozen() as clock:
        clock.shift(timedelta(minutes=1))
        await decided(api, holder, enterprise("Acme Group Ltd.", OTHER_CREDIT_CODE))
        since = shown(now())

    found = await gate(service, holder)

    names = (found["verified_name"], found["taxpayer_number"], found["since"])
    assert names == ("Acme Group Ltd.", OTHER_CREDIT_CODE, since)


@pytest.mark.parametrize("name", ["北京观测（中国）有限公司", "Acme  &  Søn,  ＬＴＤ．", "\"A\" 'B' <C> %s {d}"])
async def test_the_name_on_the_invoice_is_the_verified_one_to_the_letter(api: Api, name: str) -> None:
    found = await answer_of(api, asks(enterprise(name, "９１３５０１００ m000100y43")))
    assert (found["verified_name"], found["taxpayer_number"]) == (name, CREDIT_CODE)


# --- Asking ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [[], [asks(enterprise()), submits(ANOTHER)], [asks(individual())]])
async def test_asking_is_one_statement(api: Api, steps: list[Step]) -> None:
    holder, service = await api.register(), await client(api)
    for step in steps:
        await step(api, holder)
    with statements(api) as seen:
        await gate(service, holder)
    assert len(seen) == 1


@pytest.mark.parametrize("account", ["acnt_0193b5c27d3e7a41b4d2c9f1e8a60b57", "acnt_1", "rnam_1", "%00"])
async def test_an_unknown_account_is_not_found(api: Api, account: str) -> None:
    service = await client(api)
    assert refusal(await service.get(f"/accounts/{account}/invoicing")) == (404, "not_found")


async def test_a_client_that_may_ask_for_invoices_may_not_see_submissions(api: Api) -> None:
    service = await client(api, Scope.INVOICING)
    assert refusal(await service.get("/real-name/submissions")) == (403, "insufficient_scope")


# --- Whoever remembers an answer hears when it changes --------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "step"),
    [
        ([], submits(enterprise())),
        ([submits(enterprise())], lambda api, _: ask(api)),
        ([submits(enterprise("Acme (mismatched)"))], lambda api, _: ask(api)),
        ([asks(enterprise("Acme (mismatched)"))], submits(enterprise())),
        ([asks(enterprise()), submits(enterprise("Acme Group Ltd."))], lambda api, _: ask(api)),
        ([asks(individual()), submits(enterprise())], lambda api, _: ask(api)),
        ([asks(enterprise())], suspend),
        ([asks(enterprise()), suspend], restore),
        ([asks(enterprise())], close),
        ([submits(enterprise())], close),
    ],
)
async def test_each_change_of_the_answer_is_an_event(api: Api, before: list[Step], step: Step) -> None:
    holder, service = await api.register(), await client(api)
    for one in before:
        await one(api, holder)
    answered, told = await gate(service, holder), await own_events(service, holder)

    await step(api, holder)

    assert await gate(service, holder) != answered
    assert len(await own_events(service, holder)) > len(told)


async def test_a_withdrawal_which_changes_the_answer_is_an_event_too(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    submission = await submitted(api, holder, enterprise())
    assert (await gate(service, holder))["reason"] == "pending"

    await withdraw(api, holder, submission)

    assert (await gate(service, holder))["reason"] == "not_submitted"
    last = (await own_events(service, holder))[-1]
    assert (last["type"], last["data"]["submission_id"]) == ("real_name.cancelled", submission)


async def own_events(service: ServiceClient, holder: Holder) -> list[Json]:
    return [one for one in await feed(service) if one["subject"] == holder.account_id]


# --- A closed account -----------------------------------------------------------------------------------------------


async def test_closing_keeps_of_submissions_only_what_was_in_force(api: Api) -> None:
    holder, desk = await api.register(), await client(api)
    await decided(api, holder, individual())
    await decided(api, holder, enterprise())
    await decided(api, holder, enterprise("Acme (mismatched)"))
    await submitted(api, holder, ANOTHER)

    await close(api, holder)

    items = (await desk.get("/real-name/submissions")).json()["items"]
    left = [(one["status"], one["name"], one["number"], one["in_review"]) for one in items]
    assert left == [
        ("cancelled", None, None, False),
        ("rejected", None, None, False),
        ("verified", "Acme Ltd.", CREDIT_CODE, False),
        ("verified", None, None, False),
    ]
    assert await ask(api) == 0


async def test_what_was_kept_of_a_closed_account_is_erased_in_time(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    await decided(api, holder, enterprise())
    await close(api, holder)

    with frozen() as clock:
        clock.shift(timedelta(days=api.settings.closed_retention_days) - timedelta(hours=1))
        await forget(api)
        await service.renew()
        assert (await gate(service, holder))["verified_name"] == "Acme Ltd."
        clock.shift(timedelta(hours=2))
        await forget(api)
        await service.renew()
        found = await gate(service, holder)

    assert (found["allowed"], found["verified_name"], found["taxpayer_number"]) == (False, None, None)
    async with api.container.engine.connect() as connection:
        assert await connection.scalar(select(func.count(Submission.sealed))) == 0


@pytest.mark.parametrize(
    "steps",
    [
        [submits(enterprise())],
        [asks(enterprise())],
        [asks(individual()), submits(enterprise())],
        [asks(enterprise()), submits(ANOTHER)],
        [asks(enterprise()), submits(enterprise("Acme Group Ltd."))],
        [asks(enterprise()), asks(enterprise("Acme Group Ltd."))],
        [asks(enterprise("Acme (not found)"))],
    ],
)
async def test_closing_frees_every_document(api: Api, steps: list[Step]) -> None:
    holder = await api.register()
    for step in steps:
        await step(api, holder)
    assert await uses(api) > 0

    await close(api, holder)

    assert await uses(api) == 0


async def test_a_closed_account_is_not_shown_as_one_that_waits(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    await submitted(api, holder, enterprise())
    await close(api, holder)
    answer = await service.get(f"/accounts/{holder.account_id}")
    assert (answer.json()["status"], answer.json()["real_name_status"]) == ("closed", "none")
