"""A single read on a connection of its own: what a session executes it with, and nothing of what entities need."""

import asyncio
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.exc import MultipleResultsFound
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import greenlet_spawn


class Rows(list[Any]):
    """All rows of a read."""

    def all(self) -> "Rows":
        return self

    def one_or_none(self) -> Any:
        if len(self) > 1:
            raise MultipleResultsFound
        return self[0] if self else None

    def one(self) -> Any:
        (row,) = self
        return row


class OneShot:
    """Executes as a session does. The connection goes back before the rows are looked at.

    Lending, executing and giving back is one hop into SQLAlchemy's greenlet; an AsyncConnection takes one for each,
    which is a quarter of what a read by key costs.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.sync_engine
        pool = engine.sync_engine.pool
        assert isinstance(pool, QueuePool)  # noqa: S101 - narrows the type
        self._turns, self._patience = asyncio.Semaphore(pool.size()), pool.timeout()

    async def execute(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Rows:
        """Raises TimeoutError when no connection is to be had in the pool's time.

        Who comes first is served first. The pool lets whoever comes just then go before those it has woken, who then
        stand at the end of its line again: under load a few would wait many times as long as the others.
        """
        if self._turns.locked():
            async with asyncio.timeout(self._patience):
                await self._turns.acquire()
        else:
            await self._turns.acquire()
        try:
            rows: Rows = await greenlet_spawn(self._fetch, statement, values)
        finally:
            self._turns.release()
        return rows

    async def scalar(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row; None without one."""
        rows = await self.execute(statement, values)
        return rows[0][0] if rows else None

    def _fetch(self, statement: Executable, values: Mapping[str, Any] | None) -> Rows:
        with self._engine.connect() as connection:
            return Rows(connection.execute(statement, values))
