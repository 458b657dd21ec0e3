"""`python -m benchmarks`: the whole run, or a part of it."""

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import asyncpg  # type: ignore[import-untyped]
import typer

from app.core import migrations
from benchmarks import load, machine, report, servers
from benchmarks.figures import Figures, Kind, Window
from benchmarks.operations import OPERATIONS
from benchmarks.profile import profile
from benchmarks.run import Runner
from benchmarks.world import world
from tests.support.postgres import postgres

bench = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@bench.command()
def main(
    *,
    accounts: Annotated[int, typer.Option(help="Accounts to seed.")] = 100_000,
    rounds: Annotated[int, typer.Option(help="Windows of each contender.")] = 3,
    seconds: Annotated[int, typer.Option(help="Length of a window.")] = 2,
    workers: Annotated[int, typer.Option(help="Processes of each server.")] = 2,
    only: Annotated[
        list[str] | None, typer.Option(help="An operation; may stand several times. All if absent.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the figures go.")] = Path("var/bench.json"),
    profiled: Annotated[
        list[str] | None, typer.Option("--profile", help="Show where its time goes instead; may stand several times.")
    ] = None,
    dirty: Annotated[bool, typer.Option(help="Keep windows in which something else was busy.")] = False,
) -> None:
    """Measure the service beside its floors and print the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, postgres(servers.POSTGRES) as database:
        migrations.upgrade(database)
        typer.echo(f"seeding {accounts} accounts", err=True)
        with world(Path(folder), database, accounts=accounts, workers=workers) as made:
            for operation in profiled or ():
                typer.echo(profile(made, operation, connections=16, seconds=10))
            if profiled:
                return
            first = asyncio.run(_postmaster(database))
            runner = Runner(made, postgres=first, workers=workers, seconds=seconds, dirty=dirty)
            windows, starts = _rounds(runner, only or list(OPERATIONS), rounds)
    settings = {"accounts": accounts, "rounds": rounds, "seconds": seconds, "workers": workers, "cores": machine.CORES}
    figures = Figures({**settings, "load": load.tool()}, windows, starts)
    figures.write(out)
    typer.echo(report.markdown(figures))


def _rounds(runner: Runner, operations: list[str], rounds: int) -> tuple[list[Window], list[float]]:
    """Windows, and the seconds of a start in each round."""
    kinds = [
        Kind(operation, contender, connections)
        for operation in operations
        for connections in OPERATIONS[operation].connections
        for contender in OPERATIONS[operation].contenders
    ]
    windows, starts = [], []
    for _ in range(rounds):
        starts.append(runner.start())
        for kind in kinds:
            windows.append(runner.window(kind))
            typer.echo(report.line(windows[-1]), err=True)
    return windows, starts


async def _postmaster(database: str) -> int:
    """The first process of the server behind the URL."""
    connection = await asyncpg.connect(database)
    try:
        return machine.parent_of(await connection.fetchval("SELECT pg_backend_pid()"))
    finally:
        await connection.close()


bench()
