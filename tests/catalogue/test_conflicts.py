"""Serialization failures at every statement and at every COMMIT of every write: once, and always.

PostgreSQL gives them to transactions that are SERIALIZABLE, and at any level after a deadlock; CockroachDB and
YugabyteDB give them in ordinary life. Once: the call succeeds and leaves what it leaves without. Always: the answer says
that the same call may be sent again, and nothing was done by halves.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import stamina
import time_machine

from app.core import migrations
from app.core.clock import now
from app.core.errors import Unavailable
from tests.catalogue import CASES, SETTINGS, Case, succeeded
from tests.catalogue.conflicts import Conflicts, Rows, able_to_fail, meaning, put_back, rows
from tests.races import create_database
from tests.support.api import Api, empty, running

_PROVIDERS_AGAIN = (
    {"instanceId": "0"},
    {"success": "false", "message": "try again"},
    {"resultCode": "000005", "resultMsg": "try again"},
)
WRITES = [case for case in CASES.values() if case.writes]
IN_STEPS = [case for case in WRITES if case.name.startswith(("worker", "keys")) or "/marketplace/{provider}" in case.name]
ANSWERED = [case for case in WRITES if case not in IN_STEPS]
# Counted before the work, in a transaction of their own: who is refused in the end has used up one try, as intended.
COUNTERS = {"budgets", "login_throttles", "idempotent_answers"}


@pytest.fixture(scope="module")
async def failing(postgres_url: str) -> AsyncIterator[Api]:
    """The service on a database of its own, which can be made to fail."""
    url = await create_database(postgres_url)
    await asyncio.to_thread(migrations.upgrade, url)
    async with running(url, **SETTINGS) as api:
        await able_to_fail(api)
        yield api


@pytest.fixture(autouse=True)
def without_pauses() -> Iterator[None]:
    """As many attempts as in earnest, with no time in between."""
    with stamina.set_testing(True, attempts=5):
        yield


async def outcome_of(case_call: object) -> object:
    """What it answers, or the refusal that it raises."""
    try:
        return await case_call()  # type: ignore[operator]
    except Unavailable as refusal:
        return refusal


def is_retryable(outcome: object) -> bool:
    """The caller is told to come again."""
    if isinstance(outcome, httpx.Response):
        if outcome.request.url.path.startswith("/marketplace/"):  # in each provider's own words
            return outcome.status_code >= 500 or outcome.json() in _PROVIDERS_AGAIN
        return outcome.status_code == 503 and int(outcome.headers["retry-after"]) > 0
    return isinstance(outcome, Unavailable)


class Stage:
    """A case made ready, and what it sends and leaves when nothing fails."""

    def __init__(self, api: Api, call: object, before: Rows, *, with_keys: bool) -> None:
        self.api, self.call, self.before, self.with_keys = api, call, before, with_keys
        self.steps: list[str] = []
        self.after: dict[str, Counter[tuple[Any, ...]]] = {}

    @classmethod
    async def of(cls, api: Api, case: Case) -> "Stage":
        await empty(api)
        call = await case.prepare(api)
        stage = cls(api, call, await rows(api), with_keys=case.name.startswith("keys"))
        with Conflicts(api, with_keys=case.name.startswith("keys")).watching() as watched:
            outcome = await outcome_of(call)
        assert succeeded(outcome), outcome
        stage.steps, stage.after = watched.sent, meaning(await rows(api), stage.before)
        return stage

    async def failing(self, at: int, *, always: bool) -> tuple[object, Rows, Rows]:
        """Again from the start, with a failure: the outcome, and what there is before and after it."""
        await put_back(self.api, self.before)
        start = await rows(self.api)
        with Conflicts(self.api, at, always, self.with_keys).watching() as watched:
            outcome = await outcome_of(self.call)
        assert watched.failed, "nothing has failed"
        return outcome, start, await rows(self.api)


@pytest.mark.parametrize("case", WRITES, ids=[case.name for case in WRITES])
async def test_one_failure_anywhere_changes_nothing_of_what_a_call_does(failing: Api, case: Case) -> None:
    stage = await Stage.of(failing, case)
    assert stage.steps
    for number, step in enumerate(stage.steps, start=1):
        outcome, start, left = await stage.failing(number, always=False)
        assert succeeded(outcome) and not isinstance(outcome, Unavailable), (step, getattr(outcome, "text", outcome))
        assert meaning(left, start) == stage.after, (number, step)


@pytest.mark.parametrize("case", ANSWERED, ids=[case.name for case in ANSWERED])
async def test_failures_without_end_are_a_retryable_answer_and_nothing_is_done_by_halves(
    failing: Api, case: Case
) -> None:
    stage = await Stage.of(failing, case)
    for number, step in enumerate(stage.steps, start=1):
        outcome, start, left = await stage.failing(number, always=True)
        found, wanted = meaning(left, start), meaning(start, start)
        if succeeded(outcome) and not isinstance(outcome, Unavailable) and "idempotent_answers" in step:
            wanted = stage.after  # done, and said so; only the answer could not be kept
        else:
            assert is_retryable(outcome), (number, step, getattr(outcome, "text", outcome))
        for table in COUNTERS:
            found.pop(table)
        assert found == {name: rows for name, rows in wanted.items() if name not in COUNTERS}, (number, step)


@pytest.mark.parametrize("case", IN_STEPS, ids=[case.name for case in IN_STEPS])
async def test_what_goes_in_steps_raises_nothing_else_and_goes_on_where_it_stopped(failing: Api, case: Case) -> None:
    """A lease, a kept message, a key that was made: each step is whole, and the next pass or call finds it."""
    stage = await Stage.of(failing, case)
    for number, step in enumerate(stage.steps, start=1):
        outcome, _, _ = await stage.failing(number, always=True)
        if isinstance(outcome, httpx.Response):
            assert is_retryable(outcome), (number, step, outcome.text)
        with time_machine.travel(now() + timedelta(hours=1)):
            assert not isinstance(await outcome_of(stage.call), Unavailable), (number, step)
