"""The chain of settlements: what the database refuses, and that what is written has neither gaps nor overlaps."""

import asyncio
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.core import ids
from app.core.callers import Caller, Origin
from app.models.settlements import Cause, Method, Settlement
from app.models.workspaces import Workspace
from app.services.settlement_rules import BY_BILLING_CENTER, Way
from tests.support.api import Api, Holder
from tests.support.clouds import ASKED, MARKETPLACES, alibaba_account, choose, history, paid_by, workspace
from tests.support.services import client

pytestmark = pytest.mark.settings(
    **MARKETPLACES, **ASKED, access_token_seconds=10**8, session_idle_days=1000, session_max_days=1000
)
BEGIN = datetime(2032, 11, 2, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass
class Chain:
    """A workspace and its two records: created at BEGIN, bound to a cloud account an hour later."""

    api: Api
    holder: Holder
    workspace_id: str
    cloud_account: UUID

    async def execute(self, *statements: Any) -> None:
        """In one transaction, to its COMMIT."""
        async with self.api.container.engine.begin() as connection:
            for statement in statements:
                await connection.execute(statement)

    async def insert(self, **members: Any) -> None:
        """A record at the end, an hour after the last, but for what is given."""
        record: dict[str, Any] = {
            "id": ids.new(),
            "workspace_id": self.workspace_id,
            "follows": BEGIN + HOUR,
            "effective_from": BEGIN + 2 * HOUR,
            "method": Method.BILLING_CENTER,
            "cause": Cause.FELL_BACK,
        }
        await self.execute(insert(Settlement).values(record | members))

    async def starts(self, workspace_id: str | None = None) -> list[datetime]:
        async with self.api.container.engine.connect() as connection:
            chosen = select(Settlement.effective_from).where(
                Settlement.workspace_id == (workspace_id or self.workspace_id)
            )
            return list(await connection.scalars(chosen.order_by(Settlement.effective_from)))


@pytest.fixture
async def chain(api: Api) -> Chain:
    with time_machine.travel(BEGIN, tick=False) as clock:
        holder, service = await api.register(), await client(api)
        workspace_id = await workspace(service, holder)
        shown = await alibaba_account(api, holder)
        clock.shift(HOUR)
        assert (await choose(api, holder, workspace_id, shown)).status_code == 200
    cloud_account = ids.read(ids.CLOUD_ACCOUNT, shown)
    assert cloud_account is not None
    return Chain(api, holder, workspace_id, cloud_account)


# --- What is refused ------------------------------------------------------------------------------------------------


async def test_a_record_is_put_at_the_end(chain: Chain) -> None:
    """What all the refusals below differ from."""
    await chain.insert()

    assert await chain.starts() == [BEGIN, BEGIN + HOUR, BEGIN + 2 * HOUR]


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"follows": BEGIN + HOUR / 2}, id="a gap: behind a record that is not there"),
        pytest.param({"follows": BEGIN + HOUR * 3 / 2}, id="a gap: behind an instant within the last one"),
        pytest.param({"follows": BEGIN}, id="a branch: behind the first one, which is followed"),
        pytest.param({"follows": BEGIN, "effective_from": BEGIN + HOUR / 2}, id="in the middle"),
        pytest.param({"follows": None}, id="a second first one"),
        pytest.param({"follows": None, "effective_from": BEGIN - HOUR}, id="a first one before the first"),
        pytest.param({"effective_from": BEGIN + HOUR}, id="at the start of the one that it follows"),
        pytest.param({"effective_from": BEGIN + HOUR / 2}, id="an overlap: before the one that it follows"),
        pytest.param({"effective_from": BEGIN}, id="at the start of the first one"),
        pytest.param({"follows": BEGIN + 2 * HOUR}, id="behind itself"),
        pytest.param({"workspace_id": "wksp_other"}, id="behind a record of another workspace"),
        pytest.param({"method": Method.CLOUD_ACCOUNT}, id="by a cloud account without saying which"),
        pytest.param({"method": Method.CLOUD_ACCOUNT, "cloud_account_id": UUID(int=1)}, id="by one that is not there"),
        pytest.param({"cause": Cause.LOCKED}, id="a lock without an end"),
        pytest.param({"lock_ends_at": BEGIN + 9 * HOUR}, id="the end of no lock"),
        pytest.param({"method": "barter"}, id="a method that nobody knows"),
        pytest.param({"cause": "whim"}, id="a cause that nobody knows"),
    ],
)
async def test_a_record_that_does_not_fit_the_end_of_the_chain_is_refused(
    chain: Chain, members: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError):
        await chain.insert(**members)

    assert await chain.starts() == [BEGIN, BEGIN + HOUR]


async def test_the_billing_center_does_not_pay_through_a_cloud_account(chain: Chain) -> None:
    with pytest.raises(IntegrityError):
        await chain.insert(cloud_account_id=chain.cloud_account)


async def test_two_records_at_once_behind_the_same_one_are_one(chain: Chain) -> None:
    await chain.insert()

    with pytest.raises(IntegrityError):
        await chain.insert(effective_from=BEGIN + 3 * HOUR)


@pytest.mark.parametrize("start", [BEGIN, BEGIN + HOUR], ids=["the first", "the current one"])
async def test_a_record_can_neither_be_taken_out_nor_moved(chain: Chain, start: datetime) -> None:
    it = (Settlement.workspace_id == chain.workspace_id, Settlement.effective_from == start)

    for statement in (
        delete(Settlement).where(*it),
        update(Settlement).where(*it).values(effective_from=start + HOUR / 2),
        update(Settlement).where(*it).values(effective_from=start - HOUR / 2),
        update(Settlement).where(*it).values(workspace_id="wksp_other"),
    ):
        with pytest.raises(IntegrityError):
            await chain.execute(statement)
    assert await chain.starts() == [BEGIN, BEGIN + HOUR]


async def test_the_second_one_cannot_become_a_first_one(chain: Chain) -> None:
    second = (Settlement.workspace_id == chain.workspace_id, Settlement.follows == BEGIN)

    with pytest.raises(IntegrityError):
        await chain.execute(update(Settlement).where(*second).values(follows=None))


@pytest.mark.parametrize(
    "current",
    [None, BEGIN + 2 * HOUR, BEGIN + HOUR / 2],
    ids=["none", "one that is not there", "an instant within one"],
)
async def test_a_workspace_has_a_current_record_and_it_is_one_of_its_own(
    chain: Chain, current: datetime | None
) -> None:
    mine = update(Workspace).where(Workspace.id == chain.workspace_id)
    with pytest.raises(IntegrityError):
        await chain.execute(mine.values(settled_from=current))

    new = {
        "id": "wksp_other",
        "account_id": ids.read(ids.ACCOUNT, chain.holder.account_id),
        "site": "cn1",
        "name": "Other",
        "created_at": BEGIN,
        "updated_at": BEGIN,
    }
    for start in (current, BEGIN + HOUR):  # the latter is another workspace's
        with pytest.raises(IntegrityError):
            await chain.execute(insert(Workspace).values(new | {"settled_from": start}))


async def test_a_workspace_that_is_new_has_one_record_from_its_first_instant_on(chain: Chain) -> None:
    service = await client(chain.api)
    workspace_id = await workspace(service, chain.holder)

    async with chain.api.container.engine.connect() as connection:
        chosen = select(Workspace.created_at, Workspace.settled_from).where(Workspace.id == workspace_id)
        (row,) = (await connection.execute(chosen)).all()

    assert row.created_at == row.settled_from
    assert await chain.starts(workspace_id) == [row.created_at]


# --- What is written ------------------------------------------------------------------------------------------------

# How long after the one before each change is made: clocks stand still, and are set back.
PAUSES = st.sampled_from([0, 1, -3_600_000]) | st.integers(-7_200_000, 5_000_000_000)
STEPS = st.lists(st.tuples(PAUSES.map(lambda number: timedelta(milliseconds=number)), st.booleans()), max_size=6)


async def test_whenever_changes_are_made_their_spans_are_all_the_time_since_the_workspace_was_made(
    chain: Chain,
) -> None:
    """Each instant lies in one span: no gap, no overlap; and asking for it finds that one."""
    loop = asyncio.get_running_loop()

    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(STEPS)
    def check(steps: list[tuple[timedelta, bool]]) -> None:
        asyncio.run_coroutine_threadsafe(_append_and_read(chain, steps), loop).result()

    await asyncio.to_thread(check)


async def _append_and_read(chain: Chain, steps: list[tuple[timedelta, bool]]) -> None:
    api, holder = chain.api, chain.holder
    with time_machine.travel(BEGIN, tick=False):
        workspace_id = await workspace(await client(api), holder)
    expected = [(BEGIN, "billing_center"), *await _append(chain, workspace_id, steps)]
    starts = [start for start, _ in expected]

    with time_machine.travel(starts[-1] + HOUR, tick=False):
        service = await client(api)
        spans = await history(api, holder, workspace_id)
        assert [(datetime.fromisoformat(one["effective_from"]), one["method"]) for one in spans] == expected
        assert starts == sorted(set(starts))
        assert [one["effective_to"] for one in spans] == [one["effective_from"] for one in spans[1:]] + [None]
        for moment in (*starts, *(start - timedelta(microseconds=1) for start in starts[1:]), starts[-1] + HOUR):
            found, span = await paid_by(service, workspace_id, moment), spans[bisect_right(starts, moment) - 1]
            assert all(found[name] == span[name] for name in ("method", "effective_from", "effective_to"))


async def _append(chain: Chain, workspace_id: str, steps: list[tuple[timedelta, bool]]) -> list[tuple[datetime, str]]:
    """Change after change, by what carries them out; since when each holds, and how."""
    settlement = chain.api.container.settlement
    account_id, session_id = (
        ids.read(ids.ACCOUNT, chain.holder.account_id),
        ids.read(ids.SESSION, chain.holder.session_id),
    )
    assert account_id is not None
    assert session_id is not None
    caller = Caller(account_id, session_id, BEGIN, Origin("127.0.0.1", None, "request"))
    at, made = BEGIN, []
    for pause, by_cloud in steps:
        at += pause
        way = Way(Method.CLOUD_ACCOUNT, chain.cloud_account) if by_cloud else BY_BILLING_CENTER
        async with settlement.uow() as uow:
            account = await uow.accounts.hold(account_id)
            assert account is not None
            (row,) = await uow.settlements.of_account(account_id, [workspace_id])
            since = await settlement.effects.choose(uow, account, row, way, caller=caller, at=at)
        assert since >= at
        made.append((since, str(way.method)))
    return made
