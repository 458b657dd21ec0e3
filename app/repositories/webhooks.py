"""SQL for webhook endpoints, and for what is on its way to them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, exists, func, literal, or_, select, update

from app.models.events import Event
from app.models.webhooks import (
    DeliveryState,
    EndpointStatus,
    Outcome,
    PauseReason,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)
from app.repositories.base import Repository, after

_ATTEMPT = (
    WebhookAttempt.id,
    Event.id.label("event_id"),
    Event.type.label("event_type"),
    WebhookAttempt.number,
    WebhookAttempt.outcome,
    WebhookAttempt.status,
    WebhookAttempt.error,
    WebhookAttempt.milliseconds,
    WebhookAttempt.next_at,
    WebhookAttempt.created_at,
)


class WebhookRepository(Repository):
    def add(self, row: WebhookEndpoint | WebhookAttempt) -> None:
        self._session.add(row)

    # Endpoints, by the client that owns them

    async def own(self, client_id: UUID, endpoint_id: UUID, *, hold: bool = False) -> WebhookEndpoint | None:
        statement = select(WebhookEndpoint).where(_owned(client_id), WebhookEndpoint.id == endpoint_id)
        return await self._session.scalar(statement.with_for_update() if hold else statement)

    async def page(self, client_id: UUID, *, cursor: UUID | None, limit: int) -> list[WebhookEndpoint]:
        statement = select(WebhookEndpoint).where(_owned(client_id), after(WebhookEndpoint.id, cursor))
        return list(await self._session.scalars(statement.order_by(WebhookEndpoint.id.desc()).limit(limit)))

    async def count(self, client_id: UUID) -> int:
        return int(await self._session.scalar(select(func.count()).where(_owned(client_id))) or 0)

    async def remove(self, endpoint_id: UUID) -> None:
        await self._changed(delete(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id))

    async def pause_all(self, client_id: UUID, *, reason: PauseReason, at: datetime) -> None:
        """Those that were active."""
        statement = update(WebhookEndpoint).where(_owned(client_id), WebhookEndpoint.status == EndpointStatus.ACTIVE)
        await self._changed(statement.values(status=EndpointStatus.PAUSED, pause_reason=reason, paused_at=at))

    async def attempts(
        self, endpoint_id: UUID, *, outcome: Outcome | None, cursor: UUID | None, limit: int
    ) -> list[Any]:
        """The newest first."""
        statement = (
            select(*_ATTEMPT)
            .join(Event, Event.position == WebhookAttempt.position)
            .where(WebhookAttempt.endpoint_id == endpoint_id, after(WebhookAttempt.id, cursor))
        )
        if outcome is not None:
            statement = statement.where(WebhookAttempt.outcome == outcome)
        return list(await self._session.execute(statement.order_by(WebhookAttempt.id.desc()).limit(limit)))

    # What is to be sent

    async def behind(self, last: int) -> list[UUID]:
        """Endpoints for which the feed was not looked through up to `last`."""
        return list(await self._session.scalars(select(WebhookEndpoint.id).where(WebhookEndpoint.position < last)))

    async def take_behind(self, endpoint_id: UUID, last: int) -> WebhookEndpoint | None:
        """One of them, held; None when somebody else has it or has done it."""
        statement = select(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id, WebhookEndpoint.position < last)
        return await self._session.scalar(statement.with_for_update(skip_locked=True))

    async def queue(self, endpoint: WebhookEndpoint, up_to: int, at: datetime) -> None:
        """A delivery for each event that it wants from its position to `up_to`."""
        await self._queue(
            endpoint, and_(Event.position > endpoint.position, Event.position <= up_to), at, conflict="nothing"
        )
        endpoint.position = up_to

    async def queue_again(
        self,
        endpoint: WebhookEndpoint,
        *,
        at: datetime,
        event_id: UUID | None,
        since: datetime | None,
        until: datetime | None,
    ) -> int:
        """Deliveries from their beginning: of one event, or of those it wants of a span of time; how many."""
        wanted = [Event.position <= endpoint.position]
        if event_id is not None:
            wanted.append(Event.id == event_id)
        if since is not None:
            wanted.append(Event.created_at >= since)
        if until is not None:
            wanted.append(Event.created_at < until)
        return await self._queue(endpoint, and_(*wanted), at, conflict="again")

    async def make_due(self, endpoint_id: UUID, at: datetime) -> None:
        """All that waits begins anew."""
        statement = update(WebhookDelivery).where(
            WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.state == DeliveryState.PENDING
        )
        await self._changed(statement.values(due_at=at, attempts=0))

    async def _queue(
        self, endpoint: WebhookEndpoint, which: ColumnElement[bool], at: datetime, *, conflict: str
    ) -> int:
        wanted = select(
            literal(endpoint.id, WebhookDelivery.endpoint_id.type),
            Event.position,
            literal(DeliveryState.PENDING.value),
            literal(0),
            literal(at, WebhookDelivery.due_at.type),
        ).where(which)
        if endpoint.event_types:
            wanted = wanted.where(Event.type.in_(endpoint.event_types))
        fresh = {"state": DeliveryState.PENDING, "attempts": 0, "due_at": at, "finished_at": None}
        insert = self._insert(WebhookDelivery).from_select(
            ["endpoint_id", "position", "state", "attempts", "due_at"], wanted, include_defaults=False
        )
        keys = [WebhookDelivery.endpoint_id, WebhookDelivery.position]
        if conflict == "nothing":
            return await self._changed(insert.on_conflict_do_nothing(index_elements=keys))
        return await self._changed(insert.on_conflict_do_update(index_elements=keys, set_=fresh))

    # Sending it

    async def lease(self, *, at: datetime, until: datetime) -> list[WebhookEndpoint]:
        """Take the active endpoints that have something due and that nobody serves."""
        due = exists().where(
            WebhookDelivery.endpoint_id == WebhookEndpoint.id,
            WebhookDelivery.state == DeliveryState.PENDING,
            WebhookDelivery.due_at <= at,
        )
        free = (
            select(WebhookEndpoint.id)
            .where(WebhookEndpoint.status == EndpointStatus.ACTIVE, _unleased(at), due)
            .with_for_update(skip_locked=True)
        )
        leased = await self._session.scalars(
            update(WebhookEndpoint)
            .where(WebhookEndpoint.id.in_(free.scalar_subquery()))
            .values(leased_until=until)
            .returning(WebhookEndpoint)
            .execution_options(synchronize_session=False)
        )
        return list(leased)

    async def renew(self, endpoint_id: UUID, *, held_until: datetime, until: datetime) -> WebhookEndpoint | None:
        """Keep it; None when the lease was lost or the endpoint is not active any more."""
        return await self._session.scalar(
            update(WebhookEndpoint)
            .where(
                WebhookEndpoint.id == endpoint_id,
                WebhookEndpoint.leased_until == held_until,
                WebhookEndpoint.status == EndpointStatus.ACTIVE,
            )
            .values(leased_until=until)
            .returning(WebhookEndpoint)
            .execution_options(populate_existing=True)
        )

    async def release(self, endpoint_id: UUID, *, held_until: datetime) -> None:
        statement = update(WebhookEndpoint).where(
            WebhookEndpoint.id == endpoint_id, WebhookEndpoint.leased_until == held_until
        )
        await self._changed(statement.values(leased_until=None))

    async def due(self, endpoint_id: UUID, *, at: datetime, limit: int) -> list[WebhookDelivery]:
        """The ones that wait longest, in the order of their events."""
        found = await self._session.scalars(
            select(WebhookDelivery)
            .where(
                WebhookDelivery.endpoint_id == endpoint_id,
                WebhookDelivery.state == DeliveryState.PENDING,
                WebhookDelivery.due_at <= at,
            )
            .order_by(WebhookDelivery.due_at, WebhookDelivery.position)
            .limit(limit)
        )
        return sorted(found, key=lambda delivery: delivery.position)

    async def served(self, endpoint_id: UUID, *, held_until: datetime) -> WebhookEndpoint | None:
        """As it is now; None when the lease was lost or the endpoint is not active any more."""
        statement = select(WebhookEndpoint).where(
            WebhookEndpoint.id == endpoint_id,
            WebhookEndpoint.leased_until == held_until,
            WebhookEndpoint.status == EndpointStatus.ACTIVE,
        )
        return await self._session.scalar(statement)

    async def delivery(self, delivery: WebhookDelivery) -> WebhookDelivery | None:
        """As it is now, held; None when it was deleted."""
        statement = select(WebhookDelivery).where(
            WebhookDelivery.endpoint_id == delivery.endpoint_id, WebhookDelivery.position == delivery.position
        )
        return await self._session.scalar(statement.with_for_update())

    async def note_success(self, endpoint_id: UUID) -> None:
        statement = update(WebhookEndpoint).where(
            WebhookEndpoint.id == endpoint_id, WebhookEndpoint.failing_since.is_not(None)
        )
        await self._changed(statement.values(failing_since=None))

    async def note_failure(self, endpoint: WebhookEndpoint, at: datetime) -> WebhookEndpoint | None:
        """The endpoint, held, with the time since when it fails; None when it was deleted or has another URL now."""
        return await self._session.scalar(
            update(WebhookEndpoint)
            .where(WebhookEndpoint.id == endpoint.id, WebhookEndpoint.url == endpoint.url)
            .values(failing_since=func.coalesce(WebhookEndpoint.failing_since, at))
            .returning(WebhookEndpoint)
            .execution_options(populate_existing=True)
        )

    async def backlog(self) -> tuple[int, datetime | None]:
        """How many deliveries of active endpoints are due, and since when the oldest is."""
        active = select(WebhookEndpoint.id).where(WebhookEndpoint.status == EndpointStatus.ACTIVE)
        row = (
            await self._session.execute(
                select(func.count(), func.min(WebhookDelivery.due_at)).where(
                    WebhookDelivery.state == DeliveryState.PENDING, WebhookDelivery.endpoint_id.in_(active)
                )
            )
        ).one()
        return row[0], row[1]

    async def states(self) -> tuple[int, int, int]:
        """How many endpoints are active, how many of them failed at their last attempt, how many are paused."""
        active = WebhookEndpoint.status == EndpointStatus.ACTIVE
        row = (
            await self._session.execute(
                select(
                    func.count().filter(active),
                    func.count().filter(active, WebhookEndpoint.failing_since.is_not(None)),
                    func.count().filter(~active),
                ).select_from(WebhookEndpoint)
            )
        ).one()
        return row[0], row[1], row[2]


def _owned(client_id: UUID) -> ColumnElement[bool]:
    return WebhookEndpoint.client_id == client_id


def _unleased(at: datetime) -> ColumnElement[bool]:
    return or_(WebhookEndpoint.leased_until.is_(None), WebhookEndpoint.leased_until <= at)
