"""Counting attempts at passwords on PostgreSQL: one statement, whose look at the clock may be overtaken."""

import asyncio
from datetime import timedelta

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.clock import now
from app.models.throttles import LoginThrottle
from app.repositories.throttles import Attempt
from tests.support.api import Api

TYPED, ACCOUNT = b"t" * 32, b"a" * 32
_DAY = timedelta(days=1)
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def count(api: Api) -> tuple[int, int] | None:
    with api.container.sessions.uow.rows() as work:
        return await work.throttles.attempt(Attempt(TYPED, _DAY, ACCOUNT, _DAY), waits=[timedelta()])


async def looked(engine: AsyncEngine, sql: str) -> object:
    """In a transaction of its own, which sees what is now."""
    async with engine.connect() as connection:
        return await connection.scalar(text(sql))


async def test_an_attempt_that_others_overtake_is_no_failure_of_the_account(pg_api: Api) -> None:
    assert await count(pg_api) == (1, 1)
    engine = pg_api.container.engine
    async with engine.begin() as other:
        later = now() + timedelta(hours=1)
        await other.execute(update(LoginThrottle).where(LoginThrottle.key == TYPED).values(next_at=later))
        overtaken = asyncio.create_task(count(pg_api))
        async with asyncio.timeout(10):
            while not await looked(engine, _WAITING):
                pass

    assert await overtaken is None
    async with engine.connect() as looking:
        assert (await looking.execute(select(LoginThrottle.failures))).scalars().all() == [1, 1]
