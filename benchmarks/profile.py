"""Where the time of an operation goes.

py-spy looks at the service's processes while they are under load; PostgreSQL counts what it executes for them
(pg_stat_statements).
"""

import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]

from benchmarks.load import Load
from benchmarks.operations import OPERATIONS
from benchmarks.world import World

_RATE = 250  # looks a second
_SHOWN = 30  # lines of the first list
_SHOWN_UNDER = 110  # and of the second
_WAITING = ("Condition.wait (", "_worker (concurrent/")  # threads that are given work now and then
# What the server is started with for it.
POSTGRES = ("shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track_planning=on")
_STATEMENTS = """
    SELECT calls, total_exec_time + total_plan_time AS ms, total_plan_time AS planning,
        shared_blks_hit + shared_blks_read AS pages, regexp_replace(query, '\\s+', ' ', 'g') AS text
    FROM pg_stat_statements WHERE calls > 0 AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY ms DESC LIMIT 15
"""
_SHOWN_OF_A_STATEMENT = 130  # characters
_ENTRY = "RequestResponseCycle.run_asgi"  # uvicorn's call of the application: what is above it is the same for all


def profile(world: World, name: str, *, connections: int, seconds: int) -> str:
    """The functions that were running, and those on the stack, by their share of the looks that found work."""
    operation = OPERATIONS[name]
    contender = operation.contenders["service"]
    server = world.servers[contender.server]
    count = operation.requests if contender.rate is None else contender.rate * seconds
    requests, once = contender.make(world, count), contender.rate is not None
    asyncio.run(_forget_statements(world.database))
    load = Load(requests, world.folder, port=server.port, connections=connections, seconds=seconds + 2, once=once)
    stacks = _record(server.pid, world.folder / "stacks", seconds)
    seen = load.outcome()
    statements = asyncio.run(_statements(world.database, seen.requests))
    head = f"{name}, c={connections}: {seen.requests / seen.seconds:.0f}/s"
    return f"{head}\n{_told(stacks)}\n\nstatements, by request:\n{statements}"


async def _forget_statements(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    await connection.execute("SELECT pg_stat_statements_reset()")
    await connection.close()


async def _statements(database: str, requests: int) -> str:
    """The dearest ones: how often in a request, planning and executing it, planning alone, and the pages looked at."""
    connection = await asyncpg.connect(database)
    rows = await connection.fetch(_STATEMENTS)
    await connection.close()
    return "\n".join(
        f"{row['calls'] / requests:6.2f} × {row['ms'] / row['calls']:7.3f} ms"
        f" (planning {row['planning'] / row['calls']:.3f}) {row['pages'] / row['calls']:7.0f} pages"
        f"  {row['text'][:_SHOWN_OF_A_STATEMENT]}"
        for row in rows
    )


def _record(pid: int, path: Path, seconds: int) -> Counter[tuple[str, ...]]:
    """How often each stack was seen, the outermost function first."""
    spy = Path(sys.executable).with_name("py-spy")
    command = [str(spy), "record", "--subprocesses", "--nolineno", "--format", "raw", "--rate", str(_RATE)]
    command += ["--pid", str(pid), "--duration", str(seconds), "--output", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in path.read_text().splitlines():
        frames, _, count = line.rpartition(" ")
        stack = tuple(frame for frame in frames.split(";") if not frame.startswith("process "))
        if stack and not stack[-1].startswith(_WAITING):
            stacks[stack] += int(count)
    return stacks


def _told(stacks: Counter[tuple[str, ...]]) -> str:
    own: Counter[str] = Counter()
    under: Counter[str] = Counter()
    everything = sum(stacks.values())
    for frames, count in stacks.items():
        own[frames[-1]] += count
        entry = next((at for at, frame in enumerate(frames) if frame.startswith(_ENTRY)), 0)
        for frame in set(frames[entry:]):
            under[frame] += count

    def listed(found: Counter[str], lines: int) -> str:
        return "\n".join(f"{count / everything:6.1%}  {name}" for name, count in found.most_common(lines))

    return f"running:\n{listed(own, _SHOWN)}\n\non the stack:\n{listed(under, _SHOWN_UNDER)}"
