"""Statements that are built once and, on PostgreSQL, sent past SQLAlchemy's engine: the hot ones.

SQLAlchemy makes their text, says how values and rows are converted, lends the connection and judges errors; what is
left out is its engine in between, which takes twice as long as the driver (docs/decisions/0026). SQLite, and what is
not hot, go the usual way.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import Connection, Dialect, Executable
from sqlalchemy.exc import MultipleResultsFound
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.util import greenlet_spawn

from app.core import tracing
from app.core.database import AGAIN, READ_AGAIN

Values = Mapping[str, Any]
_Convert = Callable[[Any], Any]


class Rows(list[Any]):
    """All rows of a statement; `rowcount` is how many it returned or touched."""

    def __init__(self, rows: Sequence[Any] = (), rowcount: int | None = None) -> None:
        super().__init__(rows)
        self.rowcount = len(self) if rowcount is None else rowcount

    def all(self) -> "Rows":
        return self

    def first(self) -> Any:
        return self[0] if self else None

    def one_or_none(self) -> Any:
        if len(self) > 1:
            raise MultipleResultsFound
        return self.first()

    def one(self) -> Any:
        (row,) = self
        return row

    def scalar(self) -> Any:
        """The first column of the first row; None without one."""
        return self[0][0] if self else None

    def scalars(self) -> list[Any]:
        return [row[0] for row in self]


class Fixed:
    """A statement that is built once, when its module is loaded; by the name of the dialect where they differ.

    It names columns and no entities, and has as many parameters however many values it is given (`among`).
    """

    def __init__(self, statement: Executable | Mapping[str, Executable]) -> None:
        self._by_dialect = statement if isinstance(statement, Mapping) else None
        self._statement = statement
        self._sent: _Sent | None = None

    def on(self, dialect: str) -> Executable:
        return cast("Executable", self._by_dialect[dialect] if self._by_dialect else self._statement)

    def sent(self, dialect: Dialect) -> "_Sent":
        """What goes to PostgreSQL."""
        if self._sent is None:
            self._sent = _Sent.of(self.on(dialect.name), dialect)
        return self._sent


class _Place(NamedTuple):
    """One parameter: the value that it is given or, where the statement itself has it, `own`."""

    name: str
    own: Any
    convert: _Convert | None


class _Sent(NamedTuple):
    """A statement as the driver takes it."""

    text: str
    places: tuple[_Place, ...]
    row: Any  # makes a row of what the driver gives
    converted: tuple[tuple[int, _Convert], ...]  # columns whose values are something else in Python
    returns: bool  # whether it has rows

    @classmethod
    def of(cls, statement: Executable, dialect: Dialect) -> "_Sent":
        compiled = cast("SQLCompiler", statement.compile(dialect=dialect))  # type: ignore[attr-defined]
        own, converts = compiled.construct_params(_check=False), compiled._bind_processors
        places = (_Place(name, own.get(name), cast("Any", converts.get(name))) for name in compiled.positiontup or ())
        columns = compiled._result_columns
        readers = ((at, column.type._cached_result_processor(dialect, None)) for at, column in enumerate(columns))
        names = [column.keyname for column in columns]
        row: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc]
        converted = tuple((at, convert) for at, convert in readers if convert)
        return cls(str(compiled), tuple(places), row._make, converted, bool(columns))

    def arguments(self, values: Values) -> list[Any]:
        given = [values.get(name, own) for name, own, _ in self.places]
        return [
            place.convert(value) if place.convert else value for place, value in zip(self.places, given, strict=True)
        ]

    def rows(self, records: Sequence[Any]) -> list[Any]:
        if not self.converted:
            return list(map(self.row, records))
        return [self.row(self._converted(list(record))) for record in records]

    def _converted(self, values: list[Any]) -> list[Any]:
        for at, convert in self.converted:
            values[at] = convert(values[at])
        return values


async def run(connection: Connection, statement: Fixed, values: Values, *, alone: bool = False) -> Rows:
    """Run it on the connection, in its transaction.

    `alone`: without one, which a single statement does not need; when the database asks for it again it is sent again,
    a few times. Raises what SQLAlchemy raises.
    """
    dialect = connection.dialect.name
    if dialect != "postgresql":
        return await greenlet_spawn(execute, connection, statement.on(dialect), values)
    return await _direct(connection, statement.sent(connection.dialect), values, alone=alone)


def execute(connection: Connection, statement: Executable, values: Values | None) -> Rows:
    """The usual way, in a greenlet of SQLAlchemy's."""
    result = connection.execute(statement, values)
    return Rows(result.all() if result.returns_rows else (), result.rowcount)


async def _direct(connection: Connection, sent: _Sent, values: Values, *, alone: bool) -> Rows:
    arguments = sent.arguments(values)
    if connection.engine._has_events:  # who listens is told as the engine would
        connection.dispatch.before_cursor_execute(connection, None, sent.text, tuple(arguments), None, False)
    span = tracing.begin_statement("postgresql", sent.text) if tracing.is_on() else None
    adapter: Any = connection.connection.dbapi_connection
    try:
        if not alone and adapter._transaction is None:
            await adapter._start_transaction()
        for _ in range(READ_AGAIN if alone else 0):
            try:
                return await send(adapter.driver_connection, sent, arguments)
            except asyncpg.PostgresError as error:
                if error.sqlstate not in AGAIN:
                    raise
        return await send(adapter.driver_connection, sent, arguments)
    except BaseException as error:
        tracing.end_statement(span, error)
        span = None
        await greenlet_spawn(_fail, connection, error, sent.text, arguments)
        raise
    finally:
        tracing.end_statement(span)


async def send(driver: "asyncpg.Connection", sent: _Sent, arguments: list[Any]) -> Rows:
    """The one place where the driver is called."""
    if sent.returns:
        return Rows(sent.rows(await driver.fetch(sent.text, *arguments)))
    status: str = await driver.execute(sent.text, *arguments)  # such as UPDATE 1
    return Rows(rowcount=int(status.rpartition(" ")[2]))


def _fail(connection: Connection, error: BaseException, text: str, arguments: list[Any]) -> None:
    """Let SQLAlchemy judge the error as if it had met it: what it is, and whether the connection is still good."""
    try:
        if isinstance(error, Exception):
            cast("Any", connection.connection.dbapi_connection)._handle_exception(error)
        raise error
    except BaseException as judged:
        connection._handle_dbapi_exception(judged, text, cast("Any", tuple(arguments)), None, None)
