"""The service and its migrations keep to the SQL that docs/sql.md lists."""

import asyncio
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from app.core import migrations
from tests.plans.recording import known_statements
from tests.races import create_database

_PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
# Nothing of this, whatever the page lists.
_NEVER = (
    r"\bEXCLUDE\b",
    r"\bDEFERRABLE\b",
    r"\bTRIGGER\b",
    r"\b(FUNCTION|PROCEDURE|LANGUAGE)\b",
    r"\b(LISTEN|NOTIFY)\b|pg_notify",
    r"\b(ctid|xmin|xmax)\b",
    r"\bLOCK TABLE\b",
    r"\b(TRUNCATE|TEMPORARY|UNLOGGED|INHERITS)\b",
    r"\bSEQUENCE\b|nextval|\bSERIAL\b",
)


def listed(where: str) -> set[str]:
    """The words of the page's table for statements or for migrations."""
    rows = [line.split("|") for line in _PAGE.read_text().splitlines() if line.startswith("| ")]
    found = [row[2] for row in rows if row[3].strip() in (where, "both")]
    return {word for cell in found for word in re.findall(r"\w+", cell)}


def words(statement: str) -> set[str]:
    """Keywords and functions, without what stands in quotes."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", statement)
    return set(re.findall(r"\b[A-Z]{2,}\b", bare)) | set(re.findall(r"\b([a-z]\w*)\((?!\w+,? )", _without_lists(bare)))


def _without_lists(statement: str) -> str:
    """A table's name before its list of columns is no function."""
    return re.sub(r"\b(INTO|REFERENCES|TABLE|ON|UNIQUE|KEY) \w+ ?\(", r"\1 (", statement)


@pytest.fixture(scope="module")
async def migrating(postgres_url: str) -> list[str]:
    """What the migrations send to an empty database, alembic's own looks at the catalogue left out."""
    url, sent = await create_database(postgres_url), []

    def note(*arguments: Any) -> None:
        sent.append(str(arguments[2]))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        await asyncio.to_thread(migrations.upgrade, url)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return [one for one in sent if "pg_catalog" not in one]


def test_statements_use_what_is_listed_and_nothing_else() -> None:
    used = set().union(*(words(one) for one in known_statements()))
    assert sorted(used - listed("statements")) == []


def test_migrations_use_what_is_listed_and_nothing_else(migrating: list[str]) -> None:
    used = set().union(*(words(one) for one in migrating))
    assert sorted(used - listed("migrations") - listed("statements")) == []


def test_what_distributed_databases_lack_is_in_neither(migrating: list[str]) -> None:
    sent = [*known_statements(), *migrating]
    assert [(never, one) for never in _NEVER for one in sent if re.search(never, one)] == []


def test_no_statement_changes_a_table_twice() -> None:
    """CockroachDB refuses one that does."""
    change = r"(?:INSERT INTO|DELETE FROM|(?<!FOR )(?<!KEY )(?<!DO )UPDATE) (\w+)"
    changed = {one: Counter(re.findall(change, one)) for one in known_statements()}
    assert [one for one, tables in changed.items() if any(times > 1 for times in tables.values())] == []
    assert any(len(tables) > 1 for tables in changed.values())  # several tables are


def test_the_service_takes_no_advisory_lock() -> None:
    assert [one for one in known_statements() if "advisory" in one] == []


def test_every_key_but_that_of_events_is_made_by_the_service(migrating: list[str]) -> None:
    """A key that a sequence gives is a hot place in a distributed database."""
    counted = [one for one in migrating if "IDENTITY" in one]
    assert [re.findall(r"CREATE TABLE (\w+)", one) for one in counted] == [["events"]]
