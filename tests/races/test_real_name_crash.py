"""A worker that dies, or is late, between a provider's answer and the commit: one verdict, one state."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core import migrations
from app.core.database import open_engine
from app.gateways.real_name.base import Outcome, Verdict
from tests.races import create_database
from tests.races.processes import ROOT, logs_of, process
from tests.support.api import Api, frozen, running
from tests.support.real_names import ID_NUMBER, enterprise, gate, individual, status, submitted
from tests.support.services import client
from tests.workers.test_real_name import Register, calls, told, worker

ACTED = "SELECT action FROM activity WHERE action LIKE 'real_name%' ORDER BY id"
NOTICES = "SELECT count(*) FROM outbox_messages WHERE template LIKE 'real_name%'"
DECIDED = "SELECT count(*) FROM real_name_submissions WHERE status <> 'pending'"
WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND datname = current_database() AND query LIKE '%FROM accounts%'
"""


@pytest.fixture
async def database(postgres_url: str) -> str:
    """A migrated PostgreSQL database of the test's own: SQLite cannot stop a worker at its commit."""
    url = await create_database(postgres_url)
    await asyncio.to_thread(migrations.upgrade, url)
    return url


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(database)
    yield engine
    await engine.dispose()


@pytest.fixture
def environment(database: str, tmp_path: Path) -> dict[str, str]:
    """All that a process of ours is told; its provider is the sandbox."""
    return {
        "PYTHONPATH": str(ROOT),
        "GUANCE_DATABASE_URL": database,
        "GUANCE_DEV_MESSAGES_FILE": str(tmp_path / "messages.jsonl"),
        "GUANCE_OUTBOX_POLL_SECONDS": "0.1",
    }


@asynccontextmanager
async def nobody_commits(engine: AsyncEngine) -> AsyncIterator[None]:
    """Hold the account: whoever has a provider's answer waits before it writes it down."""
    async with engine.begin() as connection:
        await connection.execute(text("SELECT id FROM accounts FOR UPDATE"))
        yield


async def until(engine: AsyncEngine, sql: str) -> None:
    """Until the database says so: what another process does cannot be awaited."""
    async with asyncio.timeout(20), engine.connect() as connection:
        while not await connection.scalar(text(sql)):
            await connection.rollback()


async def end_lease(engine: AsyncEngine) -> None:
    """Let another worker take the submission: half a minute is too long for a test."""
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE real_name_submissions SET due_at = created_at"))


async def value(engine: AsyncEngine, sql: str) -> Any:
    async with engine.connect() as connection:
        return await connection.scalar(text(sql))


@pytest.mark.parametrize("verdict", ["verified", "rejected"])
async def test_a_worker_killed_between_answer_and_commit_leaves_it_to_the_next_one(
    environment: dict[str, str], engine: AsyncEngine, tmp_path: Path, verdict: str
) -> None:
    name = {"verified": "Acme Ltd.", "rejected": "Acme (mismatched)"}[verdict]
    async with running(environment["GUANCE_DATABASE_URL"]) as api:
        holder, service = await api.register(), await client(api)
        await submitted(api, holder, enterprise(name))

        async with nobody_commits(engine):
            with process(tmp_path, environment, "worker") as first:
                await until(engine, WAITING)
                first.kill()
                assert first.wait() == -9
        assert [call.outcome for call in await calls(api)] == [None]
        assert (await status(api, holder))["status"] == "pending"

        await end_lease(engine)
        with process(tmp_path, environment, "worker"):
            await until(engine, DECIDED)

        assert (await status(api, holder))["status"] == verdict
        lost, made = await calls(api)
        assert (lost.outcome, lost.finished_at) == (None, None)
        assert made.outcome == ("matched" if verdict == "verified" else "mismatched")
        assert lost.id != made.id
        assert await told(service) == ["submitted", verdict]
        async with engine.connect() as connection:
            acted = list(await connection.scalars(text(ACTED)))
        assert acted == ["real_name.submitted", f"real_name.{verdict}"]
        assert await value(engine, NOTICES) == 1
        held = 1 if verdict == "verified" else 0
        assert await value(engine, "SELECT used FROM real_name_documents") == held


async def test_two_workers_with_two_answers_write_one_verdict(
    environment: dict[str, str], engine: AsyncEngine, tmp_path: Path
) -> None:
    """Both have asked, both wait for the account: whoever lost its lease writes its answer down and no more."""
    async with running(environment["GUANCE_DATABASE_URL"]) as api:
        holder, service = await api.register(), await client(api)
        await submitted(api, holder, enterprise())

        with process(tmp_path, environment, "worker"), process(tmp_path, environment, "worker"):
            async with nobody_commits(engine):
                async with asyncio.timeout(40):
                    while await value(engine, WAITING) < 2:
                        await end_lease(engine)
            await until(engine, "SELECT count(*) > 1 FROM real_name_calls WHERE finished_at IS NOT NULL")
            await until(engine, DECIDED)

        assert (await gate(service, holder))["allowed"] is True
        assert await told(service) == ["submitted", "verified"]
        assert await value(engine, NOTICES) == 1


async def test_a_worker_killed_while_the_provider_thinks_leaves_it_to_the_next_one(
    environment: dict[str, str], engine: AsyncEngine, tmp_path: Path
) -> None:
    async with running(environment["GUANCE_DATABASE_URL"]) as api, tencent() as (url, asked, thinking):
        environment |= {
            "GUANCE_REAL_NAME_PROVIDERS": json.dumps({"individual": ["tencent"]}),
            "GUANCE_TENCENT_SECRET_ID": "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE",
            "GUANCE_TENCENT_SECRET_KEY": "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE",
            "GUANCE_TENCENT_PERSON_ENDPOINT": url,
        }
        holder = await api.register()
        await submitted(api, holder, individual())
        with process(tmp_path, environment, "worker") as first:
            await asked.wait()
            first.kill()
            assert first.wait() == -9
        thinking.set()
        await end_lease(engine)
        with process(tmp_path, environment, "worker"):
            await until(engine, DECIDED)

        assert (await status(api, holder))["status"] == "verified"
        assert [(one.outcome, one.request_id) for one in await calls(api)] == [(None, None), ("matched", "second-1")]
    assert ID_NUMBER not in logs_of(tmp_path)


@asynccontextmanager
async def tencent() -> AsyncIterator[tuple[str, asyncio.Event, asyncio.Event]]:
    """Tencent's eKYC: its URL, the event that it was asked, and the one from which on it answers: it all matches."""
    asked, answering = asyncio.Event(), asyncio.Event()
    body = json.dumps({"Response": {"Result": "0", "Description": "ok", "RequestId": "second-1"}}).encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length:")[2].split()[0]))
        asked.set()
        if answering.is_set():
            lines = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(lines.encode() + body)
            await writer.drain()
        else:
            await reader.read()  # until the worker is gone
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked, answering
    finally:
        server.close()


# (the late answer, the answer of the one that took over), the state that the latter leads to
LATE = [
    (Outcome.MATCHED, Outcome.MISMATCHED, "rejected"),
    (Outcome.MISMATCHED, Outcome.MATCHED, "verified"),
    (Outcome.MATCHED, Outcome.UNAVAILABLE, "pending"),
    (Outcome.NOT_FOUND, Outcome.MATCHED, "verified"),
    (Outcome.MATCHED, Outcome.NOT_FOUND, "pending"),
]


@pytest.mark.settings(access_token_seconds=10**8)
@pytest.mark.parametrize(("late", "taken", "state"), LATE)
async def test_a_late_answer_is_written_down_and_decides_nothing(
    api: Api, late: Outcome, taken: Outcome, state: str
) -> None:
    holder, service = await api.register(), await client(api)
    with frozen() as clock:
        await submitted(api, holder, enterprise())

        async def be_overtaken() -> None:
            clock.shift(timedelta(hours=1))
            assert await worker(api, first=Register(taken)).ask_due() == 1

        answer = Verdict(late, detail="late", request_id="first-1")
        await worker(api, first=Register(answer, during=be_overtaken)).ask_due()

        assert (await status(api, holder))["status"] == state
    first, second = await calls(api)
    assert (first.outcome, first.detail, first.request_id) == (late, "late", "first-1")
    assert second.outcome == taken
    assert await told(service) == ["submitted", *([] if state == "pending" else [state])]


@pytest.mark.settings(access_token_seconds=10**8)
async def test_a_late_answer_that_comes_while_the_next_one_asks_decides_nothing(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    began, finish = asyncio.Event(), asyncio.Event()

    async def hold_on() -> None:
        began.set()
        await finish.wait()

    with frozen() as clock:
        await submitted(api, holder, enterprise())
        first = asyncio.create_task(worker(api, first=Register(during=hold_on)).ask_due())
        await began.wait()
        clock.shift(timedelta(hours=1))

        async def be_late() -> None:
            finish.set()
            await first
            assert (await status(api, holder))["status"] == "pending"

        await worker(api, first=Register(Outcome.MISMATCHED, during=be_late)).ask_due()

        assert (await status(api, holder))["status"] == "rejected"
    assert await told(service) == ["submitted", "rejected"]
