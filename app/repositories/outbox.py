"""SQL for messages on their way out."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from app.models.outbox import Delivery, OutboxMessage
from app.models.verification import Channel
from app.repositories.base import Journal

_FINISHED = tuple(state for state in Delivery if state is not Delivery.QUEUED)


def _under_way(message_id: UUID, attempt: int) -> ColumnElement[bool]:
    """The message, unless it was finished or a later attempt has taken over.

    "Not finished" and not "queued", which the index of what is due would serve too, by reading all of it.
    """
    return and_(
        OutboxMessage.id == message_id, OutboxMessage.state.not_in(_FINISHED), OutboxMessage.attempts == attempt
    )


class OutboxRepository(Journal[OutboxMessage]):
    async def claim(
        self, channels: Sequence[Channel], *, at: datetime, leased_until: datetime, limit: int
    ) -> list[OutboxMessage]:
        """Take due messages for as long as the lease; several workers share them and none waits for another.

        One that nobody tried yet is due whatever it says: the clock of who wrote it may be ahead.
        """
        due = (
            select(OutboxMessage.id)
            .where(
                OutboxMessage.state == Delivery.QUEUED,
                OutboxMessage.channel.in_(channels),
                or_(OutboxMessage.due_at <= at, OutboxMessage.attempts == 0),
            )
            .order_by(OutboxMessage.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte()  # is run once; a subquery may be run for each row, and then `limit` holds for each
        )
        claimed = await self._session.scalars(
            update(OutboxMessage)
            .where(OutboxMessage.id.in_(select(due.c.id)))
            .values(due_at=leased_until, attempts=OutboxMessage.attempts + 1)
            .returning(OutboxMessage)
            .execution_options(synchronize_session=False)
        )
        return sorted(claimed, key=lambda message: message.id)

    async def finish(self, message_id: UUID, *, attempt: int, state: Delivery, at: datetime, error: str | None) -> bool:
        """It needs no more attempts; its secret is erased. False when a later attempt has taken over."""
        return (
            await self._changed(
                update(OutboxMessage)
                .where(_under_way(message_id, attempt))
                .values(state=state, finished_at=at, last_error=error, sealed=None)
            )
            == 1
        )

    async def postpone(self, message_id: UUID, *, attempt: int, until: datetime, error: str) -> bool:
        return (
            await self._changed(
                update(OutboxMessage).where(_under_way(message_id, attempt)).values(due_at=until, last_error=error)
            )
            == 1
        )

    async def backlog(self) -> tuple[int, datetime | None]:
        """How many messages wait, and since when the oldest does."""
        row = (
            await self._session.execute(
                select(func.count(), func.min(OutboxMessage.created_at)).where(OutboxMessage.state == Delivery.QUEUED)
            )
        ).one()
        return row[0], row[1]

    async def expire(self, at: datetime) -> int:
        """Codes that were not delivered in their time: give them up, erase them."""
        return await self._changed(
            update(OutboxMessage)
            .where(
                OutboxMessage.state == Delivery.QUEUED,
                OutboxMessage.expires_at <= at,
                OutboxMessage.due_at <= at,
            )
            .values(state=Delivery.EXPIRED, finished_at=at, sealed=None)
        )
