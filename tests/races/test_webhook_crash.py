"""A server that dies or stops in the middle of delivering: every event arrives, and repeats carry the same id."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from app.models.events import EventType
from tests.races.processes import ROOT, eventually, free_port, logs_of, process
from tests.support.api import Api, frozen, running
from tests.support.receivers import (
    HERE,
    Endpoint,
    Gate,
    Received,
    Receiver,
    answers,
    deliver,
    endpoint,
    happen,
    receiver,
)
from tests.support.services import client, feed

MANY = 60  # more than one batch
ENDED = (0, -signal.SIGTERM)  # uvicorn raises the signal again when it has shut down


@pytest.fixture
def environment(database: str, tmp_path: Path) -> dict[str, str]:
    """All that a process of ours is told; a lease lasts four times the timeout."""
    return {
        "PYTHONPATH": str(ROOT),
        "GUANCE_DATABASE_URL": database,
        "GUANCE_DEV_MESSAGES_FILE": str(tmp_path / "messages.jsonl"),
        "GUANCE_OUTBOX_POLL_SECONDS": "0.1",
        "GUANCE_WEBHOOK_ALLOWED_NETWORKS": json.dumps([HERE]),
        "GUANCE_WEBHOOK_TIMEOUT_SECONDS": "1",
    }


async def slowly(*request: object) -> None:
    await asyncio.sleep(0.1)
    await answers(200)(*request)  # type: ignore[arg-type]


@asynccontextmanager
async def waiting(database: str) -> AsyncIterator[tuple[Receiver, list[str]]]:
    """A slow receiver, and the ids of the events that wait for it."""
    async with receiver(slowly) as hooks:
        async with running(database, webhook_allowed_networks=[HERE]) as api:
            service = await client(api)
            await endpoint(service, hooks.url)
            await happen(api, *[EventType.ACCOUNT_CREATED] * MANY)
            expected = [event["id"] for event in await feed(service)]
        assert len(expected) == MANY
        yield hooks, expected


def have(hooks: Receiver, enough: int) -> bool:
    return len(set(hooks.ids)) >= enough


def bodies(hooks: Receiver) -> dict[str, set[bytes]]:
    found: dict[str, set[bytes]] = {}
    for one in hooks.received:
        found.setdefault(one.id, set()).add(one.body)
    return found


async def test_a_killed_server_loses_no_event_and_repeats_carry_the_same_id(
    environment: dict[str, str], database: str, tmp_path: Path
) -> None:
    async with waiting(database) as (hooks, expected):
        for enough in (10, 20):  # dies twice
            with process(tmp_path, environment, "serve", "--port", str(free_port())) as server:
                await eventually(partial(have, hooks, enough))
                server.kill()
                assert server.wait() == -signal.SIGKILL
        assert len(set(hooks.ids)) < MANY

        with process(tmp_path, environment, "serve", "--port", str(free_port())):
            await eventually(partial(have, hooks, MANY))

    assert set(hooks.ids) == set(expected)
    assert len(hooks.ids) > MANY  # what was under way came again
    assert {event: json.loads(*sent)["id"] for event, sent in bodies(hooks).items()} == {one: one for one in expected}


async def test_a_worker_that_stood_still_past_its_lease_repeats_what_it_was_at_and_disturbs_nothing(
    database: str,
) -> None:
    """Another one took over meanwhile; the receiver knows the repeat by its id, and the log has both."""
    settings = {"webhook_allowed_networks": [HERE]}
    async with running(database, **settings) as first, running(database, **settings) as second, receiver() as hooks:
        hooks.behave = gate = Gate()
        with frozen() as clock:
            own = await endpoint(await client(first), hooks.url)
            await happen(first, EventType.ACCOUNT_CREATED)
            standing = asyncio.create_task(deliver(first))
            await gate.reached.wait()
            await deliver(second)
            assert len(hooks.received) == 1  # it is leased

            clock.shift(timedelta(seconds=4 * first.settings.webhook_timeout_seconds))
            hooks.behave = answers(200)
            await deliver(second)
            gate.status = 500
            gate.opened.set()
            await standing
            await deliver(second)

        assert len(hooks.received) == 2
        assert len(set(hooks.ids)) == 1
        assert [one["status"] for one in await own.attempts()] == [200, 500]


async def test_a_stopped_server_ends_by_itself_and_the_next_one_sends_only_the_rest(
    environment: dict[str, str], database: str, tmp_path: Path
) -> None:
    async with waiting(database) as (hooks, expected):
        with process(tmp_path, environment, "serve", "--port", str(free_port())) as server:
            await eventually(partial(have, hooks, 10))
            server.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.wait, 10) in ENDED
        assert len(hooks.received) < MANY

        with process(tmp_path, environment, "worker") as worker:
            await eventually(partial(have, hooks, MANY))
            worker.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(worker.wait, 10) in ENDED

    assert sorted(hooks.ids) == sorted(expected)
    log = logs_of(tmp_path)
    assert "webhook_settled" in log
    for trouble in ("Traceback", "exception", "worker_failed", "webhooks_failed"):
        assert trouble not in log


async def test_whatever_the_owner_does_while_two_workers_deliver_every_event_arrives(database: str) -> None:
    """Pausing, resuming, moving, rotating and redelivering, with a receiver that fails now and then."""
    settings = {"webhook_allowed_networks": [HERE]}
    turns = cycle([answers(204), answers(500), answers(204), answers(410), answers(204)])

    async def moody(got: Received, writer: asyncio.StreamWriter) -> None:
        await next(turns)(got, writer)

    async def work(api: Api, done: asyncio.Event) -> None:
        while not done.is_set():
            await deliver(api)
            await asyncio.sleep(0.01)

    async def meddle(own: Endpoint, url: str) -> set[int]:
        calls: list[tuple[str, str, Any]] = [
            ("PUT", "/status", {"status": "paused"}),
            ("POST", "/redeliveries", {"since": "2020-01-01T00:00:00Z"}),
            ("PUT", "/status", {"status": "active"}),
            ("PUT", "", {"url": f"{url}/moved"}),
            ("POST", "/secret", None),
        ]
        made = [await own.service.call(method, f"{own.path}{step}", json=body) for method, step, body in calls * 4]
        return {answer.status_code for answer in made}

    async with running(database, **settings) as first, running(database, **settings) as second, receiver() as hooks:
        hooks.behave = moody
        service, done = await client(first), asyncio.Event()
        owns = [await endpoint(service, hooks.url) for _ in range(2)]
        workers = [asyncio.create_task(work(api, done)) for api in (first, second)]
        writing = asyncio.create_task(happen(first, *[EventType.ACCOUNT_CREATED] * 30))
        answered = await asyncio.gather(*(meddle(own, hooks.url) for own in owns * 2))
        assert set().union(*answered) == {200, 202}
        await writing
        done.set()
        await asyncio.gather(*workers)
        hooks.behave = answers(204)
        for own in owns:
            await own.set_status("paused")
            await own.set_status("active")
        await deliver(first)

        expected = [event["id"] for event in await feed(service)]
        for own in owns:
            taken = [one["event_id"] for one in await everything_delivered(own)]
            assert set(taken) == set(expected)


async def everything_delivered(own: Endpoint) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] | None = {}
    while cursor is not None:
        page = (await own.service.get(f"{own.path}/attempts", outcome="delivered", limit=100, **cursor)).json()
        found += page["items"]
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    return found
