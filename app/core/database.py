"""Engines for PostgreSQL and SQLite, and the column types that behave alike on both."""

import ssl
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import JSON, DateTime, Dialect, MetaData, TypeDecorator, event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from app.core import tracing
from app.core.telemetry import CONNECTIONS_ROOM, CONNECTIONS_USED

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Serialization failure, deadlock, lock not available; a plan that a migration made stale.
AGAIN = frozenset({"40001", "40P01", "55P03", "0A000"})
READ_AGAIN = 4  # times
_READ_ONLY = "25006"  # PostgreSQL's read_only_sql_transaction

Engine = AsyncEngine  # what the wiring holds, which need not know SQLAlchemy

JsonDoc = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class UtcDateTime(TypeDecorator[datetime]):
    """timestamptz on PostgreSQL, naive UTC text on SQLite; always timezone-aware UTC in Python."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the database")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def async_url(url: str) -> URL:
    """The URL with the async driver named: `postgresql://` and `sqlite://` are what an operator writes."""
    parsed = make_url(url)
    driver = {
        "postgresql": "postgresql+asyncpg",
        "postgres": "postgresql+asyncpg",
        "sqlite": "sqlite+aiosqlite",
    }
    return parsed.set(drivername=driver.get(parsed.drivername, parsed.drivername))


def open_engine(
    url: str, *, pool_size: int = 10, pooler: str = "none", timeout: float = 5, name: str = "primary"
) -> AsyncEngine:
    """An engine; nothing is connected yet. `timeout` in seconds is for connecting, for the pool and for a statement.

    `name` is what the metrics call it.
    """
    parsed = async_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _traced(_counted(_sqlite(parsed, pool_size=pool_size, timeout=timeout), name))
    arguments: dict[str, Any] = {"timeout": timeout, "command_timeout": timeout, "async_creator_fn": _Connecting}
    if pooler == "pgbouncer":  # transaction pooling: a prepared statement may meet another server connection
        arguments |= {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
    else:  # for the first five of a connection PostgreSQL would make plans that tests/plans has not seen
        arguments["server_settings"] = {"plan_cache_mode": "force_generic_plan"}
    if mode := parsed.query.get("sslmode"):  # libpq's word, which asyncpg takes as `ssl`
        parsed = parsed.difference_update_query(["sslmode"])
        arguments["ssl"] = ssl.create_default_context() if mode == "verify-full" else mode
    engine = create_async_engine(
        parsed, pool_size=pool_size, max_overflow=0, pool_timeout=timeout, connect_args=arguments
    )
    event.listen(engine.sync_engine, "do_execute", _read_again)

    @event.listens_for(engine.sync_engine, "handle_error")
    def leave_a_demoted_server(context: ExceptionContext) -> None:
        """After a failover the old server may live on, read-only: its connections are given up, for new ones may lead
        to the server that writes."""
        if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
            context.is_disconnect = True

    return _traced(_counted(engine, name))


class _Connecting:
    """A connection, made when it is awaited. A coroutine would complain where nobody may await it (`lend`)."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._arguments, self._options = arguments, options

    def __await__(self) -> Generator[Any, None, asyncpg.Connection]:
        made: Generator[Any, None, asyncpg.Connection] = asyncpg.connect(*self._arguments, **self._options).__await__()
        return made


def pool_of(engine: AsyncEngine) -> QueuePool:
    pool = engine.sync_engine.pool
    assert isinstance(pool, QueuePool)  # noqa: S101 - what both engines are made with
    return pool


def _counted(engine: AsyncEngine, name: str) -> AsyncEngine:
    """What the pool has lent, in the metrics: told by the pool each time, so no error lasts."""
    pool = pool_of(engine)
    used, room = CONNECTIONS_USED.labels(name), CONNECTIONS_ROOM.labels(name)
    event.listen(pool, "connect", lambda *_: room.set(pool.size()))
    event.listen(pool, "checkout", lambda *_: used.set(pool.checkedout()))
    event.listen(pool, "checkin", lambda *_: used.set(pool.checkedout() - 1))  # it is told before it is done
    return engine


def _traced(engine: AsyncEngine) -> AsyncEngine:
    """Each statement is a span, while one is being recorded that it is part of: its text, never its parameters."""
    if not tracing.is_on():
        return engine
    sync = engine.sync_engine
    system = sync.dialect.name

    @event.listens_for(sync, "before_cursor_execute")
    def begin(_: Any, __: Any, statement: str, ___: Any, context: Any, ____: bool) -> None:
        if context is not None:
            context.guance_span = tracing.begin_statement(system, statement)

    @event.listens_for(sync, "after_cursor_execute")
    def end(_: Any, __: Any, ___: str, ____: Any, context: Any, _____: bool) -> None:
        tracing.end_statement(getattr(context, "guance_span", None))

    @event.listens_for(sync, "handle_error")
    def fail(failure: ExceptionContext) -> None:
        span = getattr(failure.execution_context, "guance_span", None)
        tracing.end_statement(span, failure.original_exception)

    return engine


def reading(engine: AsyncEngine) -> AsyncEngine:
    """The same pool for single reads: no BEGIN and no COMMIT around a statement."""
    return engine.execution_options(isolation_level="AUTOCOMMIT", guance_reading=True)


def _read_again(cursor: Any, statement: str, parameters: Any, context: Any) -> bool | None:
    """A single read that the database asks for again is a transaction of its own: here, it is just sent again."""
    if not context.execution_options.get("guance_reading"):
        return None
    for _ in range(READ_AGAIN):
        try:
            cursor.execute(statement, parameters)
        except context.dialect.dbapi.Error as error:
            if getattr(error, "sqlstate", None) not in AGAIN:
                raise
        else:
            return True
    return None  # the last time as ever


def _sqlite(url: URL, *, pool_size: int, timeout: float) -> AsyncEngine:
    if not url.database or url.database == ":memory:":
        raise ValueError("SQLite needs a file: connections do not share a database in memory")
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(url, pool_size=pool_size, max_overflow=0, pool_timeout=timeout)

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # BEGIN is ours, below
        cursor = connection.cursor()
        for pragma in ("foreign_keys=ON", "journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        # IMMEDIATE: a transaction that reads and then writes takes the write lock first, and so never fails half-way.
        if not connection.get_execution_options().get("guance_reading"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
