"""Calls of cloud marketplaces: heard, kept, applied, and answered in the provider's own form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from app.core import ids
from app.core.callers import Staff
from app.core.clock import now
from app.core.crypto import digest, random_token
from app.core.errors import NotFound, NoticeUnreadable
from app.core.telemetry import MARKETPLACE_CALLS, MARKETPLACE_UNKNOWN
from app.gateways.marketplaces.base import (
    Call,
    Done,
    Heard,
    Marketplace,
    Notice,
    Outcome,
    Refused,
    Reply,
    Subscription,
)
from app.models.cloud_accounts import CloudNotice, CloudStatus, Effect, MarketplaceClaim, NoticeState
from app.repositories.unit_of_work import UnitOfWork, retried
from app.services.intake import Intake, parse
from app.services.matching import findable_by

_ONCE = timedelta(minutes=10)  # for a call that is accepted once without saying until when

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answered:
    """What the caller is told: a body in the provider's own form; a page (by its name) for a person in a browser; or
    `claim`, the token with which a customer who came in a browser is sent on to the frontend.
    """

    status: int
    body: bytes = b""
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    page: str | None = None
    claim: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages staff looks at."""

    provider: str | None = None
    state: NoticeState | None = None
    cloud_account_id: UUID | None = None


class MarketplaceService:
    def __init__(
        self,
        uow: UnitOfWork,
        *,
        providers: Mapping[str, Marketplace],
        intake: Intake,
        claim_life: timedelta,
    ) -> None:
        self.uow = uow
        self.subscriptions = intake.subscriptions
        self.intake = intake
        self._providers = providers
        self._claim_life = claim_life

    async def receive(
        self,
        *,
        provider: str,
        channel: str,
        method: str,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        body: bytes,
    ) -> Answered:
        """Raises NotFound for a provider or a place that this installation does not serve, and nothing else.

        What goes wrong on the way is answered so that the provider calls again.
        """
        market = self._providers.get(provider)
        if market is None or not market.serves(channel, method):
            raise NotFound
        call = Call(channel, method, query, headers, body, now())
        try:
            heard = await market.hear(call)
            outcome, claim = await self._act(market, heard)
        except Refused as refused:
            MARKETPLACE_CALLS.labels(provider, refused.why).inc()
            log.warning("marketplace_refused", provider=provider, channel=channel, why=refused.why)
            return _answered(refused.reply)
        except Exception:
            MARKETPLACE_CALLS.labels(provider, "failed").inc()
            log.exception("marketplace_failed", provider=provider, channel=channel)
            return _answered(market.later(call))
        MARKETPLACE_CALLS.labels(provider, outcome.done).inc()
        return Answered(303, claim=claim) if claim else _answered(market.answer(heard, outcome))

    async def _act(self, market: Marketplace, heard: Heard) -> tuple[Outcome, str | None]:
        """What became of it; and a claim for a customer who came along."""
        once = digest(f"{market.name} {heard.once}") if heard.once is not None else None
        until = heard.once_until or now() + _ONCE
        outcome = Outcome(Done.READ)
        if heard.notice is not None:
            outcome = await self._take(market, heard.notice, once, until)
        elif once is not None and not await self._accept_once(once, until):
            outcome = Outcome(Done.REPLAYED)
        if outcome.done is Done.REPLAYED:
            return outcome, None
        if heard.asks:
            return replace(outcome, asked=await self._asked(market.name, heard.asks)), None
        if heard.lands:
            claim = await self._land(market.name, heard.lands)
            return (outcome if claim else Outcome(Done.WAITING)), claim
        return outcome, None

    async def _take(self, market: Marketplace, notice: Notice, once: bytes | None, until: datetime) -> Outcome:
        if notice.effect is Effect.UNKNOWN:
            MARKETPLACE_UNKNOWN.labels(market.name).inc()
        notice = await self.intake.recurrence.numbered(market.name, notice)
        kept = await self.subscriptions.keep(market.name, notice, once=once, until=until)
        if kept is None:
            return Outcome(Done.REPLAYED)
        if kept.state is NoticeState.APPLIED:
            return await self._outcome(Done.REPEATED, await self._about(kept.id))
        if kept.state is NoticeState.IGNORED:
            return Outcome(Done.IGNORED)
        found = await self.intake.apply(market, notice, kept.id)
        if found is None:
            said = notice.effect not in (Effect.NONE, Effect.UNKNOWN)
            return Outcome(Done.WAITING if said else Done.IGNORED)
        return await self._outcome(Done.APPLIED, found)

    async def _outcome(self, done: Done, cloud_account_id: UUID | None) -> Outcome:
        return Outcome(done, await self.subscriptions.get(cloud_account_id) if cloud_account_id else None)

    async def _about(self, notice_id: UUID) -> UUID | None:
        async with self.uow.reading() as uow:
            row = await uow.marketplace.get(notice_id)
        return row.cloud_account_id if row else None

    # Browsers and questions

    @retried
    async def _accept_once(self, once: bytes, until: datetime) -> bool:
        async with self.uow() as uow:
            return await uow.marketplace.accept_once(once, until=until)

    @retried
    async def _land(self, provider: str, keys: tuple[str, ...]) -> str | None:
        token, at = random_token(), now()
        async with self.uow() as uow:
            found = await uow.cloud_accounts.named(provider, keys, strong=True)
            if len(found) != 1:
                return None
            uow.marketplace.add_claim(
                MarketplaceClaim(
                    token_hash=digest(token),
                    cloud_account_id=found[0],
                    created_at=at,
                    expires_at=at + self._claim_life,
                )
            )
        return token

    async def _asked(self, provider: str, keys: tuple[str, ...]) -> dict[str, Subscription]:
        async with self.uow.reading() as uow:
            rows = await uow.cloud_accounts.by_key(provider, keys)
        return {
            key: Subscription(row.instance_id, row.account_number, CloudStatus(row.status), (key,)) for key, row in rows
        }

    # Staff

    async def page(self, *, wanted: Wanted, cursor: UUID | None, limit: int) -> list[CloudNotice]:
        """Kept messages, newest first; one more than `limit` when there is more."""
        async with self.uow.reading() as uow:
            return await uow.marketplace.page(
                provider=wanted.provider,
                state=wanted.state,
                cloud_account_id=wanted.cloud_account_id,
                cursor=cursor,
                limit=limit + 1,
            )

    async def reapply(self, *, staff: Staff, notice_id: UUID) -> CloudNotice:
        """Read a kept message anew and act on it. Raises NotFound, and NoticeUnreadable if it still says nothing."""
        async with self.uow.reading() as uow:
            row = await uow.marketplace.get(notice_id)
        market = self._providers.get(row.provider) if row else None
        if row is None:
            raise NotFound
        if market is None:
            raise NoticeUnreadable
        try:
            notice = parse(market, row)
        except ValueError:
            raise NoticeUnreadable from None
        await self._rewrite(row.id, notice)
        found = await self.intake.apply(market, notice, row.id, staff=staff)
        log.info(
            "marketplace_reapplied",
            notice=ids.show(ids.CLOUD_NOTICE, row.id),
            client=ids.show(ids.CLIENT, staff.service.client_id),
            actor=staff.name,
            reason=staff.reason,
            cloud_account=ids.show(ids.CLOUD_ACCOUNT, found) if found else None,
        )
        async with self.uow.reading() as uow:
            applied = await uow.marketplace.get(row.id)
        assert applied is not None  # noqa: S101 - messages are never deleted
        return applied

    @retried
    async def _rewrite(self, notice_id: UUID, notice: Notice) -> None:
        """What it says may be understood better now than when it came."""
        async with self.uow() as uow:
            row = await uow.marketplace.get(notice_id, hold=True)
            if row is not None and row.state != NoticeState.APPLIED:
                row.type, row.effect, row.strand = notice.type, notice.effect, notice.strand
                await uow.marketplace.set_keys(row.id, row.provider, findable_by(notice))


def _answered(reply: Reply) -> Answered:
    return Answered(reply.status, reply.body, reply.media_type, reply.headers, reply.page)
