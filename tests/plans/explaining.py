"""What PostgreSQL would do for a statement, and what is wrong with that on large tables."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from tests.plans.shapes import TIME

_FUNCTION = """
CREATE FUNCTION pg_temp.plan(statement text) RETURNS json LANGUAGE plpgsql AS $$
DECLARE found json;
BEGIN
  EXECUTE 'EXPLAIN (GENERIC_PLAN, FORMAT JSON) ' || statement INTO found;
  RETURN found;
END $$
"""
_SCANS = ("Index Scan", "Index Only Scan", "Bitmap Index Scan")


@dataclass(frozen=True, slots=True)
class Fault:
    """`reason`: how the table is read, which one, and the columns that rows are picked by afterwards."""

    reason: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Indexes:
    """Of the schema: on which table each is, and what a partial one is bounded to."""

    table: dict[str, str]
    bound: dict[str, str]


def prepare(connection: Connection) -> Indexes:
    """Once for a connection."""
    connection.execute(text(_FUNCTION))
    rows = connection.execute(
        text(
            "SELECT i.indexrelid::regclass::text, i.indrelid::regclass::text, pg_get_expr(i.indpred, i.indrelid) "
            "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = 'public'::regnamespace"
        )
    ).all()
    return Indexes({row[0]: row[1] for row in rows}, {row[0]: row[2] for row in rows if row[2]})


def plan(connection: Connection, statement: str, at: datetime) -> dict[str, Any]:
    """Its plan, with ids and names unknown (`GENERIC_PLAN`, PostgreSQL 16) and times counted from `at`."""
    written = TIME.sub(lambda found: (at + timedelta(minutes=int(found[1]))).isoformat(), statement)
    found: list[dict[str, Any]] = connection.scalar(text("SELECT pg_temp.plan(:statement)"), {"statement": written})
    root: dict[str, Any] = found[0]["Plan"]
    return root


def nodes(node: dict[str, Any], *, under: tuple[str, ...] = ()) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """Each node of a plan, with the kinds of those above it."""
    yield node, under
    for child in node.get("Plans", ()):
        yield from nodes(child, under=(*under, node["Node Type"]))


def faults(root: dict[str, Any], indexes: Indexes, growing: set[str]) -> list[Fault]:
    """Where the plan reads a growing table otherwise than from a place in an index."""
    return [fault for node, under in nodes(root) if (fault := _fault(node, under, indexes, growing))]


def read_whole(root: dict[str, Any], indexes: Indexes) -> set[str]:
    """The partial indexes that the plan reads from end to end."""
    return {
        node["Index Name"]
        for node, _ in nodes(root)
        if node["Node Type"] in _SCANS and "Index Cond" not in node and node["Index Name"] in indexes.bound
    }


def _fault(node: dict[str, Any], under: tuple[str, ...], indexes: Indexes, growing: set[str]) -> Fault | None:
    kind = node["Node Type"]
    relation = node.get("Relation Name") or indexes.table.get(node.get("Index Name", ""))
    if relation not in growing:
        return None
    whole = kind in _SCANS and "Index Cond" not in node and not _is_bounded(node, under, indexes)
    if whole or "Seq Scan" in kind:
        columns = sorted(set(re.findall(r"\(+(?:NOT )?(\w+)(?: |\)|::)", node.get("Filter", ""))))
        return Fault((kind, relation, " ".join(columns)))
    return None


def _is_bounded(node: dict[str, Any], under: tuple[str, ...], indexes: Indexes) -> bool:
    """The index holds only what is open, or its order gives the first rows at once."""
    return node["Index Name"] in indexes.bound or ("Limit" in under and "Filter" not in node)
