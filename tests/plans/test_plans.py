"""No statement of the service reads a large table from end to end.

Every statement that the suite sends (tests/plans/statements.sql, kept complete by tests/plans/recording.py) is explained
on a database that looks to the planner as if it held a million accounts (tests/plans/statistics.py).
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from app.core import migrations
from app.core.database import METADATA, async_url
from tests.plans.explaining import Fault, faults, plan, prepare
from tests.plans.recording import known_statements
from tests.plans.statistics import growing, kept, moment, pretend
from tests.races import create_database
from tests.support.postgres import postgres

# May be read whole, for they stay small.
SMALL = {
    "alembic_version": "one row",
    "event_head": "one row",
    "signing_keys": "a row for each rotation",
    "data_keys": "a row for each rotation",
    "service_clients": "the services of Guance",
    "client_secrets": "two of each client",
    "webhook_endpoints": "at most twenty of each client",
}
# What goes through more of a growing table than an index would have to, and why it may: by table and filtered columns.
ALLOWED = {
    ("Seq Scan", "real_name_submissions", "sealed"): "`keys list-data` counts all sealed values, by hand",
    ("Index Scan", "real_name_submissions", "type"): "staff's list: one of two kinds, so a page is found at once",
    ("Index Scan", "real_name_submissions", "in_review"): "staff's list without what is in review: nearly all rows",
    ("Index Scan", "real_name_submissions", "in_review type"): "the two together",
    ("Index Scan", "webhook_attempts", "endpoint_id"): "has an index; goes back through all where few endpoints have most",
    ("Index Scan", "webhook_attempts", "endpoint_id outcome"): "the same",
}


@pytest.fixture(scope="module")
async def found() -> AsyncIterator[dict[str, list[Fault]]]:
    """What is wrong with each statement. The server is one of our own: its files are written to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TEST_DATABASE_URL", raising=False)
        with postgres() as server:
            url = await create_database(server)
            await asyncio.to_thread(migrations.upgrade, url)
            engine = create_async_engine(async_url(url), isolation_level="AUTOCOMMIT")
            async with engine.connect() as connection:
                yield await connection.run_sync(_explained)
            await engine.dispose()


def _explained(connection: Connection) -> dict[str, list[Fault]]:
    pretend(connection)
    indexes, tables, at = prepare(connection), growing(), moment()
    return {one: faults(plan(connection, one, at), indexes, tables) for one in known_statements()}


def test_every_statement_finds_its_rows_in_a_growing_table_by_an_index(found: dict[str, list[Fault]]) -> None:
    assert len(found) > 250
    wrong = {one: bad for one, several in found.items() if (bad := [f for f in several if f.reason not in ALLOWED])}
    assert wrong == {}


def test_what_is_allowed_is_what_happens(found: dict[str, list[Fault]]) -> None:
    assert {fault.reason for several in found.values() for fault in several} == set(ALLOWED)


def test_the_statistics_are_those_of_the_schema_as_it_is() -> None:
    """After a migration that adds a table, a column or an index: `python -m tests.plans.seed`."""
    statistics = kept()
    relations = {one["relname"] for one in statistics["relations"]}
    columns = {(one["tablename"], one["attname"]) for one in statistics["columns"]}
    indexes = {index.name for table in METADATA.tables.values() for index in table.indexes}
    assert set(METADATA.tables) | indexes <= relations
    assert {(table.name, column.name) for table in METADATA.tables.values() for column in table.columns} <= columns
    assert growing() | set(SMALL) == set(METADATA.tables) | {"alembic_version"}


async def test_a_statement_that_no_index_serves_is_noticed(found: dict[str, list[Fault]]) -> None:
    reasons = {fault.reason for several in found.values() for fault in several}
    assert ("Seq Scan", "real_name_submissions", "sealed") in reasons
