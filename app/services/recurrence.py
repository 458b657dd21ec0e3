"""Messages that a provider may send again in the same words, with a new meaning: a repeat, a replay, or news?"""

from dataclasses import replace
from uuid import UUID

import structlog

from app.core import ids
from app.gateways.marketplaces.base import CannotTell, Marketplace, Notice
from app.models.cloud_accounts import CloudStatus, Effect, NoticeState
from app.repositories.unit_of_work import UnitOfWork, Work
from app.services.subscriptions import Subscriptions

# What ends the turn of such a message, and what the provider says of the subscription when it is news.
_OTHER = {Effect.FROZEN: Effect.UNFROZEN, Effect.UNFROZEN: Effect.FROZEN}
_CONFIRMED = {Effect.FROZEN: CloudStatus.FROZEN, Effect.UNFROZEN: CloudStatus.ACTIVE}

log = structlog.get_logger()


class Recurrence:
    def __init__(self, uow: UnitOfWork, *, subscriptions: Subscriptions) -> None:
        self.uow = uow
        self.subscriptions = subscriptions

    async def numbered(self, provider: str, notice: Notice) -> Notice:
        """Until a message of the other kind the same words are a repeat; behind one they may be news: they get the
        number of their turn.
        """
        if not notice.recurs or notice.effect not in _OTHER:
            return notice
        async with self.uow.reading() as uow:
            _, turn = await _about(uow, provider, notice, _OTHER[notice.effect])
        return replace(notice, dedup=f"{notice.dedup}#{turn}") if turn else notice

    async def set_doubtful_aside(self, market: Marketplace, notice: Notice, notice_id: UUID) -> bool:
        """Words that were acted on before may be a replay: unless the provider confirms them, staff decides."""
        if not notice.recurs or notice.effect not in _OTHER:
            return False
        async with self.uow.reading() as uow:
            # The same call at the same time may have applied this very message: it does not doubt itself.
            found, before = await _about(uow, market.name, notice, notice.effect, besides=notice_id)
        if found is None or not before:
            return False
        try:
            facts = await market.look_up(await self.subscriptions.get(found))
        except CannotTell as failure:
            log.warning("marketplace_doubtful", notice=ids.show(ids.CLOUD_NOTICE, notice_id), why=failure.why)
        else:
            if facts.status is _CONFIRMED[notice.effect]:
                return False
        await self.subscriptions.set_aside(notice_id, NoticeState.DOUBTFUL)
        return True


async def _about(
    uow: Work, provider: str, notice: Notice, effect: Effect, *, besides: UUID | None = None
) -> tuple[UUID | None, int]:
    """The subscription that the message is about, and how many applied messages had the effect on it."""
    found = await uow.cloud_accounts.named(provider, notice.keys, strong=True)
    return (found[0], await uow.marketplace.count(found[0], effect, besides=besides)) if found else (None, 0)
