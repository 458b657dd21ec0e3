"""The loops around the workers: woken at once, stopped in good order, ended by nothing else."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import DatabaseUnavailable
from app.models.verification import Channel
from app.notifiers.base import Message
from app.workers.outbox import OutboxWorker
from app.workers.runner import Runner
from app.workers.upkeep import Upkeep
from tests.support.api import Api, running
from tests.workers import Gateway, SlowGateway, rows, worker, write

SECONDS = 10
NEVER = 3600.0  # seconds: nothing in these tests happens because a pause is over


class SignallingGateway(Gateway):
    """Says when it was sent something."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = asyncio.Event()

    async def send(self, message: Message) -> None:
        self.arrived.set()


def runner_of(api: Api, *outboxes: OutboxWorker) -> Runner:
    month = timedelta(days=30)
    uow, waiting = api.container.profile.uow, api.container.waiting
    upkeep = Upkeep(uow, waiting, api.container.data_keys, retention=month, known_address=month, events_kept=month)
    return Runner(
        list(outboxes),
        api.container.webhook_worker,
        api.container.real_name_worker,
        api.container.marketplace_worker,
        upkeep,
        poll_seconds=NEVER,
    )


@asynccontextmanager
async def going(runner: Runner) -> AsyncIterator[None]:
    runner.start()
    try:
        async with asyncio.timeout(SECONDS):
            yield
    finally:
        await runner.stop()


async def test_a_message_is_delivered_at_once_and_not_at_the_next_look(
    api: Api, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "messages.jsonl"
    settings: dict[str, Any] = {"worker_in_server": True, "outbox_poll_seconds": NEVER, "dev_messages_file": file}
    async with running(database_url, **settings) as served:
        # Several: the first may meet the look that the server begins with.
        for number in range(1, 6):
            body = {"username": f"holder{number}", "email": f"{number}@example.com", "company_name": "Northwind"}
            assert (await served.client.post("/v1/registrations", json=body)).status_code == 202
            await asyncio.to_thread(_wait_for_lines, file, number)


def _wait_for_lines(file: Path, count: int) -> None:
    deadline = time.monotonic() + SECONDS
    while not file.exists() or len(file.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, "nobody woke the worker"
        time.sleep(0.01)


async def test_a_slow_text_message_gateway_does_not_delay_email(api: Api) -> None:
    await write(api, to="+8613800138000")
    await write(api, to="li@example.com")
    slow, quick = SlowGateway(), SignallingGateway()

    async with going(runner_of(api, worker(api, slow, Channel.SMS), worker(api, quick, Channel.EMAIL))):
        await slow.began.wait()
        await quick.arrived.wait()
        assert slow.attempts == []
        slow.finish.set()


async def test_stopping_finishes_what_is_under_way_and_takes_nothing_new(api: Api) -> None:
    await write(api)
    gateway = SlowGateway()
    runner = runner_of(api, worker(api, gateway))
    runner.start()
    await gateway.began.wait()
    await write(api)

    stopping = asyncio.create_task(runner.stop())
    _, unfinished = await asyncio.wait([stopping], timeout=0.1)
    assert unfinished == {stopping}
    gateway.finish.set()
    await asyncio.wait_for(stopping, SECONDS)

    assert [row.state for row in await rows(api)] == ["sent", "queued"]


class Stumbling(OutboxWorker):
    """Raises the first time."""

    trouble: Exception | None
    stumbled: asyncio.Event

    async def deliver_due(self) -> int:
        if self.trouble:
            trouble, self.trouble = self.trouble, None
            self.stumbled.set()
            raise trouble
        return await super().deliver_due()


@pytest.mark.parametrize("trouble", [RuntimeError("a bug"), DatabaseUnavailable()])
async def test_a_loop_that_failed_goes_on(api: Api, trouble: Exception) -> None:
    await write(api)
    gateway = SignallingGateway()
    stumbling = worker(api, gateway)
    stumbling.__class__ = Stumbling
    assert isinstance(stumbling, Stumbling)
    stumbling.trouble, stumbling.stumbled = trouble, asyncio.Event()
    runner = runner_of(api, stumbling)

    async with going(runner):
        await stumbling.stumbled.wait()
        runner.wake()
        await gateway.arrived.wait()


async def test_what_is_due_every_few_minutes_is_tried_again_within_seconds_when_it_failed(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.workers.runner._AWAY_PAUSE", 0.05)
    runner, passes, again = runner_of(api), 0, asyncio.Event()

    async def forget() -> int:
        nonlocal passes
        passes += 1
        if passes == 1:
            raise DatabaseUnavailable
        again.set()
        return 0

    monkeypatch.setattr(runner.upkeep, "forget", forget)
    async with going(runner):
        await again.wait()

    assert passes == 2
