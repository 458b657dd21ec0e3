"""`python -m app keys …`."""

from pathlib import Path
from typing import Annotated

import typer

from app.api.wiring import Container
from app.cli.common import run_quietly
from app.core import ids

keys = typer.Typer(no_args_is_help=True, help="Keys that sign access tokens, and keys that seal personal data.")


@keys.command("list")
def list_keys() -> None:
    """Show the keys and what each does now."""

    async def show(container: Container) -> None:
        for key in await container.keys.all():
            typer.echo(f"{key.kid}  {key.state:9}  from {key.active_from:%Y-%m-%dT%H:%M:%SZ}")

    run_quietly(show)


@keys.command()
def rotate(
    now: Annotated[bool, typer.Option(help="Sign at once: other services may not know the key yet.")] = False,
) -> None:
    """Make a key. It is published now and signs after GUANCE_JWKS_AHEAD_SECONDS."""

    async def make(container: Container) -> None:
        first = not container.tokens.ready
        typer.echo(await container.keys.rotate(at_once=now or first))

    run_quietly(make)


@keys.command()
def revoke(kid: str) -> None:
    """Take a key out at once: tokens that it signed stop."""
    run_quietly(lambda container: container.keys.revoke(kid=kid))


@keys.command("list-data")
def list_data_keys() -> None:
    """Show the keys that seal names and document numbers, and how much each seals."""

    async def show(container: Container) -> None:
        for key in await container.data_keys.all():
            state = "" if key.readable else "  unreadable"
            made = f"{key.created_at:%Y-%m-%dT%H:%M:%SZ}"
            typer.echo(f"{ids.show(ids.DATA_KEY, key.id)}  made {made}  seals {key.values}{state}")

    run_quietly(show)


@keys.command("rotate-data")
def rotate_data_key() -> None:
    """Make another key that seals names and document numbers, and seal anew what the others have sealed."""

    async def rotate(container: Container) -> None:
        made = await container.data_keys.rotate()
        typer.echo(f"{ids.show(ids.DATA_KEY, made)}  seals {await container.data_keys.reseal()}")

    run_quietly(rotate)


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

    run_quietly(adopt)
