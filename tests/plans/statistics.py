"""A database that looks to the planner as if it held a million accounts, made in seconds.

The planner goes by the number of pages of each file and by what ANALYZE has found. The files of an empty, migrated
database are made as long as they were in the filled one (holes on disk: nothing is written), and the statistics kept
there are given to it by `pg_restore_relation_stats` and `pg_restore_attribute_stats` (PostgreSQL 18 §9.28.11).
Plans are then the ones of the filled database; running a statement finds nothing.
"""

import json
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from tests.plans.explaining import Indexes

STATISTICS = Path(__file__).with_name("statistics.json")
_SEGMENT = 1 << 30  # bytes of one file of a relation; the next one follows as `.1`
_RELATION = text("""
SELECT pg_restore_relation_stats('schemaname', 'public', 'relname', cast(:name AS text), 'relpages',
  cast(:pages AS integer),
  'reltuples', cast(:tuples AS real), 'relallvisible', cast(:visible AS integer))
""")
_FOR_A_COLUMN = """
SELECT pg_restore_attribute_stats('schemaname', 'public', 'relname', cast(:table AS text), 'attname',
  cast(:column AS text), 'inherited', false, {given})
"""
_NEVER_NULL = text(_FOR_A_COLUMN.format(given="'null_frac', cast(0 AS real)"))
_ANOTHER_WORD = text(
    _FOR_A_COLUMN.format(
        given="'null_frac', cast(0 AS real), 'n_distinct', cast(1 AS real), "
        "'most_common_vals', cast('{another}' AS text), 'most_common_freqs', cast('{1}' AS real[])"
    )
)
_KINDS = {
    "null_frac": "real",
    "avg_width": "integer",
    "n_distinct": "real",
    "most_common_vals": "text",
    "most_common_freqs": "real[]",
    "histogram_bounds": "text",
    "correlation": "real",
}
_SENT = {"most_common_freqs": "text"}  # as it was kept


def kept() -> dict[str, Any]:
    """What `python -m tests.plans.seed` has written."""
    found: dict[str, Any] = json.loads(STATISTICS.read_text())
    return found


def moment() -> datetime:
    """When it was kept: times in statements count from here."""
    return datetime.fromisoformat(kept()["at"])


def growing() -> set[str]:
    """The tables with about as many rows as there are accounts, or more."""
    found = kept()
    tables = [one for one in found["relations"] if one["relkind"] == "r"]
    return {one["relname"] for one in tables if one["reltuples"] >= found["accounts"] / 10}


def pretend(connection: Connection) -> None:
    """Make the database look like the filled one. Its server runs here, and may be written to beneath its feet."""
    found = kept()
    folder = Path(connection.scalar(text("SHOW data_directory")) or "")
    known = set(connection.scalars(text("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")))
    for one in (one for one in found["relations"] if one["relname"] in known):
        file = folder / str(connection.scalar(text("SELECT pg_relation_filepath(:name)"), {"name": one["relname"]}))
        _lengthen(file, one["bytes"])
        given = {"pages": one["relpages"], "tuples": one["reltuples"], "visible": one["relallvisible"]}
        connection.execute(_RELATION, {"name": one["relname"], **given})
    for column in (one for one in found["columns"] if one["tablename"] in known):
        given = {name: value for name, value in column.items() if name in _KINDS and value is not None}
        listed = ", ".join(
            f"'{name}', cast(cast(:{name} AS {_SENT.get(name, _KINDS[name])}) AS {_KINDS[name]})" for name in given
        )
        of = {"table": column["tablename"], "column": column["attname"]}
        connection.execute(text(_FOR_A_COLUMN.format(given=listed)), {**column, **of})


def empty(connection: Connection, indexes: Indexes) -> None:
    """Make every partial index look as if it held no row, while its table is as full as before.

    That is what ANALYZE finds where rows are open for minutes only.
    """
    for name, bound in indexes.bound.items():
        connection.execute(_RELATION, {"name": name, "pages": 1, "tuples": 0, "visible": 0})
        for column in re.findall(r"(\w+) IS NULL", bound):
            connection.execute(_NEVER_NULL, {"table": indexes.table[name], "column": column})
        for column in re.findall(r"(\w+)\)?::text = ", bound):
            connection.execute(_ANOTHER_WORD, {"table": indexes.table[name], "column": column})


def _lengthen(file: Path, size: int) -> None:
    owner = file.stat()
    for number in range(-(-size // _SEGMENT)):
        segment = file if number == 0 else file.with_name(f"{file.name}.{number}")
        segment.touch()
        os.chown(segment, owner.st_uid, owner.st_gid)
        length = min(size - number * _SEGMENT, _SEGMENT)
        if segment.stat().st_size < length:
            os.truncate(segment, length)
