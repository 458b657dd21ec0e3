"""Events: what other services are told of accounts. Written in the transaction of the effect, read as an ordered feed.

Envelopes are CloudEvents 1.0 (https://cloudevents.io) in JSON, with the extension `sequence`: the event's position, of
fixed width, so that it sorts as text. Payloads hold ids and masked values, never a code, a password or a document.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.core import ids
from app.core.clock import shown
from app.core.errors import CursorExpired
from app.models.events import Event, EventType
from app.repositories.unit_of_work import UnitOfWork, Work, retried

_BATCH = 1000  # events that get their positions in one transaction
_LOOK_EVERY = 0.5  # seconds between looks of somebody who waits: other processes write too


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event as others see it."""

    specversion: str
    id: UUID
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str
    sequence: str
    data: dict[str, Any]

    def json(self) -> str:
        """As a webhook carries it; the feed shows the same."""
        members = {name: getattr(self, name) for name in self.__slots__}
        members |= {"id": ids.show(ids.EVENT, self.id), "time": shown(self.time)}
        return json.dumps(members, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Place:
    """How far somebody has read: a position, and a mark of the event that was there.

    The mark tells when a database that was set back (a backup, a standby that lagged) gave the position anew.
    """

    position: int
    mark: bytes = bytes(8)

    def __bytes__(self) -> bytes:
        return self.position.to_bytes(8) + self.mark

    @classmethod
    def of(cls, raw: bytes) -> "Place":
        return cls(int.from_bytes(raw[:8]), raw[8:])

    @classmethod
    def at(cls, event: Any) -> "Place":
        return cls(event.position, event.id.bytes[8:])


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Events in the order of their positions; `end` is where to go on."""

    events: list[Envelope]
    end: Place


def publish(uow: Work, kind: EventType, account_id: UUID, **data: object) -> None:
    """Write an event of an account, which the caller holds: that is what keeps the account's events in order."""
    subject = ids.show(ids.ACCOUNT, account_id)
    uow.events.add(Event(id=ids.new(), type=kind, subject=subject, data={"account_id": subject, **data}))


class Events:
    """The feed: events get their positions here, whoever looks first."""

    def __init__(self, uow: UnitOfWork, *, source: str) -> None:
        self.uow = uow
        self._source = source
        self._news: set[asyncio.Event] = set()
        self._stopping = False

    def stop(self) -> None:
        """The process ends: nobody waits any longer."""
        self._stopping = True

    def wake(self) -> None:
        """This process committed an event: who waits may look."""
        for news in self._news:
            news.set()

    async def place(self) -> int:
        """Give committed events their positions; how many got one."""
        with self.uow.rows() as uow:
            if not await uow.events.any_unplaced():
                return 0
        return await self._place()

    async def read(self, *, after: Place | None, limit: int, wait: float) -> FeedPage:
        """The events behind a position (None: from the oldest kept); waits for one up to `wait` seconds.

        Raises CursorExpired when events behind the position were deleted already, or when it was given before the
        database was set back.
        """
        deadline = time.monotonic() + wait
        news = asyncio.Event()
        self._news.add(news)
        try:
            while True:
                news.clear()
                page = await self._page(after, limit)
                left = deadline - time.monotonic()
                if page.events or left <= 0 or self._stopping:
                    return page
                await _either(news, min(left, _LOOK_EVERY))
        finally:
            self._news.discard(news)

    def envelope(self, row: Any) -> Envelope:
        return Envelope(
            specversion="1.0",
            id=row.id,
            source=self._source,
            type=row.type,
            subject=row.subject,
            time=row.created_at,
            datacontenttype="application/json",
            sequence=f"{row.position:020}",
            data=row.data,
        )

    async def _page(self, after: Place | None, limit: int) -> FeedPage:
        start = after or Place(0)
        await self.place()  # first: what another process places meanwhile is read as well
        rows = await self._rows(start, limit)
        # Asked after the reading: what was deleted before it can only be counted as such now.
        with self.uow.rows() as uow:
            head = await uow.events.head()
        if after is not None and not head.forgotten <= after.position <= head.last:
            raise CursorExpired
        at = rows[0] if rows and rows[0].position == start.position else None
        if (at is None and start.position > head.forgotten) or (at is not None and Place.at(at) != start):
            raise CursorExpired
        rows = (rows if at is None else rows[1:])[:limit]
        nothing = start if start.position >= head.forgotten else Place(head.forgotten)
        return FeedPage([self.envelope(row) for row in rows], Place.at(rows[-1]) if rows else nothing)

    async def _rows(self, start: Place, limit: int) -> list[Any]:
        """What is at the place, and behind it."""
        with self.uow.rows() as uow:
            return await uow.events.page(start.position - 1, limit + 1)

    @retried
    async def _place(self) -> int:
        async with self.uow() as uow:
            return await uow.events.place(_BATCH)


async def _either(news: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(news.wait(), seconds)
    except TimeoutError:
        return
