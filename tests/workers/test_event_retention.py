"""Old events are forgotten from the front of the feed, and a reader who is behind that is told, never led past it."""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Any

import httpx
import time_machine
from sqlalchemy import text

from app.core import ids
from app.core.clock import now
from app.core.scopes import Scope
from app.models.events import Event, EventType
from app.workers.upkeep import Upkeep
from tests.repositories.test_event_positions import someone_waits
from tests.support.api import Api, frozen, refusal, running
from tests.support.services import ServiceClient, client, feed

KEPT, DAY, SECOND = timedelta(days=30), timedelta(days=1), timedelta(seconds=1)
EXPIRED = (410, "cursor_expired")


async def forget(api: Api) -> None:
    uow, waiting = api.container.profile.uow, api.container.waiting
    await Upkeep(uow, waiting, api.container.data_keys, retention=KEPT, known_address=KEPT, events_kept=KEPT).forget()


def an_event(at: datetime | None) -> Event:
    return Event(id=ids.new(), type=EventType.SUSPENDED, subject="acnt_1", data={}, created_at=at or now())


async def happen(api: Api, *, at: datetime | None = None) -> str:
    """An event, as any act writes it; its id."""
    event = an_event(at)
    async with api.container.profile.uow() as uow:
        uow.events.add(event)
    return ids.show(ids.EVENT, event.id)


async def read(service: ServiceClient, after: str | None = None) -> httpx.Response:
    return await service.get("/events", **({} if after is None else {"after": after}))


async def cursor(service: ServiceClient, after: str | None = None) -> str:
    """Behind the newest event."""
    page = (await read(service, after)).json()
    return str(page["next_cursor"])


def told(events: list[dict[str, Any]]) -> list[str]:
    return [event["id"] for event in events]


async def execute(api: Api, statement: str, **values: object) -> None:
    async with api.container.engine.begin() as connection:
        await connection.execute(text(statement), values)


async def test_events_are_kept_for_as_many_days_as_were_set(api: Api) -> None:
    await happen(api, at=now() - 2 * DAY - SECOND)
    kept = await happen(api, at=now() - 2 * DAY + timedelta(minutes=5))
    service = await client(api, Scope.EVENTS)
    assert len(await feed(service)) == 2

    url = api.settings.database_url.get_secret_value()
    async with running(url, event_retention_days=2, worker_in_server=True):
        deadline = time.monotonic() + 10
        while told(await feed(service)) != [kept]:
            assert time.monotonic() < deadline, "nothing was forgotten"
            await asyncio.sleep(0.02)


async def test_an_event_is_forgotten_in_its_time_and_not_before(api: Api) -> None:
    service = await client(api, Scope.EVENTS)
    with frozen() as clock:
        event = await happen(api)
        assert told(await feed(service)) == [event]
        clock.shift(KEPT)
        await forget(api)
        await service.renew()
        assert told(await feed(service)) == [event]

        clock.shift(SECOND)
        await forget(api)
        assert await feed(service) == []


async def test_who_is_behind_what_was_forgotten_is_told(api: Api) -> None:
    service = await client(api, Scope.EVENTS)
    start = await cursor(service)
    await happen(api, at=now() - KEPT - DAY)
    behind_first = await cursor(service)
    await happen(api, at=now() - KEPT - DAY)
    edge = await cursor(service)
    kept = await happen(api)
    newest = await cursor(service)

    await forget(api)

    assert refusal(await read(service, start)) == EXPIRED
    assert refusal(await read(service, behind_first)) == EXPIRED
    assert told(await feed(service, edge)) == [kept]
    assert await feed(service, newest) == []
    assert told(await feed(service)) == [kept]


async def test_a_reader_who_waits_behind_what_is_forgotten_meanwhile_is_told(api: Api) -> None:
    service = await client(api, Scope.EVENTS)
    start = await cursor(service)
    waiting = asyncio.create_task(service.get("/events", after=start, wait=10))
    await asyncio.sleep(0.1)
    async with api.container.profile.uow() as uow:
        uow.events.add(an_event(now() - 2 * KEPT))
        await uow.source.write()
        await uow.events.place(10)
        assert await uow.events.forget(now() - KEPT) == 1

    assert refusal(await waiting) == EXPIRED


async def test_a_feed_that_forgot_everything_goes_on_where_it_was(api: Api) -> None:
    service = await client(api, Scope.EVENTS)
    await happen(api, at=now() - KEPT - DAY)
    (old,) = await feed(service)
    last = await cursor(service)

    await forget(api)

    page = (await read(service)).json()
    assert page["items"] == []
    new = await happen(api)
    for after in (None, page["next_cursor"], last):
        (event,) = await feed(service, after)
        assert event["id"] == new
        assert event["sequence"] > old["sequence"]


async def test_nothing_behind_a_younger_event_is_forgotten(api: Api) -> None:
    """The clock of the process that wrote the second one was wrong: it must not become a hole in the feed."""
    service = await client(api, Scope.EVENTS)
    start = await cursor(service)
    first, second = await happen(api), await happen(api, at=now() - KEPT - DAY)
    assert told(await feed(service)) == [first, second]

    await forget(api)

    assert told(await feed(service, start)) == [first, second]


async def test_what_nobody_could_read_yet_is_not_forgotten(api: Api) -> None:
    service = await client(api, Scope.EVENTS)
    start = await cursor(service)
    event = await happen(api, at=now() - KEPT - DAY)

    await forget(api)

    assert told(await feed(service, start)) == [event]


async def test_what_is_forgotten_while_a_page_is_read_is_not_told_twice(pg_api: Api) -> None:
    service = await client(pg_api, Scope.EVENTS)
    await happen(pg_api, at=now() - KEPT - DAY)
    last = await cursor(service)
    kept = await happen(pg_api)
    assert told(await feed(service, last)) == [kept]

    async with pg_api.container.engine.begin() as connection:
        await connection.execute(text("LOCK TABLE event_head IN ACCESS EXCLUSIVE MODE"))
        reading = asyncio.create_task(read(service, last))
        await someone_waits(pg_api)
        # It has read the events, and is about to ask how far the feed is forgotten.
        await connection.execute(text("UPDATE event_head SET forgotten = (SELECT min(position) FROM events)"))
        await connection.execute(text("DELETE FROM events WHERE position = (SELECT forgotten FROM event_head)"))

    assert told((await reading).json()["items"]) == [kept]


# --- A database that was set back -----------------------------------------------------------------------------------


async def set_back(api: Api, event: str) -> None:
    """A backup from before the event is restored: as if it had never been."""
    position = await position_of(api, event)
    await execute(api, "DELETE FROM events WHERE position >= :position", position=position)
    await execute(api, "UPDATE event_head SET last = :last", last=position - 1)


async def position_of(api: Api, event: str) -> int:
    page = await api.container.events.read(after=None, limit=1000, wait=0)
    return next(int(one.sequence) for one in page.events if ids.show(ids.EVENT, one.id) == event)


async def test_a_cursor_from_before_the_database_was_set_back_is_refused(api: Api) -> None:
    service = await client(api, Scope.EVENTS)
    kept = await happen(api)
    good = await cursor(service)
    lost = await happen(api)
    ahead = await cursor(service)

    await set_back(api, lost)

    assert refusal(await read(service, ahead)) == EXPIRED
    assert refusal(await service.get("/events", after=ahead, wait=1)) == EXPIRED
    assert told(await feed(service, good)) == []
    assert told(await feed(service)) == [kept]


async def test_such_a_cursor_is_refused_also_when_other_events_took_the_place(api: Api) -> None:
    service = await client(api, Scope.EVENTS)
    await happen(api)
    lost = await happen(api)
    ahead = await cursor(service)
    await set_back(api, lost)

    instead = [await happen(api), await happen(api)]
    assert told(await feed(service))[1:] == instead

    assert refusal(await read(service, ahead)) == EXPIRED


async def test_who_has_seen_everything_is_never_behind(api: Api) -> None:
    service = await client(api, Scope.EVENTS)
    await happen(api)
    last = await cursor(service)

    with time_machine.travel(now() + 10 * KEPT):
        await forget(api)
        await service.renew()
        assert await feed(service, last) == []
