"""Delivery of events to webhook endpoints: at least once, each attempt under the event's own id.

An endpoint is leased and served by one worker at a time, in a task of its own: a dead one delays nobody else. A worker
that dies leaves the lease to run out; then another one sends again what was not settled. Events of one account go out
one after the other, those of different accounts beside each other; what failed is tried later, past its followers.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

import structlog

from app.core import ids, tracing
from app.core.clock import now
from app.core.crypto import Unreadable
from app.core.errors import Unavailable
from app.core.telemetry import WEBHOOK_SECONDS, WEBHOOKS
from app.gateways.webhooks import Reply, WebhookGateway
from app.models.events import Event, EventType
from app.models.webhooks import (
    DeliveryState,
    EndpointStatus,
    Outcome,
    PauseReason,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)
from app.repositories.unit_of_work import UnitOfWork, Work, retried
from app.services.events import Events
from app.services.webhooks import EndpointSecrets

_BATCH = 50
_AT_ONCE = 8  # requests under way to one endpoint
_LOOKED_THROUGH = 1000  # events of the feed in one transaction
_GONE = 410

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Schedule:
    """`pauses` in seconds between attempts; an endpoint that takes nothing for `patience` is paused."""

    pauses: Sequence[int]
    patience: timedelta
    lease: timedelta
    timeout: timedelta

    def next_at(self, attempts: int, at: datetime) -> datetime | None:
        """When to try again after so many attempts; None when that was the last. Jitter only ever makes it later."""
        if attempts > len(self.pauses):
            return None
        return at + timedelta(seconds=self.pauses[attempts - 1] * random.uniform(1, 1.1))  # noqa: S311 - no secret


class WebhookWorker:
    def __init__(
        self,
        uow: UnitOfWork,
        *,
        events: Events,
        gateway: WebhookGateway,
        secrets: EndpointSecrets,
        schedule: Schedule,
    ) -> None:
        self.uow = uow
        self.events = events
        self._gateway = gateway
        self._secrets = secrets
        self._schedule = schedule
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def spread(self) -> int:
        """Give events their positions, and each endpoint a delivery for every event it wants; whether there was any."""
        placed = await self.events.place()
        async with self.uow.reading() as uow:
            last = (await uow.events.head()).last
            behind = await uow.webhooks.behind(last)
        for endpoint_id in behind:
            await self._look_through(endpoint_id, last)
        return placed + len(behind)

    async def deliver_due(self) -> int:
        """Begin to serve the endpoints that have something due and that nobody serves; how many."""
        for endpoint in (endpoints := await self._lease()):
            task = asyncio.create_task(self._serve(endpoint))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(endpoints)

    @retried
    async def _look_through(self, endpoint_id: UUID, last: int) -> None:
        async with self.uow() as uow:
            endpoint = await uow.webhooks.take_behind(endpoint_id, last)
            if endpoint is not None:
                await uow.webhooks.queue(endpoint, min(last, endpoint.position + _LOOKED_THROUGH), now())

    @retried
    async def _lease(self) -> list[WebhookEndpoint]:
        at = now()
        async with self.uow() as uow:
            return await uow.webhooks.lease(at=at, until=at + self._schedule.lease)

    async def finish(self) -> None:
        """Take nothing new; wait for the requests under way."""
        self._stopping = True
        await self.settled()

    async def settled(self) -> None:
        """Until no endpoint is being served."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def _serve(self, endpoint: WebhookEndpoint) -> None:
        """All that is due, batch by batch, as long as the lease is ours. What it raises ends only itself."""
        current: WebhookEndpoint | None = endpoint
        try:
            while current is not None and not self._stopping and await self._batch(current):
                endpoint, current = current, await self._renew(current)
            await self._release(current or endpoint)
        except Unavailable:
            log.warning("webhooks_wait", endpoint=_shown(endpoint), why="database unavailable")
        except Exception:
            log.exception("webhooks_failed", endpoint=_shown(endpoint))

    async def _batch(self, endpoint: WebhookEndpoint) -> int:
        """How many deliveries there were."""
        async with self.uow.reading() as uow:
            due = await uow.webhooks.due(endpoint.id, at=now(), limit=_BATCH)
        async with self.uow.reading() as uow:
            events = {event.position: event for event in await uow.events.at([one.position for one in due])}
        pairs = sorted(
            ((events[one.position], one) for one in due if one.position in events), key=lambda pair: pair[0].subject
        )
        room = asyncio.Semaphore(_AT_ONCE)
        groups = [list(group) for _, group in groupby(pairs, key=lambda pair: pair[0].subject)]
        ends = await asyncio.gather(
            *(self._in_order(endpoint, group, room) for group in groups), return_exceptions=True
        )
        if failures := [end for end in ends if end is not None]:  # once all of them have ended
            raise failures[0]
        return len(due)

    async def _in_order(
        self, endpoint: WebhookEndpoint, pairs: Sequence[tuple[Any, WebhookDelivery]], room: asyncio.Semaphore
    ) -> None:
        for event, delivery in pairs:
            async with room:
                current = await self._current(endpoint)
                if current is None or self._stopping:
                    return
                with tracing.work("deliver event"):
                    reply = await self._send(current, event)
                    await self._settle(current, event, delivery, reply)

    async def _current(self, endpoint: WebhookEndpoint) -> WebhookEndpoint | None:
        """As its owner wants it now; None when nothing more may be sent under this lease.

        No attempt may outlast the lease: the next worker would make it as well.
        """
        assert endpoint.leased_until is not None  # noqa: S101 - we hold it
        if now() + self._schedule.timeout > endpoint.leased_until:
            return None
        async with self.uow.reading() as uow:
            return await uow.webhooks.served(endpoint.id, held_until=endpoint.leased_until)

    async def _send(self, endpoint: WebhookEndpoint, event: Any) -> Reply:
        try:
            secrets = self._secrets.in_force(endpoint)
        except Unreadable:
            return Reply(None, "unreadable_secret", 0)
        with WEBHOOK_SECONDS.time():
            return await self._gateway.send(
                endpoint.url,
                event_id=ids.show(ids.EVENT, event.id),
                body=self.events.envelope(event).json(),
                secrets=secrets,
                at=now(),
            )

    @retried
    async def _settle(self, endpoint: WebhookEndpoint, event: Any, delivery: WebhookDelivery, reply: Reply) -> None:
        at, paused = now(), None
        async with self.uow() as uow:
            if reply.taken:
                await uow.webhooks.note_success(endpoint.id)
                outcome, next_at = Outcome.DELIVERED, None
            else:
                judged = await uow.webhooks.note_failure(endpoint, at)
                paused = self._pause(uow, judged, reply, at) if judged else None
                waits = judged is None or judged.status != EndpointStatus.ACTIVE
                outcome, next_at = self._outcome(delivery, at, waits=waits)
            current = await uow.webhooks.delivery(delivery)
            if current is not None:
                uow.webhooks.add(_attempt(delivery, reply, outcome, next_at, at))
                if _is_same(current, delivery):
                    _write(current, outcome, next_at, at)
        WEBHOOKS.labels(outcome).inc()
        log.info(
            "webhook_settled",
            endpoint=_shown(endpoint),
            event_id=ids.show(ids.EVENT, event.id),
            outcome=outcome,
            attempt=delivery.attempts + 1,
            status=reply.status,
            error=reply.error,
        )
        if paused:
            log.warning("webhook_endpoint_paused", endpoint=_shown(endpoint), reason=paused)

    def _outcome(self, delivery: WebhookDelivery, at: datetime, *, waits: bool) -> tuple[Outcome, datetime | None]:
        """Of a failure. An endpoint that is paused, or has another URL now, loses nothing: its delivery `waits`."""
        next_at = self._schedule.next_at(delivery.attempts + 1, at) or (at if waits else None)
        return (Outcome.RETRYING if next_at else Outcome.FAILED), next_at

    def _pause(self, uow: Work, endpoint: WebhookEndpoint, reply: Reply, at: datetime) -> PauseReason | None:
        """Pause an endpoint that is gone, or that took nothing for too long, and tell of it."""
        long_since = endpoint.failing_since is not None and at - endpoint.failing_since >= self._schedule.patience
        if endpoint.status != EndpointStatus.ACTIVE or not (reply.status == _GONE or long_since):
            return None
        reason = PauseReason.GONE if reply.status == _GONE else PauseReason.FAILING
        endpoint.status, endpoint.pause_reason, endpoint.paused_at = EndpointStatus.PAUSED, reason, at
        subject = _shown(endpoint)
        data = {"endpoint_id": subject, "reason": reason}
        uow.events.add(Event(id=ids.new(), type=EventType.ENDPOINT_PAUSED, subject=subject, data=data))
        return reason

    async def _renew(self, endpoint: WebhookEndpoint) -> WebhookEndpoint | None:
        assert endpoint.leased_until is not None  # noqa: S101 - we hold it
        async with self.uow() as uow:
            until = now() + self._schedule.lease
            return await uow.webhooks.renew(endpoint.id, held_until=endpoint.leased_until, until=until)

    async def _release(self, endpoint: WebhookEndpoint) -> None:
        assert endpoint.leased_until is not None  # noqa: S101 - we hold it
        async with self.uow() as uow:
            await uow.webhooks.release(endpoint.id, held_until=endpoint.leased_until)


def _is_same(current: WebhookDelivery, delivery: WebhookDelivery) -> bool:
    """Whether nobody has asked for it anew since it was read."""
    return (current.state, current.attempts, current.due_at) == (
        DeliveryState.PENDING,
        delivery.attempts,
        delivery.due_at,
    )


def _write(delivery: WebhookDelivery, outcome: Outcome, next_at: datetime | None, at: datetime) -> None:
    delivery.attempts += 1
    if next_at is not None:
        delivery.due_at = next_at
        return
    delivery.state = DeliveryState.DELIVERED if outcome is Outcome.DELIVERED else DeliveryState.FAILED
    delivery.finished_at = at


def _attempt(
    delivery: WebhookDelivery, reply: Reply, outcome: Outcome, next_at: datetime | None, at: datetime
) -> WebhookAttempt:
    return WebhookAttempt(
        endpoint_id=delivery.endpoint_id,
        position=delivery.position,
        number=delivery.attempts + 1,
        outcome=outcome,
        status=reply.status,
        error=reply.error,
        milliseconds=reply.milliseconds,
        next_at=next_at,
        created_at=at,
    )


def _shown(endpoint: WebhookEndpoint) -> str:
    return ids.show(ids.WEBHOOK_ENDPOINT, endpoint.id)
