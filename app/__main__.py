"""The command line: `python -m app …`."""

# isort: off
from app.cli import counting  # noqa: F401 - before anything makes a metric
from app.cli import plain  # noqa: F401 - before anything is told of rich

# isort: on
import asyncio
import json
import signal
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from app.api.openapi import VERSION
from app.api.wiring import Container
from app.cli import prefork, serving
from app.cli.clients import clients
from app.cli.common import migrate_own, run, settings_of_process, told
from app.cli.keys import keys
from app.core import migrations, telemetry, tracing
from app.core.config import Settings
from app.core.errors import NotReady
from app.main import documents

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Account service of the Guance Billing Center.",
)
app.add_typer(keys, name="keys")
app.add_typer(clients, name="clients")

_DOCUMENTS = Path(__file__).parent.parent / "openapi"


@app.command()
def serve(
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: Annotated[
        int, typer.Option(min=1, max=prefork.MOST - 1, help="Processes behind the one port, about one a core.")
    ] = 1,
) -> None:
    """Serve the API (and, unless GUANCE_WORKER_IN_SERVER=false, deliver messages)."""
    settings = settings_of_process()
    migrate_own(settings)
    if settings.is_development:
        typer.echo(
            f"API docs       http://{host}:{port}/docs\nMessages sent  http://{host}:{port}/dev/messages", err=True
        )
    else:
        _require_keys(settings)
    raise typer.Exit(serving.serve(settings, host=host, port=port, workers=workers))


@app.command(hidden=True)
def replace(task: serving.Task, place: int, beats: int, listens: int, parent: int) -> None:
    """For `serve --workers`, which starts it in the place of a process that ended."""
    serving.replace(settings_of_process(), task, place=place, beats=beats, listens=listens, parent=parent)


@app.command()
def worker() -> None:
    """Deliver messages and do what happens by the clock, apart from the server."""
    settings = settings_of_process()
    if settings.metrics_port:
        telemetry.serve(settings.metrics_port)
    exporting = tracing.prepare(settings, version=VERSION)
    if exporting:
        exporting.start()
    run(settings, _work)
    if exporting:
        exporting.stop()


@app.command()
def migrate(
    check: Annotated[
        bool, typer.Option(help="Compare the tables in the code with the migrations; change nothing.")
    ] = False,
) -> None:
    """Bring the database to the schema of this code."""
    if not check:
        settings = settings_of_process()
        with told():
            migrations.upgrade(settings.database_url.get_secret_value())
        return

    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/check.db"
        migrations.upgrade(url)
        differences = migrations.check(url)
    for difference in differences:
        typer.echo(difference, err=True)
    raise typer.Exit(1 if differences else 0)


@app.command()
def openapi(
    check: Annotated[bool, typer.Option(help="Fail when the committed document is not what the code says.")] = False,
) -> None:
    """Write openapi/public.json and openapi/internal.json."""
    stale = []
    for surface, document in documents().items():
        path = _DOCUMENTS / f"{surface}.json"
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        if not check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path)
    for path in stale:
        typer.echo(f"{path} is not what the code says: python -m app openapi", err=True)
    raise typer.Exit(1 if stale else 0)


async def _work(container: Container) -> None:
    telemetry.begin(VERSION)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await container.runner.run_until(stop)


def _require_keys(settings: Settings) -> None:
    async def check(container: Container) -> None:
        if not container.tokens.ready:
            raise NotReady({"signing_key": False})

    run(settings, check)


if __name__ == "__main__":
    app()
