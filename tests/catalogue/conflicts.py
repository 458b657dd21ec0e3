"""A database that asks for a transaction to be run again (SQLSTATE 40001), where and as often as a test says.

It really does: in place of the statement it is sent one that raises 40001, and a COMMIT fails by a deferred trigger. So
the driver, the transaction and the translation are those of a real conflict.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest
from sqlalchemy import Connection, Table, delete, event, insert, select, text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_cursor

from app.core.database import METADATA
from app.repositories import direct
from tests.support.api import Api

_RAISES = "DO $$ BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '40001'; END $$"
_BODY = "BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '40001'; RETURN NULL; END"
_FAILS = "INSERT INTO fails_at_commit VALUES (1)"
_SETUP = (
    "CREATE TABLE fails_at_commit (id integer)",
    f"CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ {_BODY} $$",
    "CREATE CONSTRAINT TRIGGER fails AFTER INSERT ON fails_at_commit DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION fail()",
)
_KEYS = ("signing_keys", "data_keys")  # the process goes by them: they stay, and are counted only
_WANDERING = {"position", "written", "last", "forgotten", "milliseconds"}  # numbers that differ from run to run
_OF_KEYS = re.compile(r"\bFROM (signing_keys|data_keys)\b")
COUNTED = {"tries", "code_tries"}  # a code's: counted before it is compared, in a transaction of their own
COMMIT = "COMMIT"


async def able_to_fail(api: Api) -> None:
    """Once for a database."""
    async with api.container.engine.begin() as connection:
        for statement in _SETUP:
            await connection.exec_driver_sql(statement)


@dataclass
class Conflicts:
    """`at` is which of what is sent fails, counted from 1 (none: 0); `always` lets the same fail in every attempt."""

    api: Api
    at: int = 0
    always: bool = False
    with_keys: bool = False  # else the server's own look at its keys, by the clock, is none of the call's
    sent: list[str] = field(default_factory=list)
    failed: int = 0
    _again: str | None = None

    @contextmanager
    def watching(self) -> Iterator["Conflicts"]:
        engine = self.api.container.engine.sync_engine
        event.listen(engine, "commit", self._commit)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(AsyncAdapt_asyncpg_cursor, "execute", self._instead_of(AsyncAdapt_asyncpg_cursor.execute))
            patch.setattr(
                AsyncAdapt_asyncpg_cursor, "executemany", self._instead_of(AsyncAdapt_asyncpg_cursor.executemany)
            )
            patch.setattr(direct, "send", self._instead_of_direct(direct.send))
            yield self
        event.remove(engine, "commit", self._commit)

    def _instead_of(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def sending(cursor: Any, statement: str, parameters: Any = None) -> Any:
            own = statement in (_FAILS, _RAISES) or (_OF_KEYS.search(statement) and not self.with_keys)
            if not own and self._fails(statement):
                return cursor.execute(_RAISES)
            return send(cursor, statement, parameters)

        return sending

    def _instead_of_direct(self, send: Callable[..., Any]) -> Callable[..., Any]:
        async def sending(driver: Any, sent: Any, arguments: Any) -> Any:
            if self._fails(sent.text):
                await driver.execute(_RAISES)
            return await send(driver, sent, arguments)

        return sending

    def _commit(self, connection: Connection) -> None:
        if self._fails(COMMIT):
            connection.exec_driver_sql(_FAILS)

    def _fails(self, what: str) -> bool:
        self.sent.append(what)
        if len(self.sent) == self.at:
            self._again = what if self.always else None
        elif what != self._again or len(self.sent) < self.at:
            return False
        self.failed += 1
        return True


class Vocabulary:
    """Words that mean something in a row; of all others only that they are there."""

    known = frozenset(str(word) for kind in StrEnum.__subclasses__() if kind.__module__[:4] == "app." for word in kind)


Rows = dict[str, list[dict[str, Any]]]


async def rows(api: Api) -> Rows:
    """All that the database holds."""
    async with api.container.engine.connect() as connection:
        found = {one.name: (await connection.execute(select(one))).mappings().all() for one in METADATA.sorted_tables}
    return {name: [dict(row) for row in several] for name, several in found.items()}


async def put_back(api: Api, before: Rows) -> None:
    """As it was."""
    async with api.container.engine.begin() as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))  # in any order
        for table in _emptied():
            await connection.execute(delete(table))
            if before[table.name]:
                await connection.execute(insert(table), before[table.name])


def _emptied() -> list[Table]:
    return [table for table in METADATA.sorted_tables if table.name not in _KEYS]


def meaning(now: Rows, before: Rows) -> dict[str, Counter[tuple[Any, ...]]]:
    """What runs of the same call have in common: numbers, truth values and words; of all else whether it is there."""
    seen = {
        name: Counter(tuple(_plain(column, value) for column, value in row.items()) for row in several)
        for name, several in now.items()
        if name not in _KEYS
    }
    keys = {name: Counter({(len(now[name]) - len(before[name]),): 1}) for name in _KEYS}
    return seen | keys


def _plain(column: str, value: Any) -> Any:
    if value is None or isinstance(value, bool) or (isinstance(value, int) and column not in _WANDERING | COUNTED):
        return value
    return value if isinstance(value, str) and value in Vocabulary.known else "…"
