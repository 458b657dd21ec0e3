"""A process that dies at the worst moment loses nothing: what was committed is delivered by the next one."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.races.processes import ROOT, eventually, free_port, is_ready, logs_of, process
from tests.support.api import running

PHONE = "+8613800138000"


@pytest.fixture
def environment(database: str, tmp_path: Path) -> dict[str, str]:
    """All that a process of ours is told; nothing of the tests' own environment."""
    return {
        "PYTHONPATH": str(ROOT),
        "GUANCE_DATABASE_URL": database,
        "GUANCE_WORKER_IN_SERVER": "false",
        "GUANCE_DEV_MESSAGES_FILE": str(tmp_path / "messages.jsonl"),
        "GUANCE_ARGON2_MEMORY_KIB": "8",
        "GUANCE_OUTBOX_POLL_SECONDS": "0.1",
        "GUANCE_OUTBOX_LEASE_SECONDS": "2",
    }


async def test_a_code_outlives_the_server_that_promised_it(environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    with process(tmp_path, environment, "serve", "--port", str(port)) as server:
        base = f"http://127.0.0.1:{port}"
        await eventually(lambda: is_ready(base))
        async with httpx.AsyncClient(base_url=base) as client:
            body = {"username": "acme", "email": "li@example.com", "company_name": "Northwind Trading"}
            started = await client.post("/v1/registrations", json=body)
        assert started.status_code == 202
        server.kill()
        assert server.wait() == -9
    assert delivered(tmp_path) == []

    with process(tmp_path, environment, "worker"):
        # The log line follows the delivery: a worker stopped between the two has written none.
        await eventually(lambda: delivered(tmp_path) and "registration_code" in logs_of(tmp_path))

    (message,) = delivered(tmp_path)
    assert (message["to"], message["template"]) == ("li@example.com", "registration_code")
    code = message["params"]["code"]
    assert not re.search(rf"(?<![\w.]){code}(?!\w)", logs_of(tmp_path))
    async with running(environment["GUANCE_DATABASE_URL"]) as api:
        confirmed = await api.client.post(f"/v1/registrations/{started.json()['id']}/confirm", json={"code": code})
    assert confirmed.status_code == 201


async def test_what_a_dead_worker_had_taken_another_delivers_under_the_same_id(
    environment: dict[str, str], tmp_path: Path
) -> None:
    async with running(environment["GUANCE_DATABASE_URL"]) as api:
        await api.reach_confirm(holder := await api.register(), PHONE, credential="phone", proves=holder.email)
    async with gateway() as (url, received, answer):
        environment |= {"GUANCE_SMS_NOTIFIER": "http", "GUANCE_SMS_HTTP_URL": url}
        with process(tmp_path, environment, "worker") as worker:
            await eventually(lambda: received)
            worker.kill()
            assert worker.wait() == -9
        answer.set()
        with process(tmp_path, environment, "worker"):
            await eventually(lambda: received[1:])

    first, second = received
    assert first == second
    assert first["to"] == PHONE


@asynccontextmanager
async def gateway() -> AsyncIterator[tuple[str, list[dict[str, Any]], asyncio.Event]]:
    """An SMS gateway: its URL, the messages it was sent, and the event from which on it answers."""
    received: list[dict[str, Any]] = []
    answering = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split()[0])
        received.append(json.loads(await reader.readexactly(length)))
        if answering.is_set():
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            await writer.drain()
        else:
            await reader.read()  # until the worker is gone
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/sms", received, answering
    finally:
        server.close()


def delivered(folder: Path) -> list[dict[str, Any]]:
    file = folder / "messages.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
