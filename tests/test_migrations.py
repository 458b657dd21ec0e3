"""The migrations build, on both databases, what the models say, and can be undone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core import migrations
from app.core.database import open_engine
from app.models.base import Base

BOOKKEEPING = "alembic_version"


class Databases(NamedTuple):
    """URLs of two empty ones, of the same kind."""

    migrated: str
    created: str


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else f"sqlite:///{tmp_path}/-"
    return str(url)


@pytest.fixture
async def databases(server: str) -> AsyncIterator[Databases]:
    names = [f"migrations_{uuid4().hex}" for _ in Databases._fields]
    folder, _, _ = server.rpartition("/")
    if server.startswith("postgresql"):
        await administer(server, *(f"CREATE DATABASE {name}" for name in names))
    yield Databases(*(f"{folder}/{name}" for name in names))
    if server.startswith("postgresql"):
        await administer(server, *(f"DROP DATABASE {name} WITH (FORCE)" for name in names))


async def test_migrations_go_up_and_down_to_nothing_and_up_again(databases: Databases) -> None:
    url = databases.migrated

    await upgrade(url)
    assert await tables(url) == {*Base.metadata.tables, BOOKKEEPING}
    assert await revisions(url) == [migrations.head()]

    await asyncio.to_thread(migrations.downgrade, url, "base")
    assert await tables(url) == {BOOKKEEPING}

    await upgrade(url)
    await upgrade(url)
    assert await revisions(url) == [migrations.head()]


async def test_a_migrated_database_differs_in_nothing_that_alembic_sees(databases: Databases) -> None:
    await upgrade(databases.migrated)

    assert await asyncio.to_thread(migrations.check, databases.migrated) == []


async def test_a_column_that_no_migration_made_is_seen(databases: Databases) -> None:
    await upgrade(databases.migrated)
    await administer(databases.migrated, "ALTER TABLE accounts ADD COLUMN nickname VARCHAR(8)")

    assert "nickname" in str(await asyncio.to_thread(migrations.check, databases.migrated))


async def test_indexes_and_constraints_are_those_of_the_models_to_the_letter(databases: Databases) -> None:
    """What alembic does not compare: the WHERE of a partial index, and a CHECK."""
    await upgrade(databases.migrated)
    await create_all(databases.created)

    migrated, created = await definitions(databases.migrated), await definitions(databases.created)

    assert migrated == created
    assert any(" WHERE " in definition for definition in migrated.values())
    assert "ck_accounts_status_known" in str(migrated)


async def upgrade(url: str) -> None:
    await asyncio.to_thread(migrations.upgrade, url)


@asynccontextmanager
async def connected(url: str, **options: str) -> AsyncIterator[AsyncConnection]:
    engine = open_engine(url).execution_options(**options)
    try:
        async with engine.connect() as connection:
            yield connection
            await connection.commit()
    finally:
        await engine.dispose()


async def administer(url: str, *statements: str) -> None:
    """AUTOCOMMIT, since a database is not made in a transaction."""
    async with connected(url, isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)


async def create_all(url: str) -> None:
    async with connected(url) as connection:
        await connection.run_sync(Base.metadata.create_all)


async def tables(url: str) -> set[str]:
    async with connected(url) as connection:
        return set(await connection.run_sync(lambda c: sa.inspect(c).get_table_names()))


async def revisions(url: str) -> list[str]:
    async with connected(url) as connection:
        return list(await connection.scalars(sa.text("SELECT version_num FROM alembic_version")))


async def definitions(url: str) -> dict[str, str]:
    """Every index and constraint by its name, as the database itself writes it."""
    async with connected(url) as connection:
        found = await (of_postgresql if connection.dialect.name == "postgresql" else of_sqlite)(connection)
    return {name: " ".join(text.split()) for name, text in found.items() if not name.startswith(BOOKKEEPING)}


async def of_postgresql(connection: AsyncConnection) -> dict[str, str]:
    rows = await connection.execute(
        sa.text(
            """
            SELECT indrelid::regclass || ' ' || indexrelid::regclass AS name, pg_get_indexdef(indexrelid) AS sql
              FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
             WHERE relnamespace = 'public'::regnamespace
             UNION ALL
            SELECT conrelid::regclass || ' constraint ' || conname, pg_get_constraintdef(oid)
              FROM pg_constraint WHERE connamespace = 'public'::regnamespace
            """
        )
    )
    return {row.name: row.sql for row in rows}


async def of_sqlite(connection: AsyncConnection) -> dict[str, str]:
    """Indexes from their SQL; CHECKs through the inspector, since a table that was altered is written otherwise."""
    rows = await connection.execute(
        sa.text("SELECT tbl_name || ' ' || name AS name, sql FROM sqlite_master WHERE type = 'index' AND sql <> ''")
    )
    found = {row.name: str(row.sql) for row in rows}
    checks = await connection.run_sync(lambda c: sa.inspect(c).get_multi_check_constraints())
    for (_, table), constraints in checks.items():
        found |= {f"{table} constraint {check['name']}": str(check["sqltext"]) for check in constraints}
    return found
