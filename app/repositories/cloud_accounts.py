"""SQL for cloud accounts and the names that providers give them."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, exists, select, update
from sqlalchemy.orm import aliased

from app.core.callers import Caller
from app.core.errors import SessionEnded, TransactionConflict
from app.models.cloud_accounts import CloudAccount, CloudAccountKey, CloudStatus
from app.models.settlements import Settlement
from app.models.workspaces import Workspace
from app.repositories.base import Repository, after, of, through_session

_INSTANCE = "instance:%"  # the one strong key that every subscription has


class CloudAccountRepository(Repository):
    def add(self, row: CloudAccount | CloudAccountKey) -> None:
        self._session.add(row)

    async def flush(self) -> None:
        """Let the "one subscription for a strong key" constraint speak now."""
        await self._session.flush()

    async def get(self, cloud_account_id: UUID) -> CloudAccount | None:
        """As it is now."""
        return await self._session.get(CloudAccount, cloud_account_id, populate_existing=True)

    async def hold(self, cloud_account_id: UUID) -> CloudAccount:
        """Nobody else's until the transaction ends; whoever wants its account's rows too holds that account first.

        Raises TransactionConflict when it was merged into another one meanwhile.
        """
        statement = select(CloudAccount).where(CloudAccount.id == cloud_account_id).with_for_update()
        held = await self._session.scalar(statement.execution_options(populate_existing=True))
        if held is None:
            raise TransactionConflict
        return held

    async def named(self, provider: str, keys: Collection[str], *, strong: bool) -> list[UUID]:
        """The subscriptions that these keys name, the oldest first."""
        statement = (
            select(CloudAccountKey.cloud_account_id)
            .where(
                CloudAccountKey.provider == provider, CloudAccountKey.key.in_(keys), CloudAccountKey.strong.is_(strong)
            )
            .distinct()
            .order_by(CloudAccountKey.cloud_account_id)
        )
        return list(await self._session.scalars(statement))

    async def without_strong(self, ids: Collection[UUID]) -> list[UUID]:
        """Those of them that have no strong key but that of their instance."""
        key = aliased(CloudAccountKey)
        known = exists().where(key.cloud_account_id == CloudAccount.id, key.strong, ~key.key.like(_INSTANCE))
        statement = select(CloudAccount.id).where(CloudAccount.id.in_(ids), ~known).order_by(CloudAccount.id)
        return list(await self._session.scalars(statement))

    async def not_ended(self, ids: Collection[UUID]) -> list[UUID]:
        statement = select(CloudAccount.id).where(CloudAccount.id.in_(ids), CloudAccount.status != CloudStatus.ENDED)
        return list(await self._session.scalars(statement.order_by(CloudAccount.id)))

    async def keys(self, cloud_account_id: UUID) -> list[CloudAccountKey]:
        statement = select(CloudAccountKey).where(CloudAccountKey.cloud_account_id == cloud_account_id)
        return list(await self._session.scalars(statement.order_by(CloudAccountKey.key)))

    async def with_keys(self, cloud_account_id: UUID) -> tuple[CloudAccount, list[str]]:
        """One that exists, and its names."""
        statement = (
            select(CloudAccount, CloudAccountKey.key)
            .outerjoin(CloudAccountKey, CloudAccountKey.cloud_account_id == CloudAccount.id)
            .where(CloudAccount.id == cloud_account_id)
        )
        rows = (await self._session.execute(statement)).all()
        return rows[0][0], [row[1] for row in rows if row[1]]

    async def by_key(self, provider: str, keys: Collection[str]) -> list[tuple[str, CloudAccount]]:
        """Strong keys, and the subscription that each names."""
        statement = (
            select(CloudAccountKey.key, CloudAccount)
            .join(CloudAccount, CloudAccount.id == CloudAccountKey.cloud_account_id)
            .where(CloudAccountKey.provider == provider, CloudAccountKey.key.in_(keys), CloudAccountKey.strong)
        )
        return [(row[0], row[1]) for row in (await self._session.execute(statement)).all()]

    async def give_keys(self, *, loser: UUID, heir: UUID) -> None:
        """Hand all names of one subscription to another; both have been held."""
        mine, theirs = aliased(CloudAccountKey), CloudAccountKey
        twice = exists().where(mine.provider == theirs.provider, mine.key == theirs.key, mine.cloud_account_id == heir)
        statement = update(theirs).where(theirs.cloud_account_id == loser, ~twice)
        await self._changed(statement.values(cloud_account_id=heir))
        for left in await self.keys(loser):
            await self._session.delete(left)
        await self._session.flush()

    async def delete(self, row: CloudAccount) -> None:
        await self._session.delete(row)
        await self._session.flush()

    async def unidentified(self, at: datetime, *, limit: int) -> list[CloudAccount]:
        """Those whose provider is to be asked who bought them."""
        statement = select(CloudAccount).where(CloudAccount.ask_at <= at).order_by(CloudAccount.ask_at).limit(limit)
        return list(await self._session.scalars(statement))

    async def ask_later(self, cloud_account_id: UUID, *, asked: int, at: datetime) -> bool:
        """Ask next then; False when another process has just done so."""
        statement = update(CloudAccount).where(
            CloudAccount.id == cloud_account_id, CloudAccount.asked == asked, CloudAccount.ask_at.is_not(None)
        )
        return await self._changed(statement.values(asked=asked + 1, ask_at=at)) == 1

    # What holders see

    async def page(self, caller: Caller, *, cursor: UUID | None, limit: int) -> list[Any]:
        """The caller's, newest first, a row for each workspace that settles by it (or one with none)."""
        chosen = (
            select(CloudAccount)
            .where(CloudAccount.account_id == caller.account_id, after(CloudAccount.id, cursor))
            .order_by(CloudAccount.id.desc())
            .limit(limit)
            .subquery()
        )
        return await self._with_workspaces(caller, chosen)

    async def one(self, caller: Caller, cloud_account_id: UUID) -> list[Any]:
        """The same for one; no rows when it is not the caller's. Raises SessionEnded."""
        chosen = select(CloudAccount).where(
            CloudAccount.account_id == caller.account_id, CloudAccount.id == cloud_account_id
        )
        return await self._with_workspaces(caller, chosen.subquery())

    async def _with_workspaces(self, caller: Caller, chosen: Any) -> list[Any]:
        bound = (
            select(Settlement.cloud_account_id, Workspace.id, Workspace.name, Workspace.site, Settlement.lock_ends_at)
            .join(
                Workspace,
                and_(Workspace.id == Settlement.workspace_id, Workspace.settled_from == Settlement.effective_from),
            )
            .where(Workspace.account_id == caller.account_id, Workspace.dissolved_at.is_(None))
            .subquery()
        )
        listing = (
            select(
                chosen,
                bound.c.id.label("workspace_id"),
                bound.c.name.label("workspace_name"),
                bound.c.site,
                bound.c.lock_ends_at,
            )
            .select_from(chosen)
            .outerjoin(bound, bound.c.cloud_account_id == chosen.c.id)
        )
        rows = (await self._session.execute(through_session(listing), of(caller))).all()
        if not rows:
            raise SessionEnded
        found = [row for row in rows if row.id]
        return sorted(found, key=lambda row: (row.id, row.workspace_id or ""), reverse=True)
