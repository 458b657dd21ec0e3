"""What is watched in a soak: memory, descriptors and tasks of each process, connections and bloat of the database."""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from drill.postgres import Server

_DATABASE = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = 'account') AS connections,
       (SELECT sum(n_dead_tup) FROM pg_stat_user_tables) AS dead_rows,
       (SELECT sum(pg_total_relation_size(c.oid)) / 1024 FROM pg_class c WHERE c.relname = ANY ($1)) AS cleaned_kib,
       (SELECT sum(n_tup_del) FROM pg_stat_user_tables WHERE relname = ANY ($1)) AS deleted
"""
CLEANED = [
    "sessions",
    "challenges",
    "idempotent_answers",
    "outbox_messages",
    "webhook_deliveries",
    "webhook_attempts",
    "registrations",
    "credential_changes",
    "login_tickets",
    "budgets",
    "events",
]


@dataclass(frozen=True)
class Rule:
    """When a series levels off: the line fitted through its second half rises by no more than this a minute.

    `share` of its mean, or `whole` units, whichever is more.
    """

    share: float
    whole: float

    def allows(self, mean: float) -> float:
        return max(self.share * mean, self.whole)


RULES = {
    "PSS MiB": Rule(0.01, 0),
    "descriptors": Rule(0.01, 1),
    "tasks": Rule(0.01, 1),
    "connections": Rule(0.01, 0.5),
    "dead rows": Rule(0.05, 50),
    "cleaned tables KiB": Rule(0.03, 0),
}


def slope(points: list[tuple[float, float]]) -> float:
    """Of the least-squares line, in units a minute; the points are seconds and values."""
    count = len(points)
    mean_x, mean_y = (sum(one[axis] for one in points) / count for axis in (0, 1))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return 60 * sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def of_process(name: str, pid: int, tasks: Path) -> dict[str, float]:
    """Of one process; empty when it has just ended."""
    found: dict[str, float] = {}
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        for kib in re.findall(r"^Pss: +(\d+)", rollup, re.MULTILINE):
            found[f"{name}: PSS MiB"] = int(kib) / 1024
        found[f"{name}: descriptors"] = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        found[f"{name}: tasks"] = int(tasks.read_text())
    return found


async def of_database(server: Server) -> dict[str, float]:
    [row] = await server.query(_DATABASE, CLEANED)
    return {
        "connections": float(row["connections"]),
        "dead rows": float(row["dead_rows"]),
        "cleaned tables KiB": float(row["cleaned_kib"]),
        "deleted rows": float(row["deleted"]),
    }
