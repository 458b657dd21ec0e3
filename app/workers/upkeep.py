"""What happens by the clock: waiting changes take effect, what expired is forgotten, the backlog is measured."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from app.core.clock import now
from app.core.telemetry import (
    EVENTS_UNPLACED,
    MARKETPLACE_AGE,
    MARKETPLACE_BACKLOG,
    MEASURED,
    OUTBOX_AGE,
    OUTBOX_WAITING,
    WEBHOOK_ENDPOINTS,
    WEBHOOKS_AGE,
    WEBHOOKS_WAITING,
)
from app.repositories.unit_of_work import UnitOfWork, Work, retried
from app.services.data_keys import DataKeyService
from app.services.waiting_changes import WaitingChanges

_TRAILS = 100  # closed accounts in one transaction

log = structlog.get_logger()


class Upkeep:
    def __init__(
        self,
        uow: UnitOfWork,
        waiting: WaitingChanges,
        data_keys: DataKeyService,
        *,
        retention: timedelta,
        known_address: timedelta,
        events_kept: timedelta,
    ) -> None:
        self.uow = uow
        self._waiting = waiting
        self._data_keys = data_keys
        self._retention = retention
        self._known_address = known_address
        self._events_kept = events_kept

    async def apply_due_changes(self) -> int:
        return await self._waiting.apply_due()

    async def measure(self) -> int:
        """Set the gauges; nothing is done, so the answer is 0."""
        async with self.uow.reading() as uow:
            waiting, oldest = await uow.outbox.backlog()
            deliveries, due = await uow.webhooks.backlog()
            active, failing, paused = await uow.webhooks.states()
            unplaced = await uow.events.unplaced_since()
            notices = await uow.marketplace.backlog()
        OUTBOX_WAITING.set(waiting)
        OUTBOX_AGE.set(_age(oldest))
        EVENTS_UNPLACED.set(_age(unplaced))
        WEBHOOKS_WAITING.set(deliveries)
        WEBHOOKS_AGE.set(_age(due))
        for state, number in (("active", active - failing), ("failing", failing), ("paused", paused)):
            WEBHOOK_ENDPOINTS.labels(state).set(number)
        for state, (count, first) in notices.items():
            MARKETPLACE_BACKLOG.labels(state).set(count)
            MARKETPLACE_AGE.labels(state).set(_age(first))
        MEASURED.set(now().timestamp())
        return 0

    async def forget(self) -> int:
        """Erase undelivered codes past their time and delete what expired; how many rows."""
        at = now()
        expired, deleted = await self._forget_expired(at)
        deleted["events"] = await self._run(lambda uow: uow.events.forget(at - self._events_kept))
        deleted["closed_accounts"] = await self._run(lambda uow: uow.erasure.erase_trails(at, limit=_TRAILS))
        deleted["real_names"] = await self._run(lambda uow: uow.real_name.erase_due(at, limit=_TRAILS))
        await self._data_keys.reload()
        deleted["resealed"] = await self._data_keys.reseal() if self._data_keys.vault.ready else 0
        if forgotten := {table: count for table, count in deleted.items() if count}:
            log.info("forgotten", **forgotten)
        return expired

    @retried
    async def _forget_expired(self, at: datetime) -> tuple[int, dict[str, int]]:
        async with self.uow() as uow:
            expired = await uow.outbox.expire(at)
            return expired, await uow.cleanup.forget(
                at=at, before=at - self._retention, sessions_before=at - self._known_address
            )

    @retried
    async def _run(self, work: Callable[[Work], Awaitable[int]]) -> int:
        async with self.uow() as uow:
            return await work(uow)


def _age(since: datetime | None) -> float:
    """Seconds; 0 for what is not due yet, and for nothing."""
    return max(0.0, (now() - since).total_seconds()) if since else 0.0
