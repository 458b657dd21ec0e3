"""One transaction on one connection, and the ORM's session in it for those who want entities."""

import asyncio
from types import TracebackType
from typing import NoReturn

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.util import greenlet_spawn

from app.repositories import inserts
from app.repositories.direct import Fixed, Rows, Values, run
from app.repositories.lending import lend


class Transaction:
    """`async with` begins it; at its end it is committed, or rolled back on an error.

    The session is made when somebody first asks for it: what goes by columns alone does without, and is a third
    cheaper for it.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._connection: Connection
        self._session: AsyncSession | None = None
        self._late: list[DeclarativeBase] = []

    async def __aenter__(self) -> "Transaction":
        self._connection = await lend(self._engine, self._begin)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            try:
                await self.write()
            except BaseException:
                await self._give_up()
                raise
            await greenlet_spawn(self._commit)
        else:
            await self._give_up()

    @property
    def session(self) -> AsyncSession:
        if self._session is None:
            connection = AsyncConnection(self._engine, self._connection)
            self._session = AsyncSession(connection, expire_on_commit=False, autoflush=False)
        return self._session

    def add(self, row: DeclarativeBase) -> None:
        """A row that nothing else in the transaction reads: it is written at the end."""
        self._late.append(row)

    async def run(self, statement: Fixed, values: Values) -> Rows:
        return await run(self._connection, statement, values)

    async def write(self) -> None:
        """Write the rows that were added now. What the session has new goes before: they may refer to it."""
        if self._late and self._session is not None and self._session.new:
            await self._session.flush()
        rows, self._late = self._late, []
        for several in inserts.rounds(rows, together=self._engine.dialect.name == "postgresql"):
            await self.run(inserts.statement(several), inserts.values(several))

    async def _give_up(self) -> None:
        """To its end even if the task is being cancelled, or the connection would stay open."""
        await asyncio.shield(asyncio.ensure_future(greenlet_spawn(self._roll_back)))

    def _begin(self) -> Connection:
        connection = self._engine.sync_engine.connect()
        try:
            connection.begin()
        except BaseException:
            connection.close()
            raise
        return connection

    def _commit(self) -> None:
        if self._session is None:
            with self._connection as connection:
                connection.commit()
            return
        session = self._session.sync_session
        try:
            session.flush()
            self._connection.commit()
            session.commit()  # it is a guest, and now it knows
        except BaseException:
            self._roll_back()
            raise
        with self._connection:
            session.close()

    def _roll_back(self) -> None:
        with self._connection:
            if self._session is not None:
                # What was new in it is new again: whoever made it may add it to the next transaction.
                self._session.sync_session.rollback()
                self._session.sync_session.close()


class Reading(Transaction):
    """The same without a transaction, for a SELECT: no BEGIN and no COMMIT around it. Of an engine for single reads."""

    def add(self, row: DeclarativeBase) -> NoReturn:
        """It would be a write without a transaction. Raises TypeError."""
        raise TypeError(f"a {type(row).__name__} was added to what only reads")

    def _begin(self) -> Connection:
        return self._engine.sync_engine.connect()

    def _commit(self) -> None:
        with self._connection:
            if self._session is not None:
                self._session.sync_session.close()
