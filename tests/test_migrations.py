"""The migrations build, on both databases, what the models say, and can be undone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core import migrations
from app.core.database import UtcDateTime, open_engine
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


# Data

BEFORE_CLOUDS = "2026_11_23_real_name"
ACCOUNT = UUID("0193b5c2-7d3e-7a41-b4d2-c9f1e8a60b57")
CREATED = datetime(2026, 11, 1, 8, 15, 30, 123456, tzinfo=UTC)
DISSOLVED = CREATED + timedelta(days=1)
WORKSPACES = {"wksp_one": None, "wksp_two": None, "wksp_gone": DISSOLVED}


def table(called: str, /, **columns: sa.types.TypeEngine[Any]) -> sa.TableClause:
    """As it is in some revision: the models have moved on."""
    return sa.table(called, *(sa.column(column, kind) for column, kind in columns.items()))


BEFORE_PLANS = "2026_11_23_cloud_accounts"
MOMENT, TEXT = UtcDateTime(), sa.String()
ACCOUNTS = table(
    "accounts",
    id=sa.Uuid(),
    password_revoked=sa.Boolean(),
    credentials_version=sa.Integer(),
    profile_version=sa.Integer(),
    created_at=MOMENT,
    updated_at=MOMENT,
    **dict.fromkeys(("username", "username_key", "email", "email_key", "company_name", "locale"), TEXT),
    **dict.fromkeys(("status", "real_name_status", "time_zone"), TEXT),
)
OLD_WORKSPACES = table(
    "workspaces",
    id=TEXT,
    account_id=sa.Uuid(),
    site=TEXT,
    name=TEXT,
    created_at=MOMENT,
    updated_at=MOMENT,
    dissolved_at=MOMENT,
)
SETTLEMENTS = table(
    "settlements",
    id=sa.Uuid(),
    workspace_id=TEXT,
    effective_from=MOMENT,
    follows=MOMENT,
    method=TEXT,
    cloud_account_id=sa.Uuid(),
    cause=TEXT,
    lock_ends_at=MOMENT,
)
CHALLENGES = table(
    "challenges",
    id=sa.Uuid(),
    slot=sa.LargeBinary(),
    code_mac=sa.LargeBinary(),
    **dict.fromkeys(("purpose", "lane", "channel", "target"), TEXT),
    **dict.fromkeys(("code_tries", "tries", "sends"), sa.Integer()),
    **dict.fromkeys(("code_sent_at", "code_expires_at", "created_at", "expires_at"), MOMENT),
)


@pytest.fixture
async def with_workspaces(databases: Databases) -> str:
    """A database from before there were cloud accounts, with three workspaces, one of them dissolved."""
    await upgrade(databases.migrated, BEFORE_CLOUDS)
    words = dict.fromkeys(("username", "username_key", "email", "email_key", "company_name"), "acme")
    account = {"id": ACCOUNT, "created_at": CREATED, "updated_at": CREATED, "locale": "en", "status": "active"}
    account |= {"real_name_status": "none", "time_zone": "Asia/Shanghai", "password_revoked": False}
    account |= {"credentials_version": 1, "profile_version": 1}
    rows = [
        {
            "id": name,
            "account_id": ACCOUNT,
            "site": "cn1",
            "name": name,
            "created_at": CREATED + timedelta(hours=number),
        }
        | {"updated_at": CREATED, "dissolved_at": dissolved}
        for number, (name, dissolved) in enumerate(WORKSPACES.items())
    ]
    await write(databases.migrated, sa.insert(ACCOUNTS).values(account | words), sa.insert(OLD_WORKSPACES).values(rows))
    return databases.migrated


async def test_workspaces_from_before_were_paid_for_by_the_billing_center_since_they_are_known(
    with_workspaces: str,
) -> None:
    before = await read(with_workspaces, OLD_WORKSPACES)

    await upgrade(with_workspaces)

    assert await read(with_workspaces, OLD_WORKSPACES) == before
    records = await read(with_workspaces, SETTLEMENTS)
    assert [{**record, "id": None} for record in records] == [
        {
            "id": None,
            "workspace_id": one["id"],
            "effective_from": as_shown(one["created_at"]),
            "follows": None,
            "method": "billing_center",
            "cloud_account_id": None,
            "cause": "created",
            "lock_ends_at": None,
        }
        for one in before
    ]
    assert len({record["id"] for record in records}) == len(WORKSPACES)
    settled = await read(with_workspaces, table("workspaces", id=TEXT, settled_from=MOMENT))
    assert settled == [{"id": one["id"], "settled_from": as_shown(one["created_at"])} for one in before]
    assert await asyncio.to_thread(migrations.check, with_workspaces) == []


@pytest.mark.parametrize(
    "broken",
    [
        "UPDATE workspaces SET settled_from = NULL",
        "UPDATE workspaces SET settled_from = updated_at WHERE id = 'wksp_two'",
        "DELETE FROM settlements WHERE workspace_id = 'wksp_one'",
    ],
)
async def test_a_migrated_workspace_is_bound_to_its_record_like_any_other(with_workspaces: str, broken: str) -> None:
    await upgrade(with_workspaces)

    with pytest.raises(IntegrityError):
        await write(with_workspaces, sa.text(broken))


async def test_without_cloud_accounts_the_workspaces_are_as_they_were(with_workspaces: str) -> None:
    before, schema = await read(with_workspaces, OLD_WORKSPACES), await definitions(with_workspaces)
    await upgrade(with_workspaces)
    for purpose in ("login", "cloud_claim"):
        await write(with_workspaces, sa.insert(CHALLENGES).values(challenge(purpose)))

    await asyncio.to_thread(migrations.downgrade, with_workspaces, BEFORE_CLOUDS)

    assert await read(with_workspaces, OLD_WORKSPACES) == before
    assert [one["purpose"] for one in await read(with_workspaces, CHALLENGES)] == ["login"]
    assert await definitions(with_workspaces) == schema
    with pytest.raises(IntegrityError):
        await write(with_workspaces, sa.insert(CHALLENGES).values(challenge("cloud_claim")))
    await upgrade(with_workspaces)
    assert [one["workspace_id"] for one in await read(with_workspaces, SETTLEMENTS)] == [one["id"] for one in before]


async def test_what_a_run_that_was_broken_off_left_behind_is_gone_after_the_next(databases: Databases) -> None:
    await upgrade(databases.migrated, BEFORE_PLANS)
    if databases.migrated.startswith("postgresql"):
        left = ("ix_challenges_open", "uq_challenges_slot_live_new", "uq_challenges_slot_live_old")
        await administer(databases.migrated, *(f"CREATE INDEX {name} ON challenges (sends)" for name in left))

    await upgrade(databases.migrated)

    await create_all(databases.created)
    assert await definitions(databases.migrated) == await definitions(databases.created)


def as_shown(moment: datetime) -> datetime:
    """To the millisecond: an instant that somebody was told of can be asked for."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def challenge(purpose: str) -> dict[str, Any]:
    mac = purpose.encode().ljust(32)
    words = {"purpose": purpose, "lane": "open", "channel": "email", "target": "li@example.com"}
    moments = dict.fromkeys(("code_sent_at", "code_expires_at", "created_at", "expires_at"), CREATED)
    counts = dict.fromkeys(("code_tries", "tries", "sends"), 0)
    return {"id": uuid4(), "slot": mac, "code_mac": mac} | words | moments | counts


async def write(url: str, *statements: sa.Executable) -> None:
    async with connected(url) as connection:
        for statement in statements:
            await connection.execute(statement)


async def read(url: str, what: sa.TableClause) -> list[dict[str, Any]]:
    """Every row, by the workspace or else by its id."""
    order = what.c.workspace_id if "workspace_id" in what.c else what.c.id
    async with connected(url) as connection:
        return [dict(row) for row in (await connection.execute(sa.select(what).order_by(order))).mappings()]


async def upgrade(url: str, revision: str = "head") -> None:
    await asyncio.to_thread(migrations.upgrade, url, revision)


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


def test_revisions_are_read_from_the_files_as_alembic_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a process that serves, which loads no alembic; with a type or without."""
    script = ScriptDirectory.from_config(Config(Path(__file__).parents[1] / "alembic.ini"))
    assert migrations.head() == script.get_current_head()
    (tmp_path / "first.py").write_text('revision: str = "2026_01_01_first"\ndown_revision: str | None = None\n')
    (tmp_path / "second.py").write_text('revision = "2026_01_02_second"\ndown_revision = "2026_01_01_first"\n')
    monkeypatch.setattr(migrations, "_VERSIONS", tmp_path)

    assert migrations.head() == "2026_01_02_second"
    fits = migrations.fits()
    assert [fits(one) for one in ("2026_01_02_second", "2026_01_01_first", "2026_01_03_next", None)] == [
        True,
        False,
        True,
        False,
    ]
