"""Service clients, made on the command line; their tokens come by OAuth 2.0 client credentials (RFC 6749 §4.4)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core import ids
from app.core.callers import Service
from app.core.clock import now
from app.core.crypto import digest, random_token
from app.core.errors import ClientDisabled, NotFound, TokenRefused, TooManySecrets
from app.core.scopes import Scope
from app.core.tokens import Tokens
from app.models.clients import ClientSecret, ServiceClient
from app.models.webhooks import PauseReason
from app.repositories.unit_of_work import UnitOfWork, Work, retried

_SECRETS = 2  # alive at a time: one in use, one to replace it
_GRANT = "client_credentials"
_SCOPES = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")  # RFC 6749 §3.3


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client logs in with; the secret is shown here and never again."""

    client_id: UUID
    secret_id: UUID
    secret: str


@dataclass(frozen=True, slots=True)
class SecretView:
    id: UUID
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class ClientView:
    """A client as an operator sees it."""

    id: UUID
    name: str
    scopes: list[str]
    disabled: bool
    secrets: list[SecretView]


@dataclass(frozen=True, slots=True)
class ServiceGrant:
    """`expires_in` in seconds."""

    access_token: str
    expires_in: int
    scopes: list[str]


class ClientService:
    def __init__(self, uow: UnitOfWork, tokens: Tokens) -> None:
        self.uow = uow
        self.tokens = tokens

    @retried
    async def create(self, *, name: str, scopes: Iterable[Scope]) -> Credentials:
        """Raises NameTaken."""
        client = ServiceClient(id=ids.new(), name=name, scopes=sorted(set(scopes)))
        async with self.uow() as uow:
            uow.clients.add(client)
            await uow.clients.flush()
            return _add_secret(uow, client.id)

    @retried
    async def rotate(self, *, client_id: UUID) -> Credentials:
        """Another secret beside the one in use. Raises NotFound, and TooManySecrets when there are two already."""
        async with self.uow() as uow:
            await _held(uow, client_id)
            if len(await uow.clients.secrets_of([client_id])) >= _SECRETS:
                raise TooManySecrets
            return _add_secret(uow, client_id)

    @retried
    async def revoke(self, *, client_id: UUID, secret_id: UUID) -> None:
        """The secret and the tokens that were got with it stop at once. Raises NotFound."""
        async with self.uow() as uow:
            if not await uow.clients.revoke_secret(client_id, secret_id, now()):
                raise NotFound

    @retried
    async def allow(self, *, client_id: UUID, scopes: Iterable[Scope]) -> None:
        """What it may do from its next token on. Raises NotFound."""
        async with self.uow() as uow:
            (await _held(uow, client_id)).scopes = sorted(set(scopes))

    @retried
    async def disable(self, *, client_id: UUID) -> None:
        """Its tokens stop at once, and its webhook endpoints are paused. Raises NotFound."""
        async with self.uow() as uow:
            client = await _held(uow, client_id)
            client.disabled_at = client.disabled_at or now()
            await uow.webhooks.pause_all(client_id, reason=PauseReason.CLIENT_DISABLED, at=now())

    @retried
    async def enable(self, *, client_id: UUID) -> None:
        """Its endpoints stay paused until it resumes them. Raises NotFound."""
        async with self.uow() as uow:
            (await _held(uow, client_id)).disabled_at = None

    async def all(self) -> list[ClientView]:
        async with self.uow.reading() as uow:
            clients = await uow.clients.all()
            secrets = await uow.clients.secrets_of([client.id for client in clients])
        return [_view(client, [one for one in secrets if one.client_id == client.id]) for client in clients]

    async def require_live(self, *, service: Service) -> None:
        """For a call that loads nothing through its client; raises ClientDisabled."""
        with self.uow.rows() as uow:
            if not await uow.clients.is_live(service):
                raise ClientDisabled

    @retried
    async def grant(self, *, grant_type: str, client_id: str, secret: str, scope: str | None) -> ServiceGrant:
        """A token for the scopes asked for, or for all that the client has. Raises TokenRefused (RFC 6749 §5.2)."""
        known = ids.read(ids.CLIENT, client_id)
        async with self.uow() as uow:
            found = await uow.clients.use_secret(known, digest(secret), now()) if known else None
        if found is None:
            raise TokenRefused("invalid_client", "unknown client, wrong secret, or the client is disabled")
        if grant_type != _GRANT:
            raise TokenRefused("unsupported_grant_type", f"the grant type here is {_GRANT}")
        if scope is not None and not _SCOPES.fullmatch(scope):
            raise TokenRefused("invalid_scope", "the scope is malformed")
        client, secret_id = found
        scopes = sorted(set(scope.split(" "))) if scope else client.scopes
        if refused := sorted(set(scopes) - set(client.scopes)):
            raise TokenRefused("invalid_scope", f"the client does not have: {' '.join(refused)}")
        token = self.tokens.sign_service(client_id=client.id, secret_id=secret_id, scopes=scopes)
        return ServiceGrant(token, self.tokens.life_seconds, scopes)


def _add_secret(uow: Work, client_id: UUID) -> Credentials:
    secret = random_token()
    row = ClientSecret(id=ids.new(), client_id=client_id, secret_hash=digest(secret))
    uow.clients.add(row)
    return Credentials(client_id, row.id, secret)


async def _held(uow: Work, client_id: UUID) -> ServiceClient:
    client = await uow.clients.hold(client_id)
    if client is None:
        raise NotFound
    return client


def _view(client: ServiceClient, secrets: Sequence[ClientSecret]) -> ClientView:
    shown = [SecretView(one.id, one.created_at, one.last_used_at) for one in secrets]
    return ClientView(client.id, client.name, client.scopes, client.disabled_at is not None, shown)
