"""`python -m app clients …`."""

import re
from collections.abc import Awaitable
from typing import Annotated
from uuid import UUID

import typer

from app.api.wiring import Container
from app.cli.common import run_quietly
from app.core import ids
from app.core.scopes import MEANINGS, Scope
from app.services.clients import Credentials

clients = typer.Typer(no_args_is_help=True, help="Services that call the internal surface.")


@clients.command()
def create(
    name: Annotated[str, typer.Option(help="What it is called in the activity trail; unique.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; may stand several times.")],
) -> None:
    """Make a client. Its secret is shown here and never again."""
    run_quietly(lambda container: _show(container.clients.create(name=_client_name(name), scopes=scope)))


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

    run_quietly(show)


@clients.command()
def scopes() -> None:
    """Show the scopes that a client may have."""
    for scope, meaning in MEANINGS.items():
        typer.echo(f"{scope:22}{meaning}")


@clients.command("rotate")
def rotate_secret(client_id: str) -> None:
    """Make another secret beside the one in use; revoke that once nobody uses it any more."""
    run_quietly(lambda container: _show(container.clients.rotate(client_id=_id(ids.CLIENT, client_id))))


@clients.command("revoke")
def revoke_secret(client_id: str, secret_id: str) -> None:
    """Take a secret out at once, with the tokens that were got with it."""
    client, secret = _id(ids.CLIENT, client_id), _id(ids.CLIENT_SECRET, secret_id)
    run_quietly(lambda container: container.clients.revoke(client_id=client, secret_id=secret))


@clients.command()
def allow(
    client_id: str,
    scope: Annotated[list[Scope], typer.Option(help="All that it may do from now on; may stand several times.")],
) -> None:
    """Give a client other scopes. Tokens that are out keep theirs for up to ten minutes."""
    client = _id(ids.CLIENT, client_id)
    run_quietly(lambda container: container.clients.allow(client_id=client, scopes=scope))


@clients.command()
def disable(client_id: str) -> None:
    """Stop a client and its tokens at once; its webhook endpoints are paused."""
    run_quietly(lambda container: container.clients.disable(client_id=_id(ids.CLIENT, client_id)))


@clients.command()
def enable(client_id: str) -> None:
    """Let a client in again; it resumes its webhook endpoints itself."""
    run_quietly(lambda container: container.clients.enable(client_id=_id(ids.CLIENT, client_id)))


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
