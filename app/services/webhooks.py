"""Webhook endpoints: where a service wants the events of the feed sent to. Delivering them is the worker's."""

import base64
import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.core import ids
from app.core.callers import Service
from app.core.clock import now
from app.core.crypto import Seal, Unreadable
from app.core.errors import ClientDisabled, Invalid, NotFound, TooManyEndpoints
from app.gateways.targets import TargetRefused
from app.gateways.webhooks import WebhookGateway
from app.models.webhooks import EndpointStatus, Outcome, PauseReason, WebhookEndpoint
from app.repositories.unit_of_work import UnitOfWork, Work, retried
from app.services.events import Events

_MOST = 20  # endpoints of a client
_SECRET = 32  # bytes; Standard Webhooks §Signature scheme: 24 to 64


@dataclass(frozen=True, slots=True)
class Wish:
    """What an owner says of an endpoint; no event types means all."""

    url: str
    event_types: Sequence[str]
    description: str | None


@dataclass(frozen=True, slots=True)
class EndpointView:
    """`failing_since` is the first failure after the last success."""

    id: UUID
    url: str
    description: str | None
    event_types: list[str]
    status: str
    pause_reason: str | None
    paused_at: datetime | None
    failing_since: datetime | None
    previous_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class WithSecret:
    """The secret is shown here and never again."""

    endpoint: EndpointView
    secret: str


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One request: `status` of its answer, or in `error` why there was none."""

    id: UUID
    event_id: UUID
    event_type: str
    number: int
    outcome: str
    status: int | None
    error: str | None
    milliseconds: int
    next_at: datetime | None
    created_at: datetime


class EndpointSecrets:
    """Sealed at rest; the one before goes on signing for the time of the overlap."""

    def __init__(self, secret: bytes) -> None:
        self._seal = Seal(secret, "webhook-secrets")

    def mint(self, endpoint_id: UUID) -> tuple[str, bytes]:
        """A new secret, and how it is kept."""
        secret = f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET)).decode()}"
        return secret, self._seal.close(secret.encode(), bound=_place(endpoint_id))

    def in_force(self, endpoint: WebhookEndpoint) -> list[str]:
        """The newest first. Raises Unreadable when another GUANCE_SECRET_KEY has sealed it: rotating mends that."""
        secrets = [self._open(endpoint, endpoint.secret)]
        if endpoint.previous_secret and endpoint.previous_until and endpoint.previous_until > now():
            with contextlib.suppress(Unreadable):
                secrets.append(self._open(endpoint, endpoint.previous_secret))
        return secrets

    def _open(self, endpoint: WebhookEndpoint, sealed: bytes) -> str:
        return self._seal.open(sealed, bound=_place(endpoint.id)).decode()


class WebhookService:
    """Every method but create and page raises NotFound for an endpoint that is not the caller's."""

    def __init__(
        self, uow: UnitOfWork, *, events: Events, gateway: WebhookGateway, secrets: EndpointSecrets, overlap: timedelta
    ) -> None:
        self.uow = uow
        self.events = events
        self.gateway = gateway
        self.secrets = secrets
        self._overlap = overlap

    async def create(self, *, service: Service, wish: Wish) -> WithSecret:
        """It is sent what happens from now on. Raises Invalid for a URL that must not be called, TooManyEndpoints."""
        await self._check(wish.url)
        while await self.events.place():  # what was before now is behind the head
            pass
        return await self._create(service, wish)

    async def page(self, *, service: Service, cursor: UUID | None, limit: int) -> list[EndpointView]:
        """The newest first; one more than `limit` when there is more."""
        async with self.uow.reading() as uow:
            found = await uow.webhooks.page(service.client_id, cursor=cursor, limit=limit + 1)
        return [_view(one) for one in found]

    async def get(self, *, service: Service, endpoint_id: UUID) -> EndpointView:
        async with self.uow.reading() as uow:
            found = await uow.webhooks.own(service.client_id, endpoint_id)
        if found is None:
            raise NotFound
        return _view(found)

    async def replace(self, *, service: Service, endpoint_id: UUID, wish: Wish) -> EndpointView:
        """What waits for it goes to the new URL. Raises Invalid."""
        await self._check(wish.url)
        return await self._replace(service, endpoint_id, wish)

    @retried
    async def set_status(self, *, service: Service, endpoint_id: UUID, status: EndpointStatus) -> EndpointView:
        """Pause: events are kept for it. Resume: all that waited is due at once."""
        async with self.uow() as uow:
            await _require_live(uow, service)
            endpoint = await _held(uow, service, endpoint_id)
            if endpoint.status != status:
                paused = status is EndpointStatus.PAUSED
                endpoint.status, endpoint.updated_at, endpoint.failing_since = status, now(), None
                endpoint.pause_reason = PauseReason.REQUESTED if paused else None
                endpoint.paused_at = now() if paused else None
                if not paused:
                    await uow.webhooks.make_due(endpoint_id, now())
            return _view(endpoint)

    @retried
    async def rotate_secret(self, *, service: Service, endpoint_id: UUID) -> WithSecret:
        """The old secret signs beside the new one until the overlap is over."""
        async with self.uow() as uow:
            endpoint = await _held(uow, service, endpoint_id)
            secret, sealed = self.secrets.mint(endpoint_id)
            endpoint.previous_secret, endpoint.previous_until = endpoint.secret, now() + self._overlap
            endpoint.secret, endpoint.updated_at = sealed, now()
            return WithSecret(_view(endpoint), secret)

    @retried
    async def delete(self, *, service: Service, endpoint_id: UUID) -> None:
        """And what waits for it."""
        async with self.uow() as uow:
            await _held(uow, service, endpoint_id)
            await uow.webhooks.remove(endpoint_id)

    @retried
    async def redeliver(
        self,
        *,
        service: Service,
        endpoint_id: UUID,
        event_id: UUID | None,
        since: datetime | None,
        until: datetime | None,
    ) -> int:
        """Send events again, under their own ids: one, or those of a span of time that it wants; how many."""
        async with self.uow() as uow:
            endpoint = await _held(uow, service, endpoint_id)
            queued = await uow.webhooks.queue_again(endpoint, at=now(), event_id=event_id, since=since, until=until)
        if event_id is not None and not queued:
            raise NotFound
        return queued

    async def attempts(
        self, *, service: Service, endpoint_id: UUID, outcome: Outcome | None, cursor: UUID | None, limit: int
    ) -> list[AttemptView]:
        """The newest first; one more than `limit` when there is more."""
        async with self.uow.reading() as uow:
            if await uow.webhooks.own(service.client_id, endpoint_id) is None:
                raise NotFound
            rows = await uow.webhooks.attempts(endpoint_id, outcome=outcome, cursor=cursor, limit=limit + 1)
        return [AttemptView(*row) for row in rows]

    async def _check(self, url: str) -> None:
        try:
            await self.gateway.check(url)
        except TargetRefused as refused:
            raise Invalid.member("url", refused.code) from None

    @retried
    async def _create(self, service: Service, wish: Wish) -> WithSecret:
        endpoint_id = ids.new()
        secret, sealed = self.secrets.mint(endpoint_id)
        async with self.uow() as uow:
            await _require_live(uow, service)  # one at a time counts
            if await uow.webhooks.count(service.client_id) >= _MOST:
                raise TooManyEndpoints
            endpoint = WebhookEndpoint(
                id=endpoint_id,
                client_id=service.client_id,
                **_members(wish),
                secret=sealed,
                status=EndpointStatus.ACTIVE,
                position=(await uow.events.head()).last,
                created_at=now(),
                updated_at=now(),
            )
            uow.webhooks.add(endpoint)
        return WithSecret(_view(endpoint), secret)

    @retried
    async def _replace(self, service: Service, endpoint_id: UUID, wish: Wish) -> EndpointView:
        async with self.uow() as uow:
            endpoint = await _held(uow, service, endpoint_id)
            if endpoint.url != wish.url:
                endpoint.failing_since = None
            for name, value in _members(wish).items():
                setattr(endpoint, name, value)
            endpoint.updated_at = now()
            return _view(endpoint)


async def _require_live(uow: Work, service: Service) -> None:
    """And hold the client: it is not disabled, which pauses its endpoints, before this is done."""
    client = await uow.clients.hold(service.client_id)
    if client is None or client.disabled_at is not None:
        raise ClientDisabled


async def _held(uow: Work, service: Service, endpoint_id: UUID) -> WebhookEndpoint:
    endpoint = await uow.webhooks.own(service.client_id, endpoint_id, hold=True)
    if endpoint is None:
        raise NotFound
    return endpoint


def _members(wish: Wish) -> dict[str, Any]:
    types = sorted(set(wish.event_types))
    return {"url": wish.url, "event_types": types, "description": wish.description}


def _view(endpoint: WebhookEndpoint) -> EndpointView:
    members = {name: getattr(endpoint, name) for name in EndpointView.__slots__ if name != "previous_secret_until"}
    until = endpoint.previous_until if endpoint.previous_until and endpoint.previous_until > now() else None
    return EndpointView(**members, previous_secret_until=until)


def _place(endpoint_id: UUID) -> str:
    return f"webhook_endpoints.secret:{endpoint_id.hex}"
