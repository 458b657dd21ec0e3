"""Positions of events: given once they are visible, so a reader skips none, in whatever order transactions commit."""

import asyncio
import random
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

import pytest
import time_machine
from sqlalchemy import text

from app.core import ids
from app.core.clock import now
from app.models.events import Event, EventType
from app.repositories.unit_of_work import UnitOfWork, Work
from app.services.events import Envelope, Events, FeedPage, publish
from tests.support.api import Api


class Rollback(Exception):
    """The writer failed."""


def uow_of(api: Api) -> UnitOfWork:
    return api.container.profile.uow


async def write(work: Work, event_id: UUID | None = None) -> UUID:
    """An event INSERTed in the transaction, its number `written` taken; its id."""
    event = Event(id=event_id or ids.new(), type=EventType.SUSPENDED, subject="acnt_1", data={})
    work.events.add(event)
    await work.source.write()
    return event.id


async def read(api: Api, page: FeedPage | None = None) -> FeedPage:
    """What comes behind a page, or all."""
    return await api.container.events.read(after=page.end if page else None, limit=1000, wait=0)


def told(page: FeedPage) -> list[UUID]:
    return [event.id for event in page.events]


def are_consecutive(events: list[Envelope]) -> bool:
    return all(int(second.sequence) == int(first.sequence) + 1 for first, second in pairwise(events))


async def someone_waits(api: Api) -> None:
    """Until a transaction of this database waits for the lock of another."""
    waiting = text(
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE datname = current_database() "
        "AND NOT granted"
    )
    async with api.container.engine.connect() as connection:
        for _ in range(1000):
            if await connection.scalar(waiting):
                return
            await asyncio.sleep(0.01)
    raise AssertionError("nobody waits")


async def test_an_event_that_commits_late_comes_behind_those_that_were_read(pg_api: Api) -> None:
    uow = uow_of(pg_api)
    async with uow() as late:
        first = await write(late)
        async with uow() as early:
            second = await write(early)
        seen = await read(pg_api)
        assert told(seen) == [second]

    assert told(await read(pg_api, seen)) == [first]
    everything = await read(pg_api)
    assert told(everything) == [second, first]
    assert are_consecutive(everything.events)


async def test_a_writer_that_fails_leaves_nothing_to_wait_for(pg_api: Api) -> None:
    uow = uow_of(pg_api)
    async with uow() as before:
        first = await write(before)
    with pytest.raises(Rollback):
        async with uow() as failing:
            await write(failing)
            raise Rollback
    async with uow() as behind:
        second = await write(behind)

    everything = await read(pg_api)

    assert told(everything) == [first, second]
    assert are_consecutive(everything.events)


async def test_two_who_give_positions_give_each_event_one(pg_api: Api) -> None:
    uow = uow_of(pg_api)
    async with uow() as work:
        first = await write(work)

    async with uow() as placing:
        assert await placing.events.place(10) == 1
        async with uow() as work:
            second = await write(work)
        other = asyncio.create_task(Events(uow, source="https://test").place())
        await someone_waits(pg_api)
    # The other one saw `first` without a position when it began to wait, and must not give it a second one.

    assert await other == 1
    everything = await read(pg_api)
    assert told(everything) == [first, second]
    assert are_consecutive(everything.events)


async def test_a_reader_sees_what_somebody_else_just_gave_a_position(pg_api: Api) -> None:
    uow = uow_of(pg_api)
    async with uow() as work:
        event_id = await write(work)

    async with uow() as placing:
        assert await placing.events.place(10) == 1
        reading = asyncio.create_task(read(pg_api))
        await someone_waits(pg_api)

    assert told(await reading) == [event_id]


async def test_positions_are_given_anew_when_the_one_who_gave_them_failed(api: Api) -> None:
    uow = uow_of(api)
    async with uow() as work:
        first = await write(work)
    seen = await read(api)
    async with uow() as work:
        second = await write(work)
    with pytest.raises(Rollback):
        async with uow() as placing:
            assert await placing.events.place(10) == 1
            raise Rollback

    assert told(await read(api, seen)) == [second]
    everything = await read(api)
    assert told(everything) == [first, second]
    assert are_consecutive(everything.events)


async def test_more_events_than_are_placed_at_once_keep_their_order(api: Api) -> None:
    async with uow_of(api)() as work:
        written = [ids.new() for _ in range(2100)]
        for event_id in written:
            work.events.add(Event(id=event_id, type=EventType.SUSPENDED, subject="acnt_1", data={}))

    pages = [await read(api)]
    while pages[-1].events:
        pages.append(await read(api, pages[-1]))

    assert [event_id for page in pages for event_id in told(page)] == written
    assert are_consecutive([event for page in pages for event in page.events])


async def test_an_accounts_events_are_in_the_order_of_commits_though_clocks_disagree(pg_api: Api) -> None:
    """The clock of the first writer is an hour ahead; times say the opposite of what happened."""
    uow, holder = uow_of(pg_api), await pg_api.register()
    account_id = ids.read(ids.ACCOUNT, holder.account_id)
    assert account_id is not None
    seen = await read(pg_api)

    async def restore() -> None:
        async with uow() as work:
            await work.accounts.hold(account_id)
            publish(work, EventType.RESTORED, account_id)

    async with uow() as work:
        await work.accounts.hold(account_id)
        second = asyncio.create_task(restore())
        await someone_waits(pg_api)
        with time_machine.travel(now() + timedelta(hours=1)):
            publish(work, EventType.SUSPENDED, account_id)
            await work.source.write()
    await second

    suspended, restored = (await read(pg_api, seen)).events
    assert (suspended.type, restored.type) == (EventType.SUSPENDED, EventType.RESTORED)
    assert suspended.time > restored.time


@pytest.mark.parametrize("seed", range(8))
async def test_a_reader_sees_each_committed_event_once_whatever_the_order(pg_api: Api, seed: int) -> None:
    """Writers begin, commit and fail in any order; somebody reads in between, somebody else gives positions."""
    chance, uow = random.Random(seed), uow_of(pg_api)
    open_writers: list[tuple[UUID, AsyncExitStack]] = []
    committed: list[UUID] = []
    seen: list[UUID] = []
    page: FeedPage | None = None
    for _ in range(120):
        step = chance.choice(["begin", "begin", "end", "end", "read", "place"])
        if step == "begin" and len(open_writers) < 6:
            stack = AsyncExitStack()
            open_writers.append((await write(await stack.enter_async_context(uow())), stack))
        elif step == "end" and open_writers:
            event_id, stack = open_writers.pop(chance.randrange(len(open_writers)))
            if chance.random() < 0.3:
                await stack.__aexit__(Rollback, Rollback(), None)
            else:
                await stack.aclose()
                committed.append(event_id)
        elif step == "place":
            await pg_api.container.events.place()
        elif step == "read":
            page = await pg_api.container.events.read(
                after=page.end if page else None, limit=chance.randint(1, 5), wait=0
            )
            assert set(told(page)) <= set(committed)
            seen += told(page)
    for _, stack in open_writers:
        await stack.__aexit__(Rollback, Rollback(), None)

    seen += told(await read(pg_api, page))

    assert sorted(seen) == sorted(committed)
    everything = await read(pg_api)
    assert told(everything) == seen
    assert are_consecutive(everything.events)
