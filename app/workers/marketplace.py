"""What marketplaces sent and nobody acted on, what waited for a subscription that is known now, and who bought it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from app.core import ids
from app.core.clock import now
from app.core.errors import Unavailable
from app.gateways.marketplaces.base import Marketplace
from app.models.cloud_accounts import NoticeState
from app.repositories.unit_of_work import UnitOfWork
from app.services.intake import Intake, parse

_BATCH = 20
_LEFT_AFTER = timedelta(seconds=30)  # longer than any call takes: then who kept the message died

log = structlog.get_logger()


class MarketplaceWorker:
    def __init__(self, uow: UnitOfWork, *, providers: Mapping[str, Marketplace], intake: Intake) -> None:
        self.uow = uow
        self._providers = providers
        self._intake = intake

    async def catch_up(self) -> int:
        """Act on what is due; with how much that succeeded."""
        at = now()
        async with self.uow.reading() as uow:
            left = await uow.marketplace.left(at - _LEFT_AFTER, limit=_BATCH)
        async with self.uow.reading() as uow:
            findable = await uow.marketplace.findable(limit=_BATCH)
        applied = [await self._apply(notice_id) for notice_id in (*left, *findable)]
        return sum(applied) + await self._identify(at)

    async def _apply(self, notice_id: UUID) -> bool:
        """One that cannot be applied must not stop the others."""
        async with self.uow.reading() as uow:
            row = await uow.marketplace.get(notice_id)
        market = self._providers.get(row.provider) if row else None
        try:
            if row is None or market is None:
                raise LookupError  # of a provider that is switched off
            await self._intake.apply(market, parse(market, row), notice_id)
        except Unavailable:
            raise
        except (LookupError, ValueError):  # or in a form that is not read any more: for staff
            log.warning("marketplace_unreadable", notice=ids.show(ids.CLOUD_NOTICE, notice_id))
            await self._intake.subscriptions.set_aside(notice_id, NoticeState.IGNORED)
        except Exception:
            log.exception("marketplace_failed", notice=ids.show(ids.CLOUD_NOTICE, notice_id))
            return False
        return True

    async def _identify(self, at: datetime) -> int:
        async with self.uow.reading() as uow:
            due = [
                row
                for row in await uow.cloud_accounts.unidentified(at, limit=_BATCH)
                if row.provider in self._providers
            ]
        for row in due:
            await self._intake.identify(self._providers[row.provider], row.id)
        return len(due)
