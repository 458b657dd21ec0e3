"""Applying messages with all that follows: those that waited for them, and the question who the buyer is."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from app.core import ids
from app.core.callers import Staff
from app.core.clock import now
from app.core.crypto import digest
from app.gateways.marketplaces.base import CannotTell, Facts, Marketplace, Notice, Subscription, instance_key
from app.models.cloud_accounts import CloudNotice, CloudStatus, Effect
from app.repositories.unit_of_work import UnitOfWork, retried
from app.services.recurrence import Recurrence
from app.services.subscriptions import Subscriptions

LOOK_UP = "look_up"  # the channel of answers to our own questions
_SAYS = {
    CloudStatus.PENDING: Effect.REGISTERED,
    CloudStatus.ACTIVE: Effect.ACTIVATED,
    CloudStatus.FROZEN: Effect.FROZEN,
    CloudStatus.ENDED: Effect.CLOSED,
}
_PAUSES = (60, 300, 1800, 7200, 21_600)  # seconds between questions who bought something; then always the last

log = structlog.get_logger()


class Intake:
    """Shared by calls of marketplaces, the worker, and holders who type what they bought."""

    def __init__(self, uow: UnitOfWork, *, subscriptions: Subscriptions, recurrence: Recurrence) -> None:
        self.uow = uow
        self.subscriptions = subscriptions
        self.recurrence = recurrence

    async def apply(
        self, market: Marketplace, notice: Notice, notice_id: UUID, *, staff: Staff | None = None
    ) -> UUID | None:
        """Act on a kept message, and on those that waited for it; the subscription that it is about.

        `staff`: who had it applied again, and answers for it where it was doubtful.
        """
        if staff is None and await self.recurrence.set_doubtful_aside(market, notice, notice_id):
            return None
        found = await self.subscriptions.apply(market.name, notice, notice_id, staff=staff)
        if found is None:
            return None
        while waiting := await self.subscriptions.waiting_for(found):
            applied = [await self._apply_kept(market, one) for one in waiting]
            if not any(applied):
                break
        if (await self.subscriptions.get(found)).account_number is None:
            await self.identify(market, found)
        return found

    async def _apply_kept(self, market: Marketplace, notice_id: UUID) -> UUID | None:
        """One that waited."""
        async with self.uow.reading() as uow:
            row = await uow.marketplace.get(notice_id)
        if row is None:
            return None
        notice = parse(market, row)
        if await self.recurrence.set_doubtful_aside(market, notice, notice_id):
            return None
        return await self.subscriptions.apply(market.name, notice, notice_id)

    async def identify(self, market: Marketplace, cloud_account_id: UUID) -> None:
        """Ask the provider who bought it; when it cannot tell, the worker asks again later."""
        subscription = await self.subscriptions.get(cloud_account_id)
        try:
            facts = await market.look_up(subscription)
        except CannotTell as failure:
            log.warning("buyer_unknown", cloud_account=ids.show(ids.CLOUD_ACCOUNT, cloud_account_id), why=failure.why)
            facts = Facts()
        if facts.account_number is not None:
            await self.learn(market, subscription.instance_id, facts, effect=Effect.REGISTERED)
        else:
            await self._ask_later(cloud_account_id)

    async def prove(self, market: Marketplace, instance_id: str) -> UUID | None:
        """A subscription that no message told of, by the provider's own word; None if it knows none.

        Raises CannotTell.
        """
        keys = (instance_key(instance_id),)
        facts = await market.look_up(Subscription(instance_id, None, CloudStatus.PENDING, keys))
        if facts.account_number is None or facts.status is None:
            return None
        return await self.learn(market, instance_id, facts, effect=_SAYS[facts.status])

    async def learn(self, market: Marketplace, instance_id: str, facts: Facts, *, effect: Effect) -> UUID | None:
        """The provider's answer to a question of ours is a message like any other."""
        body = {
            "instance_id": instance_id,
            "account_number": facts.account_number,
            "product": facts.product,
            "keys": list(facts.keys),
            "effect": effect,
        }
        at = now()
        notice = _answer(body, at)
        kept = await self.subscriptions.keep(market.name, notice, until=at)
        assert kept is not None  # noqa: S101 - nothing that is accepted once
        return await self.subscriptions.apply(market.name, notice, kept.id)

    @retried
    async def _ask_later(self, cloud_account_id: UUID) -> None:
        async with self.uow() as uow:
            row = await uow.cloud_accounts.get(cloud_account_id)
            if row is not None and row.ask_at is not None:
                pause = timedelta(seconds=_PAUSES[min(row.asked, len(_PAUSES) - 1)])
                await uow.cloud_accounts.ask_later(row.id, asked=row.asked, at=now() + pause)


def parse(market: Marketplace, row: CloudNotice) -> Notice:
    """What a kept message says. Raises ValueError."""
    if row.channel == LOOK_UP:
        return _answer(row.body, row.event_at)
    return market.parse(row.channel, row.body, row.event_at)


def _answer(body: Mapping[str, Any], at: datetime) -> Notice:
    instance_id = body["instance_id"]
    said = digest(repr(sorted(body.items()))).hex()
    return Notice(
        channel=LOOK_UP,
        type=LOOK_UP,
        effect=Effect(body["effect"]),
        dedup=f"{LOOK_UP}:{instance_id}:{said}",
        at=at,
        body=body,
        keys=tuple(body["keys"]),
        account_number=body["account_number"],
        instance_id=instance_id,
        product=body["product"],
        opens=True,
    )
