"""What every command needs: the settings of the process, the parts made of them, failures in words."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog
import typer
from pydantic import ValidationError

from app.api.texts import problem_text
from app.api.wiring import Container, build
from app.core import logging, migrations
from app.core.config import Settings, load, unknown_names
from app.core.errors import AppError, NotReady

_REMEDIES = {
    "schema": ": python -m app migrate",
    "signing_key": ": python -m app keys rotate",
    "data_key": ": set the GUANCE_SECRET_KEY that it was made with, or python -m app keys rotate-data",
}

log = structlog.get_logger()


def settings_of_process(*, quiet: bool = False) -> Settings:
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
    if unknown := unknown_names():
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


def migrate_own(settings: Settings) -> None:
    """A developer's SQLite file needs no step of its own."""
    if settings.is_development and settings.uses_sqlite:
        migrations.upgrade(settings.database_url.get_secret_value())


def run(settings: Settings, work: Callable[[Container], Awaitable[None]]) -> None:
    """Do the work with a container of its own."""

    async def within() -> None:
        container = build(settings)
        try:
            await container.keys.reload()
            await container.data_keys.ensure()
            await work(container)
        finally:
            await container.close()

    migrate_own(settings)
    with told():
        asyncio.run(within())


def run_quietly(work: Callable[[Container], Awaitable[None]]) -> None:
    """The same for a command whose output somebody reads: the log keeps to warnings."""
    run(settings_of_process(quiet=True), work)


@contextmanager
def told() -> Iterator[None]:
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
