"""Real names on two instances and one PostgreSQL, all at once: caps hold, one wins, and the counters stay right."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.clock import now
from app.core.documents import credit_check
from app.gateways.real_name.base import Outcome
from app.main import documents
from tests.races import Call, Replicas, assert_documented, outcome, send, tally
from tests.support.api import Api, Holder, running
from tests.support.real_names import decided, enterprise, individual, status, submitted
from tests.support.services import ServiceClient, client, feed, spread, staff
from tests.workers.test_real_name import ONE, Register, calls, worker

MANY = 20
ROUNDS = 6
SUBMIT = "/v1/account/real-name/submissions"
USED = "SELECT coalesce(sum(used), 0) FROM real_name_documents"
HOLDING = "SELECT count(*) FROM real_name_submissions WHERE holds_document"
many_mismatches = pytest.mark.settings(daily_mismatches_per_account=1000, daily_mismatches_per_document=1000)


@pytest.fixture
async def replicas(request: pytest.FixtureRequest, pg_api: Api, postgres_database: str) -> AsyncIterator[Replicas]:
    marker = request.node.get_closest_marker("settings")
    async with running(postgres_database, **(marker.kwargs if marker else {})) as second:
        yield Replicas(pg_api, second)


def code(number: int) -> str:
    """A credit code, another one for each number."""
    places = f"91350100M{number:08}"
    return places + credit_check(places)


def submit(holder: Holder, body: dict[str, Any]) -> Call:
    return send("POST", SUBMIT, holder, body)


def withdraw(holder: Holder, submission: str) -> Call:
    return send("DELETE", f"{SUBMIT}/{submission}", holder)


def decide(desk: ServiceClient, submission: str, decision: str, actor: str) -> Call:
    headers: Any = {**desk.auth, **staff(actor)}
    url = f"/internal/v1/real-name/submissions/{submission}/decision"
    return lambda caller: caller.post(url, json={"decision": decision}, headers=headers)


def assert_decisions(answers: Iterable[httpx.Response]) -> None:
    """Each answer is one that the document gives for a decision."""
    path = documents()["internal"]["paths"]["/internal/v1/real-name/submissions/{id}/decision"]["post"]["responses"]
    for answer in answers:
        problems = path[str(answer.status_code)]["content"].get("application/problem+json", {}).get("examples", {})
        assert answer.is_success or outcome(answer) in problems, answer.text


async def accounts(api: Api, count: int) -> list[Holder]:
    return [await api.register() for _ in range(count)]


async def at_once(replicas: Replicas, *calls: Call, register: Register) -> list[httpx.Response]:
    """The calls, while a worker on the second instance asks the provider."""
    asking = asyncio.create_task(worker(replicas.second, first=register).ask_due())
    answers = await replicas.at_once(calls)
    await asking
    return answers


# --- One document, one account --------------------------------------------------------------------------------------


@many_mismatches
@pytest.mark.parametrize(("body", "cap"), [(enterprise(), 6), (individual(), 3)])
async def test_of_twenty_accounts_with_one_document_as_many_get_in_as_it_may_verify(
    replicas: Replicas, body: dict[str, Any], cap: int
) -> None:
    holders = await accounts(replicas.first, MANY)
    for _ in range(2):  # what was withdrawn is free again, all of it
        answers = await replicas.at_once(submit(holder, body) for holder in holders)

        assert tally(answers) == {"201": cap, "document_used_up": MANY - cap}
        assert_documented(replicas.first, f"post {SUBMIT}", answers)
        assert await replicas.scalar(USED) == await replicas.scalar(HOLDING) == cap

        given = [(holder, made.json()["id"]) for holder, made in zip(holders, answers, strict=True) if made.is_success]
        withdrawn = await replicas.at_once(withdraw(*one) for one in given)
        assert tally(withdrawn) == {"204": cap}
        assert await replicas.scalar(USED) == await replicas.scalar(HOLDING) == 0


@many_mismatches
async def test_submissions_and_withdrawals_at_once_never_pass_the_cap_and_leave_the_counter_right(
    replicas: Replicas,
) -> None:
    holders = await accounts(replicas.first, MANY)
    body = individual()
    most: list[int] = []

    async def come_and_go(holder: Holder, caller: httpx.AsyncClient) -> None:
        for _ in range(ROUNDS):
            answer = await submit(holder, body)(caller)
            assert outcome(answer) in ("201", "document_used_up")
            most.append(int(str(await replicas.scalar(HOLDING))))
            if answer.is_success:
                assert outcome(await withdraw(holder, answer.json()["id"])(caller)) == "204"

    async with asyncio.TaskGroup() as group:
        for number, holder in enumerate(holders):
            group.create_task(come_and_go(holder, (replicas.first.client, replicas.second.client)[number % 2]))

    assert 1 <= max(most) <= 3
    assert await replicas.scalar(USED) == await replicas.scalar(HOLDING) == 0


@many_mismatches
async def test_of_twenty_submissions_of_one_account_one_is_taken(replicas: Replicas) -> None:
    holder, service = await replicas.first.register(), await client(replicas.first)

    answers = await replicas.at_once(submit(holder, enterprise(number=code(n))) for n in range(MANY))

    assert tally(answers) == {"201": 1, "submission_pending": MANY - 1}
    assert await replicas.scalar(USED) == await replicas.scalar(HOLDING) == 1
    assert await replicas.scalar("SELECT count(*) FROM activity WHERE action = 'real_name.submitted'") == 1
    await spread(replicas.first)
    assert [event["type"] for event in await feed(service)].count("real_name.submitted") == 1


@pytest.mark.settings(daily_mismatches_per_document=4, real_name_accounts_per_enterprise=100)
async def test_of_twenty_submissions_at_once_no_more_can_be_wrong_than_may_be(replicas: Replicas) -> None:
    holders, register = await accounts(replicas.first, MANY), Register(Outcome.MISMATCHED)

    answers = await replicas.at_once(submit(holder, enterprise()) for holder in holders)
    await asyncio.gather(*(worker(api, first=register).ask_due() for api in (replicas.first, replicas.second)))

    assert tally(answers) == {"201": 4, "too_many_mismatches": MANY - 4}
    assert len(register.asked) == 4
    assert await replicas.scalar(USED) == 0


# --- Workers --------------------------------------------------------------------------------------------------------


async def test_several_workers_ask_about_each_submission_once(replicas: Replicas) -> None:
    holders = await accounts(replicas.first, MANY)
    await replicas.at_once(submit(holder, enterprise(f"Acme {n}", code(n))) for n, holder in enumerate(holders))
    register = Register(during=lambda: asyncio.sleep(0))
    workers = [worker(api, ONE, first=register) for api in (replicas.first, replicas.second) * 3]

    async def work(number: int) -> int:
        done = 0
        while found := await workers[number].ask_due():
            done += found
        return done

    assert sum(await asyncio.gather(*(work(number) for number in range(6)))) == MANY
    assert sorted(register.names) == sorted(f"Acme {n}" for n in range(MANY))
    assert len({call.submission_id for call in await calls(replicas.first)}) == MANY
    assert await replicas.scalar("SELECT count(*) FROM accounts WHERE real_name_status = 'verified'") == MANY
    assert await replicas.scalar("SELECT count(*) FROM activity WHERE action = 'real_name.verified'") == MANY


@many_mismatches
@pytest.mark.parametrize("answer", [Outcome.MATCHED, Outcome.MISMATCHED, Outcome.NOT_FOUND])
async def test_a_verdict_and_a_withdrawal_at_once_end_in_one_of_them(replicas: Replicas, answer: Outcome) -> None:
    ends: set[str] = set()
    for _ in range(ROUNDS):
        holder = await replicas.first.register()
        submission = await submitted(replicas.first, holder, enterprise(number=code(len(ends))))

        (withdrawn,) = await at_once(replicas, withdraw(holder, submission), register=Register(answer))

        shown = await status(replicas.second, holder)
        ends.add(end := shown["latest"]["status"])
        assert (outcome(withdrawn), end) in {
            ("204", "cancelled"),
            ("wrong_state", "verified" if answer is Outcome.MATCHED else "rejected"),
        }
        assert shown["status"] == {"cancelled": "none"}.get(end, end)
        assert await replicas.scalar(USED) == await replicas.scalar(HOLDING)


async def test_a_verdict_and_closing_at_once_leave_no_document_held(replicas: Replicas) -> None:
    for number in range(ROUNDS):
        holder = await replicas.first.register()
        await submitted(replicas.first, holder, enterprise(number=code(number)))

        (closed,) = await at_once(replicas, send("POST", "/v1/account/closure", holder), register=Register())

        assert outcome(closed) == "204"
        assert await replicas.scalar(USED) == await replicas.scalar(HOLDING) == 0
        assert await replicas.scalar("SELECT count(*) FROM real_name_submissions WHERE status = 'pending'") == 0


# --- Staff ----------------------------------------------------------------------------------------------------------


async def test_of_twenty_decisions_at_once_one_counts(replicas: Replicas) -> None:
    api, desk = replicas.first, await client(replicas.first)
    holder = await api.register()
    submission = await decided(api, holder, enterprise(number="201912345K", country="SG"))

    answers = await replicas.at_once(
        decide(desk, submission, ("approve", "reject")[n // 2 % 2], f"person.{n}") for n in range(MANY)
    )

    assert tally(answers) == {"200": 1, "wrong_state": MANY - 1}
    assert_decisions(answers)
    (decision,) = [answer.json()["status"] for answer in answers if answer.is_success]
    assert (await status(api, holder))["status"] == decision
    await spread(api)
    told = [event["type"] for event in await feed(desk) if event["type"].startswith("real_name")]
    assert told == ["real_name.submitted", f"real_name.{decision}"]


async def test_a_decision_and_a_withdrawal_at_once_end_in_one_of_them(replicas: Replicas) -> None:
    api, desk = replicas.first, await client(replicas.first)
    for number in range(ROUNDS):
        holder = await api.register()
        submission = await decided(api, holder, enterprise(number=f"2019{number}", country="SG"))

        answers = await replicas.at_once(
            [decide(desk, submission, "approve", "han.meimei"), withdraw(holder, submission)]
        )

        assert sorted(outcome(answer) for answer in answers) in (["200", "wrong_state"], ["204", "wrong_state"])
        ends = "verified" if answers[0].is_success else "none"
        assert (await status(api, holder))["status"] == ends
        assert await replicas.scalar(USED) == await replicas.scalar(HOLDING)


@pytest.mark.parametrize(
    ("actors", "expected"),
    [
        ([f"person.{n}" for n in range(MANY)], {"200": 2, "wrong_state": MANY - 2}),
        (["han.meimei", "Han.Meimei"] * (MANY // 2), {"200": 1, "second_actor_needed": MANY - 1}),
    ],
)
async def test_a_mismatch_is_overridden_by_two_people_however_many_try(
    replicas: Replicas, actors: list[str], expected: dict[str, int]
) -> None:
    api, desk = replicas.first, await client(replicas.first)
    holder = await api.register()
    submission = await decided(api, holder, enterprise("Acme (mismatched)"))

    answers = await replicas.at_once(decide(desk, submission, "approve", actor) for actor in actors)

    assert tally(answers) == expected
    assert_decisions(answers)
    verified = expected["200"] == 2
    assert (await status(api, holder))["status"] == ("verified" if verified else "rejected")
    assert await replicas.scalar(USED) == await replicas.scalar(HOLDING) == int(verified)


@many_mismatches
async def test_overrides_at_once_do_not_pass_the_cap_of_the_document(replicas: Replicas) -> None:
    api, desk = replicas.first, await client(replicas.first)
    refused = [await decided(api, holder, individual("Li (mismatched)")) for holder in await accounts(api, 8)]
    await replicas.at_once(decide(desk, one, "approve", "han.meimei") for one in refused)

    answers = await replicas.at_once(decide(desk, one, "approve", "li.lei") for one in refused)

    assert tally(answers) == {"200": 3, "document_used_up": 5}
    assert_decisions(answers)
    assert await replicas.scalar(USED) == await replicas.scalar(HOLDING) == 3


async def test_what_is_overridden_while_it_is_to_be_erased_is_kept(replicas: Replicas) -> None:
    """The override came first; erasing waited for it, and must look again."""
    api, holder = replicas.first, await replicas.first.register()
    await decided(api, holder, enterprise("Acme (mismatched)"))

    async def erase() -> None:
        async with replicas.second.container.profile.uow() as uow:
            await uow.real_name.erase_due(now() + timedelta(days=31), limit=10)

    async with api.container.engine.begin() as override, api.container.engine.connect() as watcher:
        await override.execute(text("UPDATE real_name_submissions SET erase_at = NULL"))
        erasing = asyncio.create_task(erase())
        await until_one_waits(watcher)
    await erasing

    assert (await status(api, holder))["latest"]["name"] == "Acme (mismatched)"


async def until_one_waits(connection: AsyncConnection) -> None:
    """Until one of the database's sessions waits for a lock."""
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(4):
        while not await connection.scalar(text(blocked)):
            await connection.execute(text("SELECT pg_stat_clear_snapshot()"))
