"""`python -m benchmarks`: the whole run, or a part of it."""

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import asyncpg  # type: ignore[import-untyped]
import typer

from app.core import migrations
from benchmarks import load, machine, profile, report, servers
from benchmarks.figures import GROWN, Figures, Kind, Window
from benchmarks.operations import OPERATIONS
from benchmarks.run import Runner
from benchmarks.world import World, world
from tests.support.postgres import postgres

bench = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_SEVERAL = "; may stand several times"


@bench.command()
def main(
    *,
    accounts: Annotated[int, typer.Option(help="Accounts to seed.")] = 100_000,
    grown: Annotated[int, typer.Option(help="Measure the service with so many accounts too, and no floors.")] = 0,
    rounds: Annotated[int, typer.Option(help="Windows of each contender.")] = 3,
    seconds: Annotated[int, typer.Option(help="Length of a window.")] = 2,
    workers: Annotated[int, typer.Option(help="Processes of each server.")] = 2,
    only: Annotated[list[str] | None, typer.Option(help=f"An operation{_SEVERAL}; all if absent.")] = None,
    out: Annotated[Path, typer.Option(help="Where the figures go.")] = Path("var/bench.json"),
    profiled: Annotated[
        list[str] | None, typer.Option("--profile", help=f"Show where the time of an operation goes instead{_SEVERAL}.")
    ] = None,
    dirty: Annotated[bool, typer.Option(help="Keep windows in which something else was busy.")] = False,
) -> None:
    """Measure the service beside its floors and print the tables."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        server = stack.enter_context(postgres((*servers.POSTGRES, *(profile.POSTGRES if profiled else ()))))
        if profiled:
            made = stack.enter_context(_seeded(folder / "seeded", server, accounts=accounts, workers=workers))
            for operation in profiled:
                typer.echo(profile.profile(made, operation, connections=16, seconds=10))
            return
        runners = {}
        first = asyncio.run(_first_process(server))
        for name, size in {"service": accounts, GROWN: grown}.items():
            if size:
                made = stack.enter_context(_seeded(folder / name, server, accounts=size, workers=workers))
                runners[name] = Runner(made, postgres=first, workers=workers, seconds=seconds, dirty=dirty)
        windows, starts, rested = _rounds(runners, only or list(OPERATIONS), rounds)
    told = {"accounts": accounts, "grown": grown, "rounds": rounds, "seconds": seconds, "workers": workers}
    figures = Figures({**told, "cores": machine.CORES, "load": load.tool()}, windows, starts, rested)
    figures.write(out)
    typer.echo(report.markdown(figures))


def _rounds(
    runners: dict[str, Runner], operations: list[str], rounds: int
) -> tuple[list[Window], list[float], list[float]]:
    """Windows, and of each round the seconds of a start and the memory that it left.

    With a second runner the service takes turns with itself.
    """
    kinds = [
        (name, Kind(operation, contender, connections))
        for operation in operations
        for connections in OPERATIONS[operation].connections
        for contender in OPERATIONS[operation].contenders
        for name in runners
        if len(runners) == 1 or contender == "service"
    ]
    windows, starts, rested = [], [], []
    for _ in range(rounds):
        starts.append(runners["service"].start())
        for name, kind in kinds:
            window = runners[name].window(kind)
            windows.append(replace(window, contender=GROWN) if name == GROWN else window)
            typer.echo(report.line(windows[-1]), err=True)
        rested.append(runners["service"].rested())
    return windows, starts, rested


@contextmanager
def _seeded(folder: Path, server: str, *, accounts: int, workers: int) -> Iterator[World]:
    """A database of its own on the server, with everything running on it."""
    folder.mkdir()
    typer.echo(f"seeding {accounts} accounts", err=True)
    database = asyncio.run(_database(server, f"bench_{accounts}"))
    migrations.upgrade(database)
    with world(folder, database, accounts=accounts, workers=workers) as made:
        yield made


async def _database(server: str, name: str) -> str:
    """The URL of a new one."""
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return f"{server.rpartition('/')[0]}/{name}"


async def _first_process(server: str) -> int:
    connection = await asyncpg.connect(server)
    try:
        return machine.parent_of(await connection.fetchval("SELECT pg_backend_pid()"))
    finally:
        await connection.close()


signal.signal(signal.SIGTERM, signal.default_int_handler)  # a plain kill must not leave the servers behind
bench()
