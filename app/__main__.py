"""The command line: `python -m app …`."""

import asyncio
import json
import re
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated
from uuid import UUID

import structlog
import typer
import uvicorn
from pydantic import ValidationError

from app.api.texts import problem_text
from app.api.wiring import Container, build
from app.core import ids, logging, migrations, telemetry
from app.core.config import Settings, load, unknown_variables
from app.core.errors import AppError, NotReady
from app.core.scopes import MEANINGS, Scope
from app.main import create_app, documents
from app.services.clients import Credentials

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Account service of the Guance Billing Center.",
)
keys = typer.Typer(no_args_is_help=True, help="Keys that sign access tokens, and keys that seal personal data.")
app.add_typer(keys, name="keys")
clients = typer.Typer(no_args_is_help=True, help="Services that call the internal surface.")
app.add_typer(clients, name="clients")

_DOCUMENTS = Path(__file__).parent.parent / "openapi"

_REMEDIES = {
    "schema": ": python -m app migrate",
    "signing_key": ": python -m app keys rotate",
    "data_key": ": set the GUANCE_SECRET_KEY that it was made with, or python -m app keys rotate-data",
}

log = structlog.get_logger()


@app.command()
def serve(host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve the API (and, unless GUANCE_WORKER_IN_SERVER=false, deliver messages)."""
    settings = _settings()
    _migrate_own(settings)
    if not settings.is_development:
        _require_keys(settings)
        if settings.metrics_port:
            telemetry.serve(settings.metrics_port)
    if settings.is_development:
        typer.echo(
            f"API docs       http://{host}:{port}/docs\nMessages sent  http://{host}:{port}/dev/messages", err=True
        )
    application = create_app(settings)
    config = uvicorn.Config(
        application,
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
    _Server(config, before_exit=application.state.container.events.stop).run()


class _Server(uvicorn.Server):
    """Ends what waits for events, which would keep the process for as long as it waits."""

    def __init__(self, config: uvicorn.Config, *, before_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._before_exit = before_exit

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._before_exit()
        super().handle_exit(sig, frame)


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


@keys.command("list")
def list_keys() -> None:
    """Show the keys and what each does now."""

    async def show(container: Container) -> None:
        for key in await container.keys.all():
            typer.echo(f"{key.kid}  {key.state:9}  from {key.active_from:%Y-%m-%dT%H:%M:%SZ}")

    _run(_settings(quiet=True), show)


@keys.command()
def rotate(
    now: Annotated[bool, typer.Option(help="Sign at once: other services may not know the key yet.")] = False,
) -> None:
    """Make a key. It is published now and signs after GUANCE_JWKS_AHEAD_SECONDS."""

    async def make(container: Container) -> None:
        first = not container.tokens.ready
        typer.echo(await container.keys.rotate(at_once=now or first))

    _run(_settings(quiet=True), make)


@keys.command()
def revoke(kid: str) -> None:
    """Take a key out at once: tokens that it signed stop."""
    _run(_settings(quiet=True), lambda container: container.keys.revoke(kid=kid))


@keys.command("list-data")
def list_data_keys() -> None:
    """Show the keys that seal names and document numbers, and how much each seals."""

    async def show(container: Container) -> None:
        for key in await container.data_keys.all():
            state = "" if key.readable else "  unreadable"
            made = f"{key.created_at:%Y-%m-%dT%H:%M:%SZ}"
            typer.echo(f"{ids.show(ids.DATA_KEY, key.id)}  made {made}  seals {key.values}{state}")

    _run(_settings(quiet=True), show)


@keys.command("rotate-data")
def rotate_data_key() -> None:
    """Make another key that seals names and document numbers, and seal anew what the others have sealed."""

    async def rotate(container: Container) -> None:
        made = await container.data_keys.rotate()
        typer.echo(f"{ids.show(ids.DATA_KEY, made)}  seals {await container.data_keys.reseal()}")

    _run(_settings(quiet=True), rotate)


@keys.command("adopt-data")
def adopt_data_keys(
    old_secret_file: Annotated[
        Path,
        typer.Option(help="A file with the GUANCE_SECRET_KEY of before.", exists=True, dir_okay=False, readable=True),
    ],
) -> None:
    """After GUANCE_SECRET_KEY was changed: make the keys that it has sealed readable under the new one."""
    old = old_secret_file.read_bytes().strip()

    async def adopt(container: Container) -> None:
        typer.echo(f"adopted {await container.data_keys.adopt(old_secret=old)}")
        if left := sum(not key.readable for key in await container.data_keys.all()):
            typer.echo(f"{left} still unreadable: sealed with yet another GUANCE_SECRET_KEY", err=True)
            raise typer.Exit(1)

    _run(_settings(quiet=True), adopt)


@clients.command()
def create(
    name: Annotated[str, typer.Option(help="What it is called in the activity trail; unique.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; may stand several times.")],
) -> None:
    """Make a client. Its secret is shown here and never again."""
    _run(
        _settings(quiet=True), lambda container: _show(container.clients.create(name=_client_name(name), scopes=scope))
    )


@clients.command("list")
def list_clients() -> None:
    """Show the clients, what each may do, and its secrets."""

    async def show(container: Container) -> None:
        for client in await container.clients.all():
            state = "disabled" if client.disabled else "enabled"
            typer.echo(f"{ids.show(ids.CLIENT, client.id)}  {client.name}  {state}  {' '.join(client.scopes)}")
            for secret in client.secrets:
                used = f"{secret.last_used_at:%Y-%m-%dT%H:%M:%SZ}" if secret.last_used_at else "never"
                typer.echo(f"  {ids.show(ids.CLIENT_SECRET, secret.id)}  used {used}")

    _run(_settings(quiet=True), show)


@clients.command()
def scopes() -> None:
    """Show the scopes that a client may have."""
    for scope, meaning in MEANINGS.items():
        typer.echo(f"{scope:22}{meaning}")


@clients.command("rotate")
def rotate_secret(client_id: str) -> None:
    """Make another secret beside the one in use; revoke that once nobody uses it any more."""
    _run(_settings(quiet=True), lambda container: _show(container.clients.rotate(client_id=_id(ids.CLIENT, client_id))))


@clients.command("revoke")
def revoke_secret(client_id: str, secret_id: str) -> None:
    """Take a secret out at once, with the tokens that were got with it."""
    client, secret = _id(ids.CLIENT, client_id), _id(ids.CLIENT_SECRET, secret_id)
    _run(_settings(quiet=True), lambda container: container.clients.revoke(client_id=client, secret_id=secret))


@clients.command()
def allow(
    client_id: str,
    scope: Annotated[list[Scope], typer.Option(help="All that it may do from now on; may stand several times.")],
) -> None:
    """Give a client other scopes. Tokens that are out keep theirs for up to ten minutes."""
    client = _id(ids.CLIENT, client_id)
    _run(_settings(quiet=True), lambda container: container.clients.allow(client_id=client, scopes=scope))


@clients.command()
def disable(client_id: str) -> None:
    """Stop a client and its tokens at once; its webhook endpoints are paused."""
    _run(_settings(quiet=True), lambda container: container.clients.disable(client_id=_id(ids.CLIENT, client_id)))


@clients.command()
def enable(client_id: str) -> None:
    """Let a client in again; it resumes its webhook endpoints itself."""
    _run(_settings(quiet=True), lambda container: container.clients.enable(client_id=_id(ids.CLIENT, client_id)))


async def _show(made: Awaitable[Credentials]) -> None:
    credentials = await made
    typer.echo(f"client_id: {ids.show(ids.CLIENT, credentials.client_id)}\nclient_secret: {credentials.secret}")


def _client_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}", text):
        raise typer.BadParameter("1-64 of letters, digits, blanks, `.`, `_`, `-`", param_hint="--name")
    return text


def _id(prefix: str, text: str) -> UUID:
    found = ids.read(prefix, text)
    if found is None:
        raise typer.BadParameter(f"{text}: not like {prefix}_0193…")
    return found


def _settings(*, quiet: bool = False) -> Settings:
    """The settings of this process; what is wrong with them goes to stderr, a line each.

    `quiet`: for a command whose output somebody reads, not collects.
    """
    try:
        settings = load()
    except ValueError as error:
        for line in _complaints(error):
            typer.echo(line, err=True)
        raise typer.Exit(2) from None
    logging.configure("WARNING" if quiet else settings.log_level)
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


def _migrate_own(settings: Settings) -> None:
    """A developer's SQLite file needs no step of its own."""
    if settings.is_development and settings.uses_sqlite:
        migrations.upgrade(settings.database_url.get_secret_value())


def _run(settings: Settings, work: Callable[[Container], Awaitable[None]]) -> None:
    async def run() -> None:
        container = build(settings)
        try:
            await container.keys.reload()
            await container.data_keys.ensure()
            await work(container)
        finally:
            await container.close()

    _migrate_own(settings)
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
