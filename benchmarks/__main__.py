"""`python -m benchmarks`: the whole run, or a part of it."""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Annotated

import asyncpg
import typer

from app.core import migrations
from benchmarks import machine, report, servers
from benchmarks.operations import OPERATIONS
from benchmarks.profile import profile
from benchmarks.run import Kind, Runner, Window
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
    only: Annotated[list[str] | None, typer.Option(help="An operation; may stand several times. All if absent.")] = None,
    out: Annotated[Path, typer.Option(help="Where the figures go.")] = Path("var/bench.json"),
    profiled: Annotated[str, typer.Option("--profile", help="Show where the time of an operation goes instead.")] = "",
    dirty: Annotated[bool, typer.Option(help="Keep windows in which something else was busy.")] = False,
) -> None:
    """Measure the service beside its floors and print the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, postgres(servers.POSTGRES) as database:
        migrations.upgrade(database)
        typer.echo(f"seeding {accounts} accounts", err=True)
        with world(Path(folder), database, accounts=accounts, workers=workers) as made:
            if profiled:
                typer.echo(profile(made, profiled, connections=16, seconds=10))
                return
            runner = Runner(made, postgres=asyncio.run(_postmaster(database)), seconds=seconds, dirty=dirty)
            windows = _rounds(runner, only or list(OPERATIONS), rounds)
    out.parent.mkdir(parents=True, exist_ok=True)
    settings = {"accounts": accounts, "rounds": rounds, "seconds": seconds, "workers": workers, "cores": machine.CORES}
    out.write_text(json.dumps({"settings": settings, "windows": [one.members() for one in windows]}, indent=1))
    typer.echo(report.table(out))


def _rounds(runner: Runner, operations: list[str], rounds: int) -> list[Window]:
    kinds = [
        Kind(operation, contender, connections)
        for operation in operations
        for connections in OPERATIONS[operation].connections
        for contender in OPERATIONS[operation].contenders
    ]
    windows = []
    for kind in kinds * rounds:
        window = runner.window(kind)
        windows.append(window)
        typer.echo(report.line(window), err=True)
    return windows


async def _postmaster(database: str) -> int:
    """The first process of the server behind the URL."""
    connection = await asyncpg.connect(database)
    try:
        return machine.parent_of(await connection.fetchval("SELECT pg_backend_pid()"))
    finally:
        await connection.close()


bench()
