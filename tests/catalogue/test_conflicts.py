"""Serialization failures at every statement and at every COMMIT of every write: once, and always.

PostgreSQL gives them to transactions that are SERIALIZABLE, and at any level after a deadlock; CockroachDB and
YugabyteDB give them in ordinary life. Once: the call succeeds and leaves what it leaves without. Always: the answer says
that the same call may be sent again, and nothing was done by halves.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import stamina

from app.core import migrations
from app.core.errors import Unavailable
from tests.catalogue import CASES, SETTINGS, Case, succeeded
from tests.catalogue.conflicts import Conflicts, Rows, able_to_fail, meaning, put_back, rows
from tests.races import create_database
from tests.support.api import Api, empty, running

WRITES = [case for case in CASES.values() if case.writes]
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
    """The caller is told to come again; a worker comes by itself."""
    if isinstance(outcome, httpx.Response):
        return outcome.status_code == 503 and int(outcome.headers["retry-after"]) > 0
    return isinstance(outcome, Unavailable)


class Stage:
    """A case made ready, and what it sends and leaves when nothing fails."""

    def __init__(self, api: Api, call: object, before: Rows, *, with_keys: bool) -> None:
        self.api, self.call, self.before, self.with_keys = api, call, before, with_keys
        self.steps: list[str] = []
        self.after: object = None

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

    async def failing(self, at: int, *, always: bool) -> tuple[object, Rows]:
        """Again from the start, with a failure."""
        await put_back(self.api, self.before)
        with Conflicts(self.api, at, always, self.with_keys).watching() as watched:
            outcome = await outcome_of(self.call)
        assert watched.failed, "nothing has failed"
        return outcome, await rows(self.api)


@pytest.mark.parametrize("case", WRITES, ids=[case.name for case in WRITES])
async def test_one_failure_anywhere_changes_nothing_of_what_a_call_does(failing: Api, case: Case) -> None:
    stage = await Stage.of(failing, case)
    assert stage.steps
    for number, step in enumerate(stage.steps, start=1):
        outcome, left = await stage.failing(number, always=False)
        assert succeeded(outcome) and not isinstance(outcome, Unavailable), (step, getattr(outcome, "text", outcome))
        assert meaning(left, stage.before) == stage.after, (number, step)


@pytest.mark.parametrize("case", WRITES, ids=[case.name for case in WRITES])
async def test_failures_without_end_are_a_retryable_answer_and_nothing_is_done_by_halves(
    failing: Api, case: Case
) -> None:
    stage = await Stage.of(failing, case)
    for number, step in enumerate(stage.steps, start=1):
        outcome, left = await stage.failing(number, always=True)
        assert is_retryable(outcome), (number, step, getattr(outcome, "text", outcome))
        found, wanted = (meaning(one, stage.before) for one in (left, stage.before))
        for table in COUNTERS:
            found.pop(table), wanted.pop(table)
        assert found == wanted, (number, step)
