"""Receivers that are away: tried again for about a day, then paused with all that waits; and nobody else is delayed."""

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import func, select

from app.core import ids
from app.core.clock import now
from app.models.events import EventType
from app.models.webhooks import DeliveryState, WebhookDelivery
from tests.support.api import Api, frozen
from tests.support.receivers import (
    HERE,
    Behaviour,
    Endpoint,
    Gate,
    Names,
    Receiver,
    answers,
    by_id,
    deliver,
    endpoint,
    hangs,
    happen,
    receiver,
    says,
)
from tests.support.services import ServiceClient, client, feed

pytestmark = pytest.mark.settings(webhook_allowed_networks=[HERE], webhook_timeout_seconds=1)
CREATED = EventType.ACCOUNT_CREATED
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
PAUSES = [5, 60, 300, 1800, 7200, 14_400, 21_600, 43_200]  # seconds; their sum is a bit more than a day


@pytest.fixture
async def hooks() -> AsyncIterator[Receiver]:
    async with receiver(answers(500)) as made:
        yield made


@pytest.fixture
async def service(api: Api) -> ServiceClient:
    return await client(api)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def all_due(api: Api) -> datetime:
    """The first instant at which all that waits is due."""
    async with api.container.engine.connect() as connection:
        pending = select(func.max(WebhookDelivery.due_at)).where(WebhookDelivery.state == DeliveryState.PENDING)
        due = await connection.scalar(pending)
    assert due is not None
    return due


async def test_what_fails_is_tried_again_for_about_a_day_under_its_own_id_and_then_given_up(
    api: Api, service: ServiceClient, hooks: Receiver
) -> None:
    with frozen() as clock:
        start = now()
        own = await endpoint(service, hooks.url, "account.created", "account.closed")
        await happen(api, CREATED)
        (event,) = [item["id"] for item in await feed(service)]
        hooks.behave = by_id({event: 503})
        await deliver(api)
        for number, pause in enumerate(PAUSES, start=1):
            assert hooks.ids.count(event) == number
            began, due = now(), await all_due(api)
            assert timedelta(seconds=pause) <= due - began <= timedelta(seconds=pause * 1.1 + 1)
            clock.move_to(due - timedelta(milliseconds=2))
            await deliver(api)
            assert hooks.ids.count(event) == number
            clock.move_to(due)
            await happen(api, EventType.CLOSED)  # it takes others: it is not away
            await deliver(api)

        assert timedelta(hours=22) < now() - start < timedelta(hours=28)
        clock.shift(30 * DAY)
        await deliver(api)
        assert hooks.ids.count(event) == len(PAUSES) + 1
        await service.renew()
        tries = [one for one in await own.attempts() if one["event_id"] == event]
        assert [one["number"] for one in tries] == list(range(1, len(PAUSES) + 2))
        assert [one["outcome"] for one in tries] == ["retrying"] * len(PAUSES) + ["failed"]
        assert {one["status"] for one in tries} == {503}
        assert tries[-1]["next_at"] is None
        for one, following in pairwise(tries):
            assert one["next_at"] == following["created_at"]
        assert await own.attempts(outcome="failed") == tries[-1:]
        assert (await own.shown())["status"] == "active"

        hooks.behave = answers(200)
        assert await own.redeliver(event_id=event) == 1
        await deliver(api)
        assert (await own.attempts(outcome="delivered"))[-1]["event_id"] == event


async def test_an_endpoint_that_takes_nothing_for_a_day_is_paused_tells_of_it_and_loses_nothing(
    api: Api, service: ServiceClient, hooks: Receiver
) -> None:
    with frozen() as clock:
        own = await endpoint(service, hooks.url)
        await happen(api, *[CREATED] * 12)
        await deliver(api)
        failing = now()
        while (await shown_later(own))["status"] == "active":
            clock.move_to(await all_due(api))
            await deliver(api)

        assert DAY <= now() - failing < 1.1 * (DAY + 3 * HOUR)  # each pause is lengthened by up to a tenth
        shown = await own.shown()
        assert (shown["pause_reason"], instant(shown["failing_since"])) == ("failing", failing)
        assert instant(shown["paused_at"]) >= failing + DAY
        told = [item for item in await feed(service) if item["type"] == "webhook_endpoint.paused"]
        assert [(one["subject"], one["data"]) for one in told] == [
            (own.id, {"endpoint_id": own.id, "reason": "failing"})
        ]

        clock.shift(DAY)
        await happen(api, EventType.CLOSED)
        hooks.received.clear()
        await deliver(api)
        assert hooks.received == []

        hooks.behave = answers(200)
        await service.renew()
        await own.set_status("active")
        await deliver(api)
        assert sorted(hooks.ids) == sorted(item["id"] for item in await feed(service))
        assert (await own.shown())["failing_since"] is None


async def shown_later(own: Endpoint) -> dict[str, Any]:
    """After the clock moved: with a fresh token."""
    await own.service.renew()
    return await own.shown()


async def test_one_success_and_the_day_begins_anew(api: Api, service: ServiceClient, hooks: Receiver) -> None:
    with frozen() as clock:
        own = await endpoint(service, hooks.url)
        for status in (500, 200, 500):
            hooks.behave = answers(status)
            await happen(api, CREATED)
            await deliver(api)
            clock.shift(timedelta(hours=20))
        shown = await shown_later(own)

    assert (shown["status"], now() - instant(shown["failing_since"]) < DAY) == ("active", True)


async def test_gone_pauses_at_once_and_resuming_sends_at_once(
    api: Api, service: ServiceClient, hooks: Receiver
) -> None:
    hooks.behave = answers(410)
    own = await endpoint(service, hooks.url)
    account = ids.new()
    await happen(api, *[CREATED] * 3, account=account)
    await deliver(api)

    assert len(hooks.received) == 1
    shown = await own.shown()
    assert (shown["status"], shown["pause_reason"]) == ("paused", "gone")
    events = await feed(service)
    assert [one["data"] for one in events[3:]] == [{"endpoint_id": own.id, "reason": "gone"}]

    hooks.received.clear()
    hooks.behave = answers(200)
    await own.set_status("active")
    await deliver(api)
    assert Counter(hooks.ids) == Counter(item["id"] for item in events)
    assert [one for one in hooks.ids if one != events[3]["id"]] == [item["id"] for item in events[:3]]


async def test_a_410_of_the_old_url_does_not_pause_the_new_one(
    api: Api, service: ServiceClient, hooks: Receiver
) -> None:
    hooks.behave = gate = Gate(410)
    own = await endpoint(service, hooks.url)
    await happen(api, CREATED)
    sending = asyncio.create_task(deliver(api))
    await gate.reached.wait()

    async with receiver() as new:
        assert (await service.put(own.path, {"url": new.url})).status_code == 200
        gate.opened.set()
        await sending
        assert (await own.shown())["status"] == "active"
        await own.redeliver(since="2020-01-01T00:00:00Z")
        await deliver(api)

    assert new.ids == hooks.ids


async def test_a_new_url_has_a_day_of_its_own(api: Api, service: ServiceClient, hooks: Receiver) -> None:
    with frozen() as clock:
        own = await endpoint(service, hooks.url)
        await happen(api, CREATED)
        await deliver(api)
        clock.shift(timedelta(hours=23))
        await service.renew()
        await service.put(own.path, {"url": f"{hooks.url}/new"})
        for _ in range(2):
            await deliver(api)
            clock.shift(timedelta(hours=22))
        shown = await shown_later(own)

    assert hooks.received[-1].target == "/hooks/new"
    assert shown["status"] == "active"


@pytest.mark.parametrize(
    ("behave", "why"),
    [
        (answers(500), (500, None)),
        (answers(307, location="https://8.8.8.8/"), (307, None)),
        (hangs, (None, "timeout")),
        (says(b""), (None, "network")),
        (says(b"hello"), (None, "network")),
    ],
    ids=["500", "redirect", "hangs", "closes", "garbage"],
)
async def test_the_log_says_why_an_attempt_failed(
    api: Api, service: ServiceClient, hooks: Receiver, behave: Behaviour, why: tuple[int | None, str | None]
) -> None:
    hooks.behave = behave
    own = await endpoint(service, hooks.url)
    await happen(api, CREATED)
    await deliver(api)

    (attempt,) = await own.attempts()
    assert (attempt["outcome"], attempt["status"], attempt["error"]) == ("retrying", *why)
    assert (why[1] == "timeout") == (attempt["milliseconds"] >= 1000)


@pytest.mark.settings(webhook_allowed_networks=[HERE], webhook_timeout_seconds=20)
async def test_a_dead_endpoint_with_much_to_take_delays_no_other(
    api: Api, service: ServiceClient, hooks: Receiver
) -> None:
    hooks.behave = dead = Gate()
    await endpoint(service, hooks.url)
    await happen(api, *[CREATED] * 100)
    sending = asyncio.create_task(deliver(api))
    await dead.reached.wait()

    async with receiver() as living:
        await endpoint(service, living.url)
        await happen(api, *[CREATED] * 10)
        await api.container.webhook_worker.spread()
        await api.container.webhook_worker.deliver_due()
        await until(lambda: len(living.received) == 10)
        assert not sending.done()

        dead.opened.set()
        await sending


@pytest.mark.settings(webhook_allowed_networks=[HERE], webhook_timeout_seconds=20)
async def test_a_name_server_that_says_nothing_delays_no_other_endpoint(
    api: Api, service: ServiceClient, monkeypatch: pytest.MonkeyPatch, hooks: Receiver
) -> None:
    Names(monkeypatch, dead_example_com=[["127.0.0.1"]], living_example_com=[["127.0.0.1"]])
    said, silenced, look_up = threading.Event(), threading.Event(), socket.getaddrinfo

    def silent(host: str, *rest: Any, **options: Any) -> Any:
        if host == "dead.example.com" and silenced.is_set():
            said.wait(20)
        return look_up(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    hooks.behave = answers(200)
    for name, wanted in (("dead", "account.created"), ("living", "account.closed")):
        await endpoint(service, f"http://{name}.example.com:{hooks.port}/hooks", wanted)
    silenced.set()
    try:
        await happen(api, *[CREATED] * 100, *[EventType.CLOSED] * 3)
        sending = asyncio.create_task(deliver(api))
        await until(lambda: len(hooks.received) == 3)
        assert not sending.done()
    finally:
        said.set()
    await sending


async def until(holds: Callable[[], bool]) -> None:
    """Within a part of what a dead receiver or name server would cost."""
    deadline = time.monotonic() + 4
    while not holds():
        assert time.monotonic() < deadline, "the living one waits for the dead one"
        await asyncio.sleep(0.01)
