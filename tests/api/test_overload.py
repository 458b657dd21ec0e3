"""More than a process takes on, and calls that are refused anyway: cheap, honest, and over when it is over."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
import time_machine
from sqlalchemy import event

from app.core.clock import now
from tests.support.api import Api

JSON = {"Content-Type": "application/json"}
PATH = "/v1/usernames/anybody"


@contextmanager
def statements(api: Api) -> Iterator[list[str]]:
    """What the service asks its database meanwhile."""
    seen: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        seen.append(statement)

    engine = api.container.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.mark.settings(max_requests=2)
async def test_beyond_its_number_of_requests_it_says_that_it_is_busy(api: Api) -> None:
    done = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        await done.wait()
        yield b'{"identifier": "nobody"}'

    held = [asyncio.create_task(api.client.post("/v1/login-codes", content=body(), headers=JSON)) for _ in range(2)]
    await asyncio.sleep(0.1)

    with statements(api) as asked:
        refused = await api.client.get(PATH)
    alive, ready = await api.client.get("/livez"), await api.client.get("/readyz")
    done.set()
    answers = await asyncio.gather(*held)

    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "busy", "1")
    assert asked == []
    assert (alive.status_code, ready.status_code) == (200, 200)
    assert [answer.status_code for answer in answers] == [202, 202]
    assert (await api.client.get(PATH)).status_code == 200


@pytest.mark.settings(anonymous_requests_per_minute=3)
async def test_a_flood_of_refused_calls_asks_the_database_once(api: Api) -> None:
    assert [(await api.client.get(PATH)).status_code for _ in range(4)] == [200, 200, 200, 429]

    with statements(api) as asked:
        answers = [await api.client.get(PATH) for _ in range(20)]

    assert {answer.status_code for answer in answers} == {429}
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"requests";q=3;w=60'}
    assert asked == []
    with time_machine.travel(now() + timedelta(seconds=61)):
        assert (await api.client.get(PATH)).status_code == 200


@pytest.mark.settings(anonymous_requests_per_minute=1)
async def test_a_flood_from_one_address_is_not_held_against_another(api: Api) -> None:
    assert [(await api.client.get(PATH)).status_code for _ in range(3)] == [200, 429, 429]

    transport = httpx.ASGITransport(app=api.app, client=("203.0.113.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="https://test") as another:
        assert (await another.get(PATH)).status_code == 200


@pytest.mark.settings(anonymous_requests_per_minute=1)
async def test_only_so_many_refused_addresses_are_remembered(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.limiting._REMEMBERED", 2)
    for number in range(4):
        transport = httpx.ASGITransport(app=api.app, client=(f"203.0.113.{number}", 1))
        async with httpx.AsyncClient(transport=transport, base_url="https://test") as one:
            assert [(await one.get(PATH)).status_code for _ in range(3)] == [200, 429, 429]

    assert list(api.container.limiting.refused) == ["203.0.113.2", "203.0.113.3"]


@pytest.mark.settings(anonymous_requests_per_minute=240, anonymous_requests_untold=10)
async def test_a_process_tells_the_database_of_several_calls_at_once_and_refuses_at_the_limit(api: Api) -> None:
    with statements(api) as asked:
        answers = [(await api.client.get(PATH)).status_code for _ in range(241)]
    told = [one for one in asked if "budgets" in one]

    assert answers == [200] * 240 + [200]  # the last one is not told yet
    assert len(told) == 240 // 4
    assert [(await api.client.get(PATH)).status_code for _ in range(4)] == [200, 200, 429, 429]


@pytest.mark.settings(anonymous_requests_per_minute=240, anonymous_requests_untold=10)
async def test_calls_that_were_not_told_are_forgotten_with_their_minute(api: Api) -> None:
    for minute in range(4):
        with time_machine.travel(now() + timedelta(seconds=61 * minute)), statements(api) as asked:
            assert [(await api.client.get(PATH)).status_code for _ in range(3)] == [200, 200, 200]
        assert not [one for one in asked if "budgets" in one]
