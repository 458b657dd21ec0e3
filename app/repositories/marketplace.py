"""SQL for what marketplaces send: messages, calls accepted once, and the claims of customers who came from there."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, func, select, update
from sqlalchemy.engine import CursorResult

from app.models.cloud_accounts import (
    CloudAccountKey,
    CloudNotice,
    CloudNoticeKey,
    Effect,
    MarketplaceClaim,
    MarketplaceNonce,
    NoticeState,
)
from app.repositories.base import Repository, after

_OPEN = (NoticeState.RECEIVED, NoticeState.WAITING)


class MarketplaceRepository(Repository):
    # Calls that are accepted once

    async def accept_once(self, nonce: bytes, *, until: datetime) -> bool:
        """False when the call was accepted before."""
        statement = self._insert(MarketplaceNonce).values(nonce=nonce, expires_at=until).on_conflict_do_nothing()
        result = await self._session.execute(statement)
        return isinstance(result, CursorResult) and result.rowcount == 1

    # Messages

    async def keep(self, notice: CloudNotice, keys: Collection[str]) -> bool:
        """Keep a message; False, and one more repeat counted, when it was kept before."""
        values = {column.key: getattr(notice, column.key) for column in CloudNotice.__table__.columns}
        statement = self._insert(CloudNotice).values(**values)
        result = await self._session.execute(statement.on_conflict_do_nothing())
        if not (isinstance(result, CursorResult) and result.rowcount == 1):
            again = update(CloudNotice).where(
                CloudNotice.provider == notice.provider, CloudNotice.dedup == notice.dedup
            )
            await self._changed(again.values(repeats=CloudNotice.repeats + 1))
            return False
        await self.set_keys(notice.id, notice.provider, keys, fresh=True)
        return True

    async def set_keys(self, notice_id: UUID, provider: str, keys: Collection[str], *, fresh: bool = False) -> None:
        """Under which keys the message can be found."""
        if not fresh:
            for row in await self._session.scalars(select(CloudNoticeKey).where(CloudNoticeKey.notice_id == notice_id)):
                await self._session.delete(row)
            await self._session.flush()
        self._session.add_all(
            CloudNoticeKey(notice_id=notice_id, provider=provider, key=key) for key in dict.fromkeys(keys)
        )
        await self._session.flush()

    async def kept(self, provider: str, dedup: bytes) -> CloudNotice | None:
        statement = select(CloudNotice).where(CloudNotice.provider == provider, CloudNotice.dedup == dedup)
        return await self._session.scalar(statement)

    async def get(self, notice_id: UUID, *, hold: bool = False) -> CloudNotice | None:
        statement = select(CloudNotice).where(CloudNotice.id == notice_id)
        return await self._session.scalar(statement.with_for_update() if hold else statement)

    async def facts(self, cloud_account_id: UUID) -> list[CloudNotice]:
        """All messages that were applied to a subscription."""
        statement = select(CloudNotice).where(
            CloudNotice.cloud_account_id == cloud_account_id, CloudNotice.state == NoticeState.APPLIED
        )
        return list(await self._session.scalars(statement))

    async def count(self, cloud_account_id: UUID, effect: Effect, *, besides: UUID | None) -> int:
        """How many applied messages had the effect, besides this one."""
        statement = select(func.count()).where(
            CloudNotice.cloud_account_id == cloud_account_id,
            CloudNotice.state == NoticeState.APPLIED,
            CloudNotice.effect == effect,
            CloudNotice.id != besides,
        )
        return int(await self._session.scalar(statement) or 0)

    async def waiting_for(self, cloud_account_id: UUID, *, limit: int) -> list[UUID]:
        """Messages that wait for a subscription with one of this one's keys, in the order of their making."""
        statement = _findable(CloudAccountKey.cloud_account_id == cloud_account_id)
        return list(await self._session.scalars(statement.limit(limit)))

    async def findable(self, *, limit: int) -> list[UUID]:
        """Messages that wait although their subscription is known: it became so at the same moment."""
        return list(await self._session.scalars(_findable().limit(limit)))

    async def left(self, before: datetime, *, limit: int) -> list[UUID]:
        """Messages that nobody acted on: who kept them died."""
        statement = select(CloudNotice.id).where(
            CloudNotice.state == NoticeState.RECEIVED, CloudNotice.created_at < before
        )
        return list(await self._session.scalars(statement.order_by(CloudNotice.id).limit(limit)))

    async def backlog(self) -> dict[str, tuple[int, datetime | None]]:
        """How many messages were not acted on, by state, and when the oldest of them came."""
        open_states = (*_OPEN, NoticeState.AMBIGUOUS, NoticeState.DOUBTFUL)
        statement = (
            select(CloudNotice.state, func.count(), func.min(CloudNotice.created_at))
            .where(CloudNotice.state.in_(open_states))
            .group_by(CloudNotice.state)
        )
        found = {row[0]: (row[1], row[2]) for row in (await self._session.execute(statement)).all()}
        return {state: found.get(state, (0, None)) for state in open_states}

    async def page(
        self,
        *,
        provider: str | None,
        state: NoticeState | None,
        cloud_account_id: UUID | None,
        cursor: UUID | None,
        limit: int,
    ) -> list[CloudNotice]:
        """For staff, newest first."""
        wanted: list[ColumnElement[bool]] = [after(CloudNotice.id, cursor)]
        if provider is not None:
            wanted.append(CloudNotice.provider == provider)
        if state is not None:
            wanted.append(CloudNotice.state == state)
        if cloud_account_id is not None:
            wanted.append(CloudNotice.cloud_account_id == cloud_account_id)
        statement = select(CloudNotice).where(*wanted).order_by(CloudNotice.id.desc()).limit(limit)
        return list(await self._session.scalars(statement))

    async def hand_over(self, *, loser: UUID, heir: UUID) -> None:
        """Messages and claims of one subscription become those of another."""
        for table in (CloudNotice, MarketplaceClaim):
            statement = update(table).where(table.cloud_account_id == loser)
            await self._changed(statement.values(cloud_account_id=heir))

    # Claims

    def add_claim(self, claim: MarketplaceClaim) -> None:
        self._session.add(claim)

    async def claim(self, token_hash: bytes) -> MarketplaceClaim | None:
        """As it is now."""
        return await self._session.get(MarketplaceClaim, token_hash, populate_existing=True)

    async def use_claims(self, cloud_account_id: UUID, at: datetime) -> None:
        """The subscription was taken: no claim to it is good any longer."""
        statement = update(MarketplaceClaim).where(
            MarketplaceClaim.cloud_account_id == cloud_account_id, MarketplaceClaim.used_at.is_(None)
        )
        await self._changed(statement.values(used_at=at))


def _findable(*which: ColumnElement[bool]) -> Select[UUID]:
    known = exists().where(
        CloudNoticeKey.notice_id == CloudNotice.id,
        CloudAccountKey.provider == CloudNoticeKey.provider,
        CloudAccountKey.key == CloudNoticeKey.key,
        *which,
    )
    return select(CloudNotice.id).where(CloudNotice.state.in_(_OPEN), known).order_by(CloudNotice.id)
