"""Messages of providers become the state of cloud accounts: each is kept, then applied once, in the order of events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog

from app.core import ids
from app.core.callers import Staff
from app.core.clock import instant, now
from app.core.crypto import digest
from app.core.telemetry import MARKETPLACE_NOTICES
from app.gateways.marketplaces.base import Notice, Subscription
from app.models.accounts import Account, Status
from app.models.activity import Action
from app.models.cloud_accounts import CloudAccount, CloudAccountKey, CloudNotice, CloudStatus, Effect, NoticeState
from app.repositories.unit_of_work import UnitOfWork, Work, retried
from app.services.activity import record_staff
from app.services.matching import Ambiguous, findable_by, strong_keys, target
from app.services.settlement_effects import SettlementEffects
from app.services.standing import Fact, standing

_NEVER = (Effect.NONE, Effect.UNKNOWN)  # messages that say nothing about a subscription
_AT_ONCE = 100  # messages that waited for a subscription, in one go; the worker takes the rest

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Kept:
    """A message as it lies in the table. `fresh`: it had not come before."""

    id: UUID
    state: NoticeState
    fresh: bool


class Subscriptions:
    """Shared by all that learn something from a provider: calls of marketplaces, answers to our questions, staff."""

    def __init__(self, uow: UnitOfWork, *, settlement: SettlementEffects) -> None:
        self.uow = uow
        self.settlement = settlement

    @retried
    async def keep(self, provider: str, notice: Notice, *, once: bytes | None = None, until: datetime) -> Kept | None:
        """Write the message down before anything else. None when the call (`once`) had been accepted before."""
        row = _row(provider, notice)
        async with self.uow() as uow:
            if once is not None and not await uow.marketplace.accept_once(once, until=until):
                return None
            if await uow.marketplace.keep(row, findable_by(notice)):
                return Kept(row.id, NoticeState.RECEIVED, fresh=True)
            known = await uow.marketplace.kept(provider, row.dedup)
            assert known is not None  # noqa: S101 - its dedup was taken
            return Kept(known.id, NoticeState(known.state), fresh=False)

    async def apply(self, provider: str, notice: Notice, notice_id: UUID, *, staff: Staff | None = None) -> UUID | None:
        """Act on a kept message; the subscription that it is about, None if it has to wait or says nothing.

        `staff`: who had it applied again, for the trail of its account.
        """
        try:
            found = await self._apply(provider, notice, notice_id, staff)
        except Ambiguous:
            found = None
            await self.set_aside(notice_id, NoticeState.AMBIGUOUS)
            log.warning("marketplace_ambiguous", notice=ids.show(ids.CLOUD_NOTICE, notice_id))
        log.info(
            "marketplace_notice",
            provider=provider,
            channel=notice.channel,
            type=notice.type,
            effect=notice.effect,
            notice=ids.show(ids.CLOUD_NOTICE, notice_id),
            cloud_account=ids.show(ids.CLOUD_ACCOUNT, found) if found else None,
        )
        return found

    @retried
    async def set_aside(self, notice_id: UUID, state: NoticeState) -> None:
        """For the time being, or for staff; what was applied stays so."""
        async with self.uow() as uow:
            row = await uow.marketplace.get(notice_id, hold=True)
            if row is not None and row.state != NoticeState.APPLIED:
                row.state = state
                MARKETPLACE_NOTICES.labels(row.provider, row.channel, state).inc()

    async def waiting_for(self, cloud_account_id: UUID) -> Sequence[UUID]:
        """Messages that can be applied now that the subscription has the keys that it has."""
        async with self.uow.reading() as uow:
            return await uow.marketplace.waiting_for(cloud_account_id, limit=_AT_ONCE)

    async def get(self, cloud_account_id: UUID) -> Subscription:
        """As it is now."""
        async with self.uow.reading() as uow:
            row, keys = await uow.cloud_accounts.with_keys(cloud_account_id)
        return Subscription(row.instance_id, row.account_number, CloudStatus(row.status), tuple(keys))

    async def _apply(self, provider: str, notice: Notice, notice_id: UUID, staff: Staff | None) -> UUID | None:
        if notice.effect in _NEVER:
            await self.set_aside(notice_id, NoticeState.IGNORED)
            return None
        found = await self._apply_to_its_own(provider, notice, notice_id, staff)
        if found is None:
            await self.set_aside(notice_id, NoticeState.WAITING)
        return found

    @retried
    async def _apply_to_its_own(
        self, provider: str, notice: Notice, notice_id: UUID, staff: Staff | None
    ) -> UUID | None:
        async with self.uow() as uow:
            found = await target(uow, provider, notice)
            if found is None:
                return None
            account, cloud_account = found
            row = await uow.marketplace.get(notice_id, hold=True)
            assert row is not None  # noqa: S101 - messages are never deleted
            if row.state != NoticeState.APPLIED:
                row.state, row.cloud_account_id, row.applied_at = NoticeState.APPLIED, cloud_account.id, now()
                if staff is not None and account is not None:
                    told = ids.show(ids.CLOUD_ACCOUNT, cloud_account.id), ids.show(ids.CLOUD_NOTICE, notice_id)
                    record_staff(uow, Action.CLOUD_NOTICE_REAPPLIED, account.id, staff, new=" ".join(told))
            await self._learn(uow, cloud_account, notice)
            await uow.cloud_accounts.flush()
            await self._settle(uow, account, cloud_account)
            MARKETPLACE_NOTICES.labels(provider, notice.channel, NoticeState.APPLIED).inc()
            return cloud_account.id

    async def _learn(self, uow: Work, cloud_account: CloudAccount, notice: Notice) -> None:
        """Names that were not known. The buyer never changes: a message that says so is somebody else's."""
        number = notice.account_number
        if number is not None and cloud_account.account_number not in (None, number):
            raise Ambiguous
        if number is not None:
            cloud_account.account_number, cloud_account.ask_at = number, None
        cloud_account.product = cloud_account.product or notice.product
        known = {key.key for key in await uow.cloud_accounts.keys(cloud_account.id)}
        for keys, strong in ((strong_keys(notice), True), (notice.hints, False)):
            for key in keys:
                if key not in known:
                    known.add(key)
                    uow.cloud_accounts.add(
                        CloudAccountKey(
                            provider=cloud_account.provider, key=key, cloud_account_id=cloud_account.id, strong=strong
                        )
                    )

    async def _settle(self, uow: Work, account: Account | None, cloud_account: CloudAccount) -> None:
        """The status that follows from all its messages; when it moved, its workspaces go with it."""
        facts = await uow.marketplace.facts(cloud_account.id)
        state = standing(Fact(one.event_at, one.id, Effect(one.effect), one.strand) for one in facts)
        before, before_at = CloudStatus(cloud_account.status), cloud_account.status_at
        since = state.since or before_at
        cloud_account.status, cloud_account.status_at = state.status, since
        await uow.cloud_accounts.flush()
        if account is None or account.status == Status.CLOSED or state.status is before:
            return
        # Active since before it seemed to end: a message that came late says that it never did.
        resumed = before is CloudStatus.FROZEN or (before is CloudStatus.ENDED and since < before_at)
        await self.settlement.follow(uow, account, cloud_account, before=before, resumed=resumed, at=instant())


def _row(provider: str, notice: Notice) -> CloudNotice:
    return CloudNotice(
        id=ids.new(),
        provider=provider,
        channel=notice.channel,
        type=notice.type,
        effect=notice.effect,
        strand=notice.strand,
        dedup=digest(notice.dedup),
        event_at=notice.at,
        body=dict(notice.body),
        state=NoticeState.RECEIVED,
        repeats=0,
        created_at=now(),
    )
