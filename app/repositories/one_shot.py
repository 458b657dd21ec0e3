"""A single read on a connection of its own: what a session executes it with, and nothing of what entities need."""

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn, cast

from sqlalchemy import Executable
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import QueuePool
from sqlalchemy.util.concurrency import await_, greenlet_spawn

from app.core.database import reading
from app.repositories.direct import Fixed, Rows, Values, run


class OneShot:
    """Executes as a session does. The connection goes back before the rows are looked at.

    Lending, executing and giving back is one hop into SQLAlchemy's greenlet; an AsyncConnection takes one for each,
    which is a quarter of what a read by key costs.
    """

    def __init__(self, engine: AsyncEngine, *, at_once: int | None = None) -> None:
        """So many reads at once; as many as the pool has connections if None."""
        self._engine, self._reading = engine.sync_engine, reading(engine).sync_engine
        pool = engine.sync_engine.pool
        assert isinstance(pool, QueuePool)  # noqa: S101 - narrows the type
        self._turns, self._patience = asyncio.Semaphore(at_once or pool.size()), pool.timeout()

    @property
    def session(self) -> AsyncSession:
        return cast("AsyncSession", self)

    async def run(self, statement: Fixed, values: Values) -> Rows:
        """Raises TimeoutError when no connection is to be had in the pool's time.

        Who comes first is served first. The pool lets whoever comes just then go before those it has woken, who then
        stand at the end of its line again: under load a few would wait many times as long as the others.
        """
        return await self._in_turn(self._run, statement, values)

    async def execute(self, statement: Executable, values: Values | None = None) -> Rows:
        """The same for a statement that was put together just now."""
        return await self._in_turn(self._fetch, statement, values)

    async def scalar(self, statement: Executable, values: Values | None = None) -> Any:
        """The first column of the first row; None without one."""
        return (await self.execute(statement, values)).scalar()

    def add(self, row: DeclarativeBase) -> NoReturn:
        """Nobody would write it. Raises TypeError."""
        raise TypeError(f"a {type(row).__name__} was added to what only reads")

    async def write(self) -> None:
        """A read leaves nothing to be written."""

    async def _in_turn(self, read: Callable[..., Rows], *arguments: Any) -> Rows:
        if self._turns.locked():
            async with asyncio.timeout(self._patience):
                await self._turns.acquire()
        else:
            await self._turns.acquire()
        try:
            rows: Rows = await greenlet_spawn(read, *arguments)
        finally:
            self._turns.release()
        return rows

    def _run(self, statement: Fixed, values: Values) -> Rows:
        engine = self._engine if self._engine.dialect.name == "postgresql" else self._reading
        with engine.connect() as connection:
            return await_(run(connection, statement, values, alone=True))

    def _fetch(self, statement: Executable, values: Values | None) -> Rows:
        with self._reading.connect() as connection:
            return Rows(connection.execute(statement, values).all())
