"""A single read on a connection of its own: what a session executes it with, and nothing of what entities need."""

import asyncio
from typing import Any, NoReturn, cast

from sqlalchemy import Executable
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.util.concurrency import greenlet_spawn

from app.core.database import pool_of, reading
from app.repositories.direct import Fixed, Rows, Values, execute, run
from app.repositories.lending import lend


class OneShot:
    """Executes as a session does. The connection goes back before the rows are looked at."""

    def __init__(self, engine: AsyncEngine, *, at_once: int | None = None) -> None:
        """So many reads at once; as many as the pool has connections if None."""
        self._engine, self._reading = engine, reading(engine).sync_engine
        pool = pool_of(engine)
        self._patience = pool.timeout()
        self._turns = asyncio.Semaphore(at_once or pool.size())

    @property
    def session(self) -> AsyncSession:
        return cast("AsyncSession", self)

    async def run(self, statement: Fixed, values: Values) -> Rows:
        """Raises TimeoutError when no connection is to be had in the pool's time.

        Who comes first is served first. The pool lets whoever comes just then go before those it has woken, who then
        stand at the end of its line again: under load a few would wait many times as long as the others.
        """
        dialect = self._engine.dialect.name
        if dialect != "postgresql":
            return await self.execute(statement.on(dialect), values)
        await self._turn()
        try:
            with await lend(self._engine, self._engine.sync_engine.connect) as connection:
                return await run(connection, statement, values, alone=True)
        finally:
            self._turns.release()

    async def execute(self, statement: Executable, values: Values | None = None) -> Rows:
        """The same for a statement that was put together just now."""
        await self._turn()
        try:
            return await greenlet_spawn(self._fetch, statement, values)
        finally:
            self._turns.release()

    async def scalar(self, statement: Executable, values: Values | None = None) -> Any:
        """The first column of the first row; None without one."""
        return (await self.execute(statement, values)).scalar()

    def add(self, row: DeclarativeBase) -> NoReturn:
        """Nobody would write it. Raises TypeError."""
        raise TypeError(f"a {type(row).__name__} was added to what only reads")

    async def write(self) -> None:
        """A read leaves nothing to be written."""

    async def _turn(self) -> None:
        if self._turns.locked():
            async with asyncio.timeout(self._patience):
                await self._turns.acquire()
        else:
            await self._turns.acquire()

    def _fetch(self, statement: Executable, values: Values | None) -> Rows:
        with self._reading.connect() as connection:
            return execute(connection, statement, values)
