"""The command line: `python -m app …`."""

import asyncio
import json
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvicorn
from pydantic import ValidationError

from app.api.openapi import document
from app.api.texts import problem_text
from app.api.wiring import Container, build
from app.core import logging, migrations, telemetry
from app.core.config import Settings, load, unknown_variables
from app.core.errors import AppError, NotReady
from app.main import create_app

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Account service of the Guance Billing Center.",
)
keys = typer.Typer(no_args_is_help=True, help="Keys that sign access tokens.")
app.add_typer(keys, name="keys")

_DOCUMENT = Path(__file__).parent.parent / "openapi" / "public.json"

_REMEDIES = {"schema": ": python -m app migrate", "signing_key": ": python -m app keys rotate"}

log = structlog.get_logger()


@app.command()
def serve(host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve the API (and, unless GUANCE_WORKER_IN_SERVER=false, deliver messages)."""
    settings = _settings()
    if settings.is_development and settings.uses_sqlite:
        migrations.upgrade(settings.database_url.get_secret_value())
    if not settings.is_development:
        _require_keys(settings)
        if settings.metrics_port:
            telemetry.serve(settings.metrics_port)
    if settings.is_development:
        typer.echo(
            f"API docs       http://{host}:{port}/docs\nMessages sent  http://{host}:{port}/dev/messages", err=True
        )
    uvicorn.run(
        create_app(settings),
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_graceful_shutdown=20,
    )


@app.command()
def worker() -> None:
    """Deliver messages and do what happens by the clock, apart from the server."""
    settings = _settings()
    if settings.metrics_port:
        telemetry.serve(settings.metrics_port)
    _run(settings, _work)


@app.command()
def migrate(
    check: Annotated[
        bool, typer.Option(help="Compare the tables in the code with the migrations; change nothing.")
    ] = False,
) -> None:
    """Bring the database to the schema of this code."""
    if not check:
        settings = _settings()
        with _told():
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
    """Write openapi/public.json."""
    # Whatever the environment says: the document is the same everywhere.
    text = json.dumps(document(create_app(Settings.model_construct())), indent=2, ensure_ascii=False) + "\n"
    if not check:
        _DOCUMENT.write_text(text, encoding="utf-8")
    elif not _DOCUMENT.exists() or _DOCUMENT.read_text(encoding="utf-8") != text:
        typer.echo(f"{_DOCUMENT} is not what the code says: python -m app openapi", err=True)
        raise typer.Exit(1)


@keys.command("list")
def list_keys() -> None:
    """Show the keys and what each does now."""

    async def show(container: Container) -> None:
        for key in await container.keys.all():
            typer.echo(f"{key.kid}  {key.state:9}  from {key.active_from:%Y-%m-%dT%H:%M:%SZ}")

    _run(_settings(), show)


@keys.command()
def rotate(
    now: Annotated[bool, typer.Option(help="Sign at once: other services may not know the key yet.")] = False,
) -> None:
    """Make a key. It is published now and signs after GUANCE_JWKS_AHEAD_SECONDS."""

    async def make(container: Container) -> None:
        first = not container.tokens.ready
        typer.echo(await container.keys.rotate(at_once=now or first))

    _run(_settings(), make)


@keys.command()
def revoke(kid: str) -> None:
    """Take a key out at once: tokens that it signed stop."""
    _run(_settings(), lambda container: container.keys.revoke(kid=kid))


def _settings() -> Settings:
    """The settings of this process; what is wrong with them goes to stderr, a line each."""
    try:
        settings = load()
    except ValueError as error:
        for line in _complaints(error):
            typer.echo(line, err=True)
        raise typer.Exit(2) from None
    logging.configure(settings.log_level)
    if unknown := unknown_variables():
        log.warning("unknown_settings", names=unknown)
    return settings


def _complaints(error: ValueError) -> list[str]:
    """Names and reasons, never values: some are secrets."""
    if not isinstance(error, ValidationError):
        return [str(error)]
    return [
        f"GUANCE_{'_'.join(map(str, one['loc'])).upper()}: {one['msg']}" if one["loc"] else one["msg"]
        for one in error.errors(include_input=False, include_context=False)
    ]


def _run(settings: Settings, work: Callable[[Container], Awaitable[None]]) -> None:
    async def run() -> None:
        container = build(settings)
        try:
            await container.keys.reload()
            await work(container)
        finally:
            await container.close()

    with _told():
        asyncio.run(run())


@contextmanager
def _told() -> Iterator[None]:
    """A failure in words instead of a traceback."""
    try:
        yield
    except NotReady as error:
        for check in (name for name, holds in error.checks.items() if not holds):
            typer.echo(f"not ready: {check}{_REMEDIES.get(check, '')}", err=True)
        raise typer.Exit(1) from None
    except AppError as error:
        _, detail = problem_text(error.code, "en", error.params)
        typer.echo(f"{error.code}: {detail}", err=True)
        raise typer.Exit(1) from None


async def _work(container: Container) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await container.runner.run_until(stop)


def _require_keys(settings: Settings) -> None:
    async def check(container: Container) -> None:
        if not container.tokens.ready:
            raise NotReady({"signing_key": False})

    _run(settings, check)


if __name__ == "__main__":
    app()
