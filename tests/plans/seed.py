"""`python -m tests.plans.seed`: fill a database with a million accounts, and keep what the planner knows of it.

Writes tests/plans/statistics.json (what ANALYZE found, and how large each table and index is), which
tests/plans/test_plans.py gives to an empty database, and prints the sizes as docs/operations.md has them. It takes some
minutes and 15 GB, so it is run when the schema has changed and not in every test run; the test says when that is.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.core import migrations
from app.core.database import async_url
from tests.plans.statistics import STATISTICS
from tests.races import create_database
from tests.support.postgres import postgres

_SEED = Path(__file__).with_name("seed.sql")
_TARGET = 10  # values and bounds kept of each column: enough to tell some rows from a million
_RELATIONS = """
SELECT c.relname, t.relname AS of_table, c.relkind::text, c.relpages, c.reltuples, c.relallvisible,
  pg_relation_size(c.oid) AS bytes,
  CASE WHEN c.relkind = 'r' THEN pg_total_relation_size(c.oid) - pg_indexes_size(c.oid) END AS with_toast
FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = i.indrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'i')
ORDER BY coalesce(t.relname, c.relname), c.relkind DESC, c.relname
"""
_COLUMNS = """
SELECT tablename, attname, null_frac, avg_width, n_distinct, most_common_vals::text, most_common_freqs::text,
  histogram_bounds::text, correlation
FROM pg_stats WHERE schemaname = 'public' ORDER BY tablename, attname
"""


async def main(accounts: int) -> None:
    with postgres() as server:
        url = await create_database(server)
        await asyncio.to_thread(migrations.upgrade, url)
        engine = create_async_engine(async_url(url))
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            began = (await connection.scalar(text("SELECT now()"))).isoformat()  # times in the rows count from here
            await connection.run_sync(_fill, accounts)
            kept = {"at": began, **await connection.run_sync(_capture)}
        await engine.dispose()
    STATISTICS.write_text(json.dumps({"accounts": accounts, **kept}, indent=1) + "\n")
    sys.stdout.write(table(kept["relations"], accounts))


def _fill(connection: Connection, accounts: int) -> None:
    for statement in _SEED.read_text().replace(":n", str(accounts)).split(";\n"):
        if statement.strip():
            began = time.monotonic()
            connection.exec_driver_sql(statement)
            sys.stderr.write(f"{time.monotonic() - began:6.1f} s  {statement.strip().splitlines()[0][:80]}\n")
    connection.exec_driver_sql(f"SET default_statistics_target = {_TARGET}")
    connection.exec_driver_sql("VACUUM ANALYZE")


def _capture(connection: Connection) -> dict[str, Any]:
    return {
        "relations": [dict(row) for row in connection.execute(text(_RELATIONS)).mappings()],
        "columns": [dict(row) for row in connection.execute(text(_COLUMNS)).mappings()],
    }


def table(relations: list[dict[str, Any]], accounts: int) -> str:
    """Markdown: bytes a row of each growing table, with its out-of-line values, and of its indexes."""
    lines = ["| table | rows | bytes a row | of its indexes | indexes |", "| --- | --- | --- | --- | --- |"]
    for one in relations:
        if one["relkind"] == "r" and one["reltuples"] >= accounts / 10:
            indexes = [other for other in relations if other["of_table"] == one["relname"]]
            rows = one["reltuples"]
            own, theirs = one["with_toast"] / rows, sum(index["bytes"] for index in indexes) / rows
            lines.append(f"| `{one['relname']}` | {rows:,.0f} | {own:.0f} | {theirs:.0f} | {len(indexes)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
