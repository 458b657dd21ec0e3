"""Loops around the workers: inside the server by default, or a process of their own (`python -m app worker`)."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from app.core.errors import Unavailable
from app.core.telemetry import WORKER_FAILURES
from app.workers.marketplace import MarketplaceWorker
from app.workers.outbox import OutboxWorker
from app.workers.real_name import RealNameWorker
from app.workers.upkeep import Upkeep
from app.workers.webhooks import WebhookWorker

_CHANGES_EVERY, _MEASURE_EVERY, _CATCH_UP_EVERY, _FORGET_EVERY = 5.0, 15.0, 20.0, 300.0  # seconds
_AWAY_PAUSE = 2.0  # seconds to leave an unreachable database alone

log = structlog.get_logger()


class Runner:
    """Runs until it is stopped. Nothing that a worker raises ends its loop."""

    def __init__(
        self,
        outboxes: list[OutboxWorker],
        webhooks: WebhookWorker,
        real_name: RealNameWorker,
        marketplace: MarketplaceWorker,
        upkeep: Upkeep,
        *,
        poll_seconds: float,
    ) -> None:
        self._outboxes = outboxes
        self._webhooks = webhooks
        self._real_name = real_name
        self._marketplace = marketplace
        self.upkeep = upkeep
        self._poll = poll_seconds
        self._stopping = asyncio.Event()
        self._new_messages = [asyncio.Event() for _ in outboxes]
        self._new_events, self._new_deliveries, self._submitted = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def wake(self) -> None:
        """There are new messages: do not wait for the next look."""
        for event in self._new_messages:
            event.set()

    def wake_for_events(self) -> None:
        """There are new events; one of them may be a submission."""
        self._new_events.set()
        self._submitted.set()

    def start(self) -> None:
        loops = [
            self._loop(outbox.deliver_due, self._poll, wake)
            for outbox, wake in zip(self._outboxes, self._new_messages, strict=True)
        ]
        loops += [
            self._loop(self._spread, self._poll, self._new_events),
            self._loop(self._webhooks.deliver_due, self._poll, self._new_deliveries),
            self._loop(self._real_name.ask_due, self._poll, self._submitted),
            self._loop(self._marketplace.catch_up, _CATCH_UP_EVERY),
            self._loop(self.upkeep.apply_due_changes, _CHANGES_EVERY),
            self._loop(self.upkeep.measure, _MEASURE_EVERY),
            self._loop(self.upkeep.forget, _FORGET_EVERY),
        ]
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def stop(self) -> None:
        """Finish what is under way, take nothing new."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        await self._webhooks.finish()

    async def run_until(self, stop: asyncio.Event) -> None:
        self.start()
        await stop.wait()
        await self.stop()

    async def _spread(self) -> int:
        found = await self._webhooks.spread()
        if found:
            self._new_deliveries.set()
        return found

    async def _loop(self, work: Callable[[], Awaitable[int]], every: float, wake: asyncio.Event | None = None) -> None:
        while not self._stopping.is_set():
            if wake is not None:
                wake.clear()
            pause = every
            try:
                if await work():
                    continue  # there may be more
            except Unavailable:
                WORKER_FAILURES.labels(work.__qualname__, "unavailable").inc()
                log.warning("worker_waits", work=work.__qualname__, why="database unavailable")
                pause = _AWAY_PAUSE  # soon, also where a pass is due every few minutes only
            except Exception:
                WORKER_FAILURES.labels(work.__qualname__, "error").inc()
                log.exception("worker_failed", work=work.__qualname__)
                pause = _AWAY_PAUSE  # soon, also where a pass is due every few minutes only
            await self._pause(pause, wake)

    async def _pause(self, seconds: float, wake: asyncio.Event | None) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (self._stopping, wake) if event is not None]
        _, pending = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
