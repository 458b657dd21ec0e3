"""What becomes of a submission when a provider has answered, whom the worker asks, and what it writes down of it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from app.core.clock import now
from app.gateways.real_name.base import Claim, Kind, Outcome, Provider, Verdict
from app.models.real_name import ProviderCall
from app.workers.real_name import Providers, RealNameWorker
from tests.support.api import Api, Holder
from tests.support.real_names import ID_NUMBER, ask, enterprise, gate, individual, status, submitted, withdraw
from tests.support.services import ServiceClient, client, feed, spread, staff

Hook = Callable[[], Awaitable[object]]
TIMEOUT = timedelta(seconds=10)
ONE = {"enterprise": ["first"], "individual": ["first"]}
TWO = {"enterprise": ["first", "second"], "individual": ["first", "second"]}


class Register:
    """A provider that answers as told, one answer a call and the last one for ever, and remembers what it was asked."""

    def __init__(self, *answers: Outcome | Verdict | Exception, during: Hook | None = None) -> None:
        self.asked: list[tuple[str, Claim]] = []
        self._answers = list(answers) or [Outcome.MATCHED]
        self._during = during

    @property
    def names(self) -> list[str]:
        return [claim.name for _, claim in self.asked]

    async def verify(self, attempt_id: str, claim: Claim) -> Verdict:
        self.asked.append((attempt_id, claim))
        if self._during is not None:
            await self._during()
        answer = self._answers.pop(0) if self._answers[1:] else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Verdict(answer) if isinstance(answer, Outcome) else answer

    async def close(self) -> None:
        pass


def worker(api: Api, orders: Mapping[str, Sequence[str]] = ONE, **by_name: Provider) -> RealNameWorker:
    """A worker of the application that asks these, each call being over in `TIMEOUT`."""
    real_name = api.container.real_name
    return RealNameWorker(
        api.container.profile.uow,
        providers=Providers(by_name, orders, TIMEOUT),
        box=real_name.box,
        budgets=real_name.budgets,
        effects=real_name.effects,
    )


async def calls(api: Api) -> list[Any]:
    """The calls as the table has them, in the order of writing."""
    async with api.container.engine.connect() as connection:
        table = ProviderCall.__table__
        return list(await connection.execute(select(table).order_by(table.c.id)))


async def told(service: ServiceClient) -> list[str]:
    """The real-name events so far."""
    await spread(service.api)
    return [event["type"].removeprefix("real_name.") for event in await feed(service) if "real_name" in event["type"]]


async def queue(service: ServiceClient) -> list[dict[str, Any]]:
    """What staff sees."""
    items: list[dict[str, Any]] = (await service.get("/real-name/submissions")).json()["items"]
    return items


async def set_status(service: ServiceClient, holder: Holder, value: str) -> None:
    answer = await service.put(f"/accounts/{holder.account_id}/status", {"status": value}, headers=staff())
    assert answer.status_code == 200, answer.text


# --- Outcomes -------------------------------------------------------------------------------------------------------

# outcome, (account's status, submission's status, in review, reason for staff), events
OUTCOMES = [
    (Outcome.MATCHED, ("verified", "verified", False, None), ["submitted", "verified"]),
    (Outcome.NOT_OPERATING, ("pending", "pending", True, "not_operating"), ["submitted"]),
    (Outcome.NOT_FOUND, ("pending", "pending", True, "not_found"), ["submitted"]),
    (Outcome.MISMATCHED, ("rejected", "rejected", False, "mismatched"), ["submitted", "rejected"]),
    (Outcome.INVALID, ("rejected", "rejected", False, "invalid_document"), ["submitted", "rejected"]),
    (Outcome.UNAVAILABLE, ("pending", "pending", False, None), ["submitted"]),
    (Outcome.LIMITED, ("pending", "pending", False, None), ["submitted"]),
]


@pytest.mark.parametrize(("outcome", "expected", "events"), OUTCOMES)
async def test_each_answer_has_its_own_consequence(
    api: Api, outcome: Outcome, expected: tuple[str, str, bool, str | None], events: list[str]
) -> None:
    holder, service = await api.register(), await client(api)
    await submitted(api, holder, enterprise())

    await worker(api, first=Register(outcome)).ask_due()

    (seen,) = await queue(service)
    shown = await status(api, holder)
    assert (shown["status"], seen["status"], seen["in_review"], seen["reason"]) == expected
    assert shown["latest"]["reason"] == (expected[3] if expected[1] == "rejected" else None)
    assert await told(service) == events


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Acme Ltd.", ("verified", False, None)),
        ("Acme (not operating)", ("pending", True, None)),
        ("Acme (not found)", ("pending", True, None)),
        ("Acme (mismatched)", ("rejected", False, "mismatched")),
        ("Acme (unavailable)", ("pending", False, None)),
        ("Acme (limited)", ("pending", False, None)),
    ],
)
async def test_in_development_the_end_of_the_name_decides(
    api: Api, name: str, expected: tuple[str, bool, str | None]
) -> None:
    holder = await api.register()
    await submitted(api, holder, enterprise(name))

    await ask(api)

    latest = (await status(api, holder))["latest"]
    assert (latest["status"], latest["in_review"], latest["reason"]) == expected


async def test_staff_sees_who_was_asked_and_what_the_answer_was(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    await submitted(api, holder, enterprise())
    answer = Verdict(Outcome.MISMATCHED, field="legal_name", detail="ReasonCode 2", request_id="A1-B2")

    await worker(api, TWO, first=Register(Outcome.UNAVAILABLE), second=Register(answer)).ask_due()

    (seen,) = await queue(service)
    found = [(one["provider"], one["outcome"], one["detail"], one["request_id"]) for one in seen["calls"]]
    assert found == [("first", "unavailable", None, None), ("second", "mismatched", "ReasonCode 2", "A1-B2")]
    assert seen["field"] == "legal_name"


async def test_a_provider_is_told_all_that_was_submitted_and_nothing_else(api: Api) -> None:
    provider = Register()
    holder, other = await api.register(), await api.register()
    representative = {"name": "Li Lei", "id_number": ID_NUMBER.lower()}
    await submitted(api, holder, enterprise(legal_representative=representative))
    await submitted(api, other, individual(phone="13800138000"))

    await worker(api, first=provider).ask_due()

    claims = {claim.kind: claim for _, claim in provider.asked}
    assert claims == {
        Kind.ENTERPRISE: Claim(Kind.ENTERPRISE, "Acme Ltd.", "91350100M000100Y43", "Li Lei", ID_NUMBER),
        Kind.INDIVIDUAL: Claim(Kind.INDIVIDUAL, "张三", ID_NUMBER, phone="+8613800138000"),
    }


async def test_an_answer_of_any_length_is_taken(api: Api) -> None:
    """What cannot be written down would be asked, and paid for, again and again."""
    holder = await api.register()
    await submitted(api, holder, enterprise())
    long = Verdict(Outcome.MISMATCHED, field="f" * 300, detail="d" * 300, request_id="r" * 300)

    await worker(api, first=Register(long)).ask_due()

    assert (await status(api, holder))["latest"]["reason"] == "mismatched"


# --- Whom to ask ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", Outcome)
async def test_the_next_one_is_asked_when_the_first_cannot_tell_and_not_otherwise(api: Api, outcome: Outcome) -> None:
    holder, second = await api.register(), Register()
    await submitted(api, holder, enterprise())

    await worker(api, TWO, first=Register(outcome), second=second).ask_due()

    assert bool(second.asked) is (outcome in (Outcome.UNAVAILABLE, Outcome.LIMITED))
    assert [call.provider for call in await calls(api)] == ["first", "second"][: 1 + len(second.asked)]


@pytest.mark.parametrize(("order", "asked"), [(["manual", "first"], 0), (["first", "manual"], 1), ([], 0)])
async def test_staff_looks_where_the_order_says_so_or_names_nobody(api: Api, order: list[str], asked: int) -> None:
    holder, service, provider = await api.register(), await client(api), Register(Outcome.UNAVAILABLE)
    await submitted(api, holder, enterprise())

    await worker(api, {"enterprise": order} if order else {}, first=provider).ask_due()

    (seen,) = await queue(service)
    assert (seen["status"], seen["in_review"], seen["reason"]) == ("pending", True, "review_needed")
    assert len(provider.asked) == asked


@pytest.mark.parametrize(
    ("body", "asked"),
    [(enterprise("Acme Ltd."), ["Acme Ltd.", "", ""]), (individual("张三"), ["", "张三", ""])],
)
async def test_type_and_country_choose_whom_to_ask(api: Api, body: dict[str, Any], asked: list[str]) -> None:
    holder = await api.register()
    await submitted(api, holder, body)
    providers = {name: Register() for name in ("first", "second", "third")}
    orders = {"enterprise:CN": ["first"], "enterprise": ["third"], "individual": ["second"], "individual:SG": ["third"]}

    await worker(api, orders, **providers).ask_due()

    assert ["".join(provider.names) for provider in providers.values()] == asked


async def test_what_comes_from_abroad_is_looked_at_by_staff_unless_somebody_knows_the_country(api: Api) -> None:
    service, provider = await client(api), Register()
    for country in ("SG", "DE"):
        await submitted(api, await api.register(), enterprise(number="201912345K", country=country))

    await worker(api, {"enterprise": ["first"], "enterprise:DE": ["first"]}, first=provider).ask_due()

    found = {one["country"]: (one["status"], one["reason"], len(one["calls"])) for one in await queue(service)}
    assert found == {"SG": ("pending", "review_needed", 0), "DE": ("verified", None, 1)}
    assert len(provider.asked) == 1


# --- What is written down -------------------------------------------------------------------------------------------


async def test_a_call_is_written_down_before_it_is_made(api: Api) -> None:
    seen: list[tuple[str, str | None, object]] = []

    async def look() -> None:
        (call,) = await calls(api)
        seen.append((call.id.hex, call.outcome, call.finished_at))

    holder, provider = await api.register(), Register(during=look)
    await submitted(api, holder, enterprise())

    await worker(api, first=provider).ask_due()

    assert seen == [(provider.asked[0][0], None, None)]
    (call,) = await calls(api)
    assert call.outcome == "matched"
    assert call.finished_at >= call.created_at


async def test_no_two_calls_have_the_same_id(api: Api) -> None:
    first, second = Register(Outcome.UNAVAILABLE), Register()
    for _ in range(3):
        await submitted(api, await api.register(), individual())

    await worker(api, TWO, first=first, second=second).ask_due()

    made = [attempt for attempt, _ in first.asked + second.asked]
    assert len(set(made)) == 6
    assert sorted(made) == sorted(call.id.hex for call in await calls(api))


# --- What happens meanwhile -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Outcome.MATCHED, Outcome.MISMATCHED, Outcome.NOT_FOUND])
async def test_the_answer_for_a_withdrawn_submission_changes_nothing(api: Api, outcome: Outcome) -> None:
    holder, service = await api.register(), await client(api)
    submission = await submitted(api, holder, enterprise())

    await worker(api, first=Register(outcome, during=lambda: withdraw(api, holder, submission))).ask_due()

    shown = await status(api, holder)
    assert (shown["status"], shown["latest"]["status"]) == ("none", "cancelled")
    assert [call.outcome for call in await calls(api)] == [outcome]
    assert await told(service) == ["submitted", "cancelled"]


@pytest.mark.parametrize("outcome", [Outcome.MATCHED, Outcome.MISMATCHED, Outcome.NOT_FOUND])
async def test_the_answer_for_a_closed_account_changes_nothing(api: Api, outcome: Outcome) -> None:
    holder, service = await api.register(), await client(api)
    await submitted(api, holder, enterprise())

    def close() -> Awaitable[object]:
        return api.client.post("/v1/account/closure", headers=holder.auth)

    await worker(api, first=Register(outcome, during=close)).ask_due()

    (seen,) = await queue(service)
    assert (seen["status"], seen["name"], seen["number"]) == ("cancelled", None, None)
    assert (await gate(service, holder))["reason"] == "account_closed"
    assert await told(service) == ["submitted"]


async def test_the_answer_for_a_suspended_account_is_kept_for_when_it_is_restored(api: Api) -> None:
    """It was paid for. The gate stays shut until then."""
    holder, service = await api.register(), await client(api)
    await submitted(api, holder, enterprise())

    await worker(api, first=Register(during=lambda: set_status(service, holder, "suspended"))).ask_due()

    assert (await gate(service, holder))["reason"] == "account_suspended"
    await set_status(service, holder, "active")
    assert (await gate(service, holder))["reason"] == "verified"


async def test_a_worker_takes_no_more_than_its_share_whatever_the_database_believes_of_the_table(pg_api: Api) -> None:
    """Of a table that was nearly empty when it was last looked at, PostgreSQL thinks that each row is the only one."""
    await submitted(pg_api, await pg_api.register(), individual())
    async with pg_api.container.engine.begin() as connection:
        await connection.execute(text("ANALYZE real_name_submissions"))
    for _ in range(2):
        await submitted(pg_api, await pg_api.register(), individual())

    at = now()
    async with pg_api.container.profile.uow() as uow:
        taken = [len(await uow.real_name.lease(at=at, until=at + TIMEOUT, limit=2)) for _ in range(3)]

    assert taken == [2, 1, 0]
