"""How migrations run: one set for SQLite and PostgreSQL, on the engines of the app.

The URL is `config.attributes["url"]` (app/core/migrations.py puts it there) or else the settings'. On PostgreSQL it
must be the server's own, not that of a pooler in transaction mode: the lock below belongs to a session. The run has an
event loop of its own, so a caller with a running one calls from a thread.
"""

import asyncio
import re
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrationScript
from alembic.operations.ops import DropTableOp, ModifyTableOps
from alembic.runtime.migration import MigrationContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.core import config
from app.core.database import UtcDateTime, open_engine
from app.models.base import Base  # with its package, and so with every table

_LOCK = 4_210_117_360_020_231  # any number, the same for ever: one run at a time holds it
_LOCK_SECONDS = 600
_REVISION_LENGTH = 32  # of alembic_version.version_num


def tidy(_: MigrationContext, __: Any, directives: list[MigrationScript]) -> None:
    """A new migration gets a readable id that sorts by time, and drops no index that goes with its table."""
    for script in directives:
        slug = re.sub(r"\W+", "_", (script.message or "change").lower()).strip("_")
        script.rev_id = f"{datetime.now(UTC):%Y_%m_%d}_{slug}"[:_REVISION_LENGTH].rstrip("_")
        if undo := script.downgrade_ops:
            dropped = {step.table_name for step in undo.ops if isinstance(step, DropTableOp)}
            undo.ops = [s for s in undo.ops if not (isinstance(s, ModifyTableOps) and s.table_name in dropped)]


def render_item(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """A migration is history: it spells types out and never imports the app, whose types move on."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, sa.JSON):
        autogen.imports.add("from sqlalchemy.dialects import postgresql")
        return 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")'
    return False


def migrate(connection: sa.Connection) -> None:
    sqlite = connection.dialect.name == "sqlite"
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        render_item=render_item,
        process_revision_directives=tidy,
        render_as_batch=sqlite,  # SQLite alters a table by copying it
        # On SQLite the transaction is also the lock, so it is one around the whole run; on PostgreSQL one a migration
        # frees each migration's locks as early as can be.
        transactional_ddl=True,
        transaction_per_migration=not sqlite,
    )
    with context.begin_transaction():
        context.run_migrations()
        if sqlite:
            refuse_orphans(connection)


def refuse_orphans(connection: sa.Connection) -> None:
    """Foreign keys were off, so that copying a table does not delete its children; now nothing may hang loose."""
    if orphans := connection.exec_driver_sql("PRAGMA foreign_key_check").all():
        raise RuntimeError(f"the migration leaves rows without their parent: {orphans[:10]}")


def prepare_sqlite(engine: AsyncEngine) -> None:
    @sa.event.listens_for(engine.sync_engine, "connect")  # after the app's own, which turns them on
    def foreign_keys_off(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA foreign_keys=OFF").close()


def prepare_postgresql(engine: AsyncEngine) -> None:
    @sa.event.listens_for(engine.sync_engine, "do_connect")
    def server_keeps_time(_: Any, __: Any, ___: Any, arguments: dict[str, Any]) -> None:
        arguments["command_timeout"] = None  # the app's is made for requests; statement_timeout is the bound here


async def prepare_session(connection: AsyncConnection) -> None:
    """Take the lock, then set the timeouts: whoever waits for a busy table makes all others wait behind it."""
    await _lock(connection)
    await connection.exec_driver_sql("SET lock_timeout = '5s'")
    await connection.exec_driver_sql("SET statement_timeout = '15min'")
    await connection.commit()


async def _lock(connection: AsyncConnection) -> None:
    """Ask again and again: a statement that waits would deadlock with the holder's CREATE INDEX CONCURRENTLY."""
    async with asyncio.timeout(_LOCK_SECONDS):
        while not await connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_LOCK))):
            await connection.rollback()
            await asyncio.sleep(0.2)


async def run(url: str) -> None:
    engine = open_engine(url, pool_size=1)
    postgresql = engine.dialect.name == "postgresql"
    (prepare_postgresql if postgresql else prepare_sqlite)(engine)
    try:
        async with engine.connect() as connection:
            if postgresql:
                await prepare_session(connection)  # the lock ends with the session, just below
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


asyncio.run(run(context.config.attributes.get("url") or config.load().database_url.get_secret_value()))
