"""No statement of the service reads a large table from end to end.

Every statement that the suite sends (statements.sql, kept complete by recording.py) is explained on a database that
looks to the planner as if it held a million accounts (statistics.py).
"""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from app.core import migrations
from app.core.database import METADATA, async_url
from tests.plans.explaining import Fault, faults, plan, prepare, read_whole
from tests.plans.recording import known_statements
from tests.plans.statistics import empty, growing, kept, moment, pretend
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
    (
        "Index Scan",
        "real_name_submissions",
        "status type",
    ): "staff's list: of a status some in a hundred are of each kind",
    ("Index Scan", "real_name_submissions", "in_review status type"): "the same",
    ("Index Scan", "cloud_notices", "provider"): "staff's list: one of a few providers, so a page is found at once",
    (
        "Index Scan",
        "webhook_attempts",
        "endpoint_id",
    ): "has an index; goes back through all where few endpoints have most",
    ("Index Scan", "webhook_attempts", "endpoint_id outcome"): "the same",
}


# Read whole by the statement that they are for, which now and then is not the only one.
MEANT_WHOLE = {"ix_cloud_notices_open"}


class Found(NamedTuple):
    """By statement: what is wrong with its plan, and the partial indexes that it reads whole if they look empty."""

    wrong: dict[str, list[Fault]]
    looked_empty: dict[str, set[str]]


@pytest.fixture(scope="module")
async def found() -> AsyncIterator[Found]:
    """Of every statement. The server is one of our own: its files are written to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TEST_DATABASE_URL", raising=False)
        with postgres() as server:
            url = await create_database(server)
            await asyncio.to_thread(migrations.upgrade, url)
            engine = create_async_engine(async_url(url), isolation_level="AUTOCOMMIT")
            async with engine.connect() as connection:
                yield await connection.run_sync(_explained)
            await engine.dispose()


def _explained(connection: Connection) -> Found:
    pretend(connection)
    indexes, tables, at = prepare(connection), growing(), moment()
    plans = {one: plan(connection, one, at) for one in known_statements()}
    empty(connection, indexes)
    again = {one: read_whole(plan(connection, one, at), indexes) for one in plans}
    return Found(
        {one: faults(root, indexes, tables) for one, root in plans.items()},
        {one: again[one] - read_whole(root, indexes) for one, root in plans.items()},
    )


def test_every_statement_finds_its_rows_in_a_growing_table_by_an_index(found: Found) -> None:
    assert len(found.wrong) > 250
    wrong = {
        one: bad for one, several in found.wrong.items() if (bad := [f for f in several if f.reason not in ALLOWED])
    }
    assert wrong == {}


def test_what_is_allowed_is_what_happens(found: Found) -> None:
    assert {fault.reason for several in found.wrong.values() for fault in several} == set(ALLOWED)


def test_the_statistics_are_those_of_the_schema_as_it_is() -> None:
    """After a migration that adds a table, a column or an index: `python -m tests.plans.seed`."""
    statistics = kept()
    relations = {one["relname"] for one in statistics["relations"]}
    columns = {(one["tablename"], one["attname"]) for one in statistics["columns"]}
    indexes = {index.name for table in METADATA.tables.values() for index in table.indexes}
    assert set(METADATA.tables) | indexes <= relations
    assert {(table.name, column.name) for table in METADATA.tables.values() for column in table.columns} <= columns
    assert growing() | set(SMALL) == set(METADATA.tables) | {"alembic_version"}


def test_no_statement_is_planned_to_read_whole_what_only_looked_empty(found: Found) -> None:
    """A partial index that had no rows when the plan was made may have thousands while the plan lasts."""
    assert {one: indexes for one, indexes in found.looked_empty.items() if indexes - MEANT_WHOLE} == {}


async def test_a_statement_that_no_index_serves_is_noticed(found: Found) -> None:
    reasons = {fault.reason for several in found.wrong.values() for fault in several}
    assert ("Seq Scan", "real_name_submissions", "sealed") in reasons
