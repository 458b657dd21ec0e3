"""SQL for events: written with their effect, given their position once they are visible."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import delete, exists, func, select, update

from app.models.events import Event, EventHead
from app.repositories.base import Journal

_HEAD = 1  # the id of the one row
_SHOWN = (Event.position, Event.id, Event.type, Event.subject, Event.data, Event.created_at)


class Head(NamedTuple):
    """Positions are given up to `last`; events up to `forgotten` are deleted."""

    last: int
    forgotten: int


class EventRepository(Journal[Event]):
    async def any_unplaced(self) -> bool:
        return bool(await self._session.scalar(select(exists().where(Event.position.is_(None)))))

    async def unplaced_since(self) -> datetime | None:
        """Since when the one waits that is next to get its position; None when none waits."""
        statement = select(Event.created_at).where(Event.position.is_(None)).order_by(Event.written).limit(1)
        return await self._session.scalar(statement)

    async def place(self, limit: int) -> int:
        """Give the next positions to events that are committed and have none; how many.

        One at a time does this (the head's row is held), and each sees all that was committed before it got its turn,
        so positions become visible in their order and none is given behind one that was seen. `written` grows with
        the commits of one account, so its events keep their order.
        """
        last = await self._session.scalar(select(EventHead.last).where(EventHead.id == _HEAD).with_for_update())
        assert last is not None  # noqa: S101 - the migration made the row
        unplaced = select(Event.written).where(Event.position.is_(None)).order_by(Event.written).limit(limit).subquery()
        number = func.row_number().over(order_by=unplaced.c.written)
        fresh = select(unplaced.c.written, number.label("number")).subquery()
        placed = await self._changed(
            update(Event).where(Event.written == fresh.c.written).values(position=last + fresh.c.number)
        )
        if placed:
            await self._changed(update(EventHead).where(EventHead.id == _HEAD).values(last=last + placed))
        return placed

    async def page(self, after: int, limit: int) -> list[Any]:
        """Events behind `after`, in the order of their positions."""
        statement = select(*_SHOWN).where(Event.position > after).order_by(Event.position).limit(limit)
        return list(await self._session.execute(statement))

    async def at(self, positions: Sequence[int]) -> list[Any]:
        """In the order of their positions."""
        statement = select(*_SHOWN).where(Event.position.in_(positions)).order_by(Event.position)
        return list(await self._session.execute(statement))

    async def head(self) -> Head:
        row = (
            await self._session.execute(select(EventHead.last, EventHead.forgotten).where(EventHead.id == _HEAD))
        ).one()
        return Head(row[0], row[1])

    async def forget(self, before: datetime) -> int:
        """Delete events that were placed and are older, always from the front; how many."""
        await self._session.scalar(select(EventHead.last).where(EventHead.id == _HEAD).with_for_update())
        kept = select(func.min(Event.position)).where(Event.created_at >= before).scalar_subquery()
        last = select(EventHead.last + 1).where(EventHead.id == _HEAD).scalar_subquery()
        first_kept = await self._session.scalar(select(func.coalesce(kept, last)))
        deleted = await self._changed(delete(Event).where(Event.position < first_kept))
        if deleted:
            statement = update(EventHead).where(EventHead.id == _HEAD).values(forgotten=first_kept - 1)
            await self._changed(statement)
        return deleted
