"""Waiting for events: answered when one is there, wherever it was written; nothing is held meanwhile."""

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core import ids
from app.core.scopes import Scope
from tests.races.processes import ROOT, eventually, free_port, is_ready, process
from tests.support.api import Api, Holder, running
from tests.support.services import ServiceClient, client, feed, staff

LONG = 20  # seconds; the most that may be asked for
SOON = 3.0  # seconds: far less than LONG, far more than an answer takes
Waiting = asyncio.Task[httpx.Response]


async def begun(service: ServiceClient, count: int = 1, wait: int = LONG) -> list[Waiting]:
    """Requests that have looked, found nothing, and wait."""
    after = (await service.get("/events", limit=1000)).json()["next_cursor"]
    tasks = [asyncio.create_task(service.get("/events", after=after, wait=wait)) for _ in range(count)]
    await asyncio.sleep(0.3)
    assert not any(task.done() for task in tasks), [task.result().text for task in tasks if task.done()]
    return tasks


async def answers(tasks: list[Waiting], within: float = SOON) -> list[list[dict[str, Any]]]:
    """The events that each was answered with."""
    async with asyncio.timeout(within):
        found = [await task for task in tasks]
    assert [answer.status_code for answer in found] == [200] * len(found)
    return [answer.json()["items"] for answer in found]


async def set_status(service: ServiceClient, holder: Holder, status: str) -> None:
    answer = await service.put(f"/accounts/{holder.account_id}/status", {"status": status}, headers=staff())
    assert answer.status_code == 200, answer.text


async def test_who_waits_is_told_at_once_by_the_same_process(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.events._LOOK_EVERY", LONG)  # so that nobody just happens to look
    service, holder = await client(api), await api.register()
    waiting = await begun(service, 3)

    await set_status(service, holder, "suspended")

    told = await answers(waiting, within=1)
    assert [[event["type"] for event in events] for events in told] == [["account.suspended"]] * 3


async def test_who_waits_is_told_of_what_another_process_wrote(api: Api) -> None:
    service, holder = await client(api), await api.register()
    async with running(api.settings.database_url.get_secret_value()) as other:
        elsewhere = await client(other)
        waiting = await begun(service)

        await set_status(elsewhere, holder, "suspended")

        assert [[event["type"] for event in events] for events in await answers(waiting)] == [["account.suspended"]]


async def test_who_waits_in_vain_gets_an_empty_page_when_the_time_is_over(api: Api) -> None:
    service = await client(api, Scope.EVENTS)
    await api.register()
    page = (await service.get("/events")).json()

    started = time.monotonic()
    answer = await service.get("/events", after=page["next_cursor"], wait=1)

    assert 1 <= time.monotonic() - started < SOON
    assert answer.json() == {"items": [], "next_cursor": page["next_cursor"]}


async def test_an_event_of_which_the_transaction_failed_wakes_nobody(api: Api) -> None:
    service, holder = await client(api), await api.register()
    waiting = await begun(service, wait=1)

    answer = await service.put(f"/accounts/{holder.account_id}/status", {"status": "suspended"}, headers={})

    assert answer.status_code == 422
    assert await answers(waiting) == [[]]


async def test_who_has_events_to_read_does_not_wait(api: Api) -> None:
    service = await client(api, Scope.EVENTS)
    await api.register()

    async with asyncio.timeout(SOON):
        answer = await service.get("/events", wait=LONG)

    assert len(answer.json()["items"]) == 1


@pytest.mark.parametrize("wait", [-1, 21, "long"])
async def test_a_wait_out_of_bounds_is_refused(api: Api, wait: object) -> None:
    answer = await (await client(api, Scope.EVENTS)).get("/events", wait=wait)

    assert answer.status_code == 422
    assert [one["pointer"] for one in answer.json()["errors"]] == ["wait"]


@pytest.mark.settings(database_pool_size=1)
async def test_twenty_who_wait_hold_no_connection(api: Api) -> None:
    service, holder = await client(api), await api.register()
    waiting = await begun(service, 20)

    async with asyncio.timeout(SOON):
        for status in ("suspended", "active", "suspended", "active"):
            await set_status(service, holder, status)

    told = await answers(waiting)
    assert all(events for events in told)
    everything = await feed(service)
    assert all(events == everything[1 : 1 + len(events)] for events in told)


async def test_a_client_disabled_while_it_waits_is_told_no_more(api: Api) -> None:
    service, other, holder = await client(api, Scope.EVENTS), await client(api), await api.register()
    (waiting,) = await begun(service)

    await disable(api, service)
    await set_status(other, holder, "suspended")

    async with asyncio.timeout(LONG + SOON):
        answer = await waiting
    assert "account.suspended" not in answer.text
    assert answer.status_code == 401


async def disable(api: Api, service: ServiceClient) -> None:
    client_id = ids.read(ids.CLIENT, service.client_id)
    assert client_id is not None
    await api.container.clients.disable(client_id=client_id)


# --- The process ends -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_a_server_that_ends_answers_who_waits(database: str, tmp_path: Path, end: signal.Signals) -> None:
    async with running(database) as api:
        service = await client(api, Scope.EVENTS)
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    environment = {"PYTHONPATH": str(ROOT), "GUANCE_DATABASE_URL": database}
    with process(tmp_path, environment, "serve", "--port", str(port)) as server:
        await eventually(lambda: is_ready(base))
        async with httpx.AsyncClient(base_url=base, headers=service.auth, timeout=LONG + 5) as http:
            page = (await http.get("/internal/v1/events")).json()
            asked = {"after": page["next_cursor"], "wait": LONG}
            waiting = [asyncio.create_task(http.get("/internal/v1/events", params=asked)) for _ in range(5)]
            await asyncio.sleep(0.5)
            assert not any(task.done() for task in waiting)

            started = time.monotonic()
            server.send_signal(end)

            assert await answers(waiting, within=5) == [[]] * 5
            await asyncio.to_thread(server.wait, 10)
    assert time.monotonic() - started < 5
    assert server.returncode in (0, -end, 128 + end)  # a signal that was heeded; the shell's way to say so
