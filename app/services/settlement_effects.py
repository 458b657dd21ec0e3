"""What moves a workspace's settlement, and what follows from it: a record, an event, a line in the trail, a message."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from app.core import ids, masking
from app.core.callers import Caller
from app.core.clock import shown
from app.models.accounts import Account
from app.models.activity import Action, Actor
from app.models.cloud_accounts import CloudAccount, CloudStatus
from app.models.events import EventType
from app.models.settlements import Cause, Method, Settlement
from app.models.workspaces import Workspace
from app.repositories.unit_of_work import Work
from app.services.activity import record
from app.services.events import publish
from app.services.notices import Contact, Notices
from app.services.settlement_rules import BY_BILLING_CENTER, Way

_TICK = timedelta(milliseconds=1)  # what is shown of an instant
_NAMED = 10  # workspaces that a message lists
_STOPPED = (CloudStatus.FROZEN, CloudStatus.ENDED)
FALL_BACK = "fall_back"  # the policy of a provider that does not lock


class SettlementEffects:
    """Every method is given the account held: that keeps its workspaces and their events in order.

    `policies` says for each provider what becomes of its workspaces when a cloud account stops: `fall_back` or `lock`,
    which is what those not named do. `countdown` is how long a lock may be undone.
    """

    def __init__(self, notices: Notices, *, policies: Mapping[str, str], countdown: timedelta) -> None:
        self.notices = notices
        self._policies = policies
        self._countdown = countdown

    async def begin(self, uow: Work, workspace: Workspace) -> None:
        """A new workspace is paid for by the Billing Center."""
        workspace.settled_from = workspace.created_at
        uow.settlements.add_first(
            Settlement(
                id=ids.new(),
                workspace_id=workspace.id,
                effective_from=workspace.created_at,
                method=Method.BILLING_CENTER,
                cause=Cause.CREATED,
            )
        )
        await uow.settlements.flush()
        uow.workspaces.add(workspace)

    async def choose(
        self, uow: Work, account: Account, row: Any, way: Way, *, caller: Caller, at: datetime
    ) -> datetime:
        """The holder chose, and the rules have nothing against it; since when it holds. A lock is over."""
        was_locked = row.lock_ends_at is not None
        cause = Cause.UNLOCKED if was_locked else Cause.CHOSEN
        since = await self._move(uow, account, row, way, cause, at=at)
        record(
            uow,
            Action.WORKSPACE_UNLOCKED if was_locked else Action.SETTLEMENT_CHANGED,
            account.id,
            origin=caller.origin,
            session_id=caller.session_id,
            old=_told(row.id, Way(Method(row.method), row.cloud_account_id)),
            new=_told(row.id, way),
        )
        return since

    async def follow(
        self,
        uow: Work,
        account: Account,
        cloud_account: CloudAccount,
        *,
        before: CloudStatus,
        resumed: bool,
        at: datetime,
    ) -> None:
        """The cloud account's status moved from `before`: its workspaces go with it.

        `resumed`: if it is active now, it is the same subscription as before, which had not ended.
        """
        after = CloudStatus(cloud_account.status)
        self.tell(uow, account, cloud_account, before=before)
        if after in _STOPPED and before not in _STOPPED:
            await self._stop(uow, account, cloud_account, at=at)
        elif after is CloudStatus.ACTIVE and resumed:
            await self._resume(uow, account, cloud_account, at=at)
        elif after is CloudStatus.ACTIVE:
            await self.resubscribe(uow, account, cloud_account, at=at)

    def tell(self, uow: Work, account: Account, cloud_account: CloudAccount, *, before: CloudStatus) -> None:
        """Other services and the holder's trail learn of the status."""
        told = ids.show(ids.CLOUD_ACCOUNT, cloud_account.id)
        if kind := _event(before, CloudStatus(cloud_account.status)):
            publish(uow, kind, account.id, cloud_account_id=told, provider=cloud_account.provider)
        record(
            uow,
            Action.CLOUD_ACCOUNT_STATUS,
            account.id,
            actor=Actor.SYSTEM,
            old=f"{told} {before}",
            new=f"{told} {cloud_account.status}",
        )

    async def resubscribe(self, uow: Work, account: Account, cloud_account: CloudAccount, *, at: datetime) -> None:
        """The buyer pays again: what an earlier subscription of theirs had locked is unlocked.

        It is paid for by the Billing Center then, until its holder chooses: a subscription that ended has let go of
        its workspaces, and another one does not take them by itself.
        """
        if cloud_account.account_number is None:
            return
        locked = await uow.settlements.locked_by(
            account.id, provider=cloud_account.provider, account_number=cloud_account.account_number
        )
        for row in locked:
            if row.lock_ends_at > at:
                await self._unlock(uow, account, row, BY_BILLING_CENTER, Cause.RESUBSCRIBED, at=at)

    async def _resume(self, uow: Work, account: Account, cloud_account: CloudAccount, *, at: datetime) -> None:
        """Its bindings were only suspended."""
        for row in await uow.settlements.bound(cloud_account.id):
            if row.lock_ends_at is not None and row.lock_ends_at > at:
                way = Way(Method.CLOUD_ACCOUNT, cloud_account.id)
                await self._unlock(uow, account, row, way, Cause.RESUMED, at=at)

    async def _stop(self, uow: Work, account: Account, cloud_account: CloudAccount, *, at: datetime) -> None:
        falls_back = self._policies.get(cloud_account.provider) == FALL_BACK
        bound = [row for row in await uow.settlements.bound(cloud_account.id) if row.lock_ends_at is None]
        until = at + self._countdown
        for row in bound:
            if falls_back:
                await self._move(uow, account, row, BY_BILLING_CENTER, Cause.FELL_BACK, at=at)
                record(uow, Action.SETTLEMENT_CHANGED, account.id, actor=Actor.SYSTEM, new=_told(row.id))
            else:
                await self._lock(uow, account, row, at=at, until=until)
        if bound:
            params = {
                "username": account.username,
                "provider": cloud_account.provider,
                "number": masking.number(cloud_account.account_number) or "-",
                "workspaces": _listed([row.name for row in bound]),
            }
            template = "workspaces_fell_back" if falls_back else "workspaces_locked"
            if not falls_back:
                params["until"] = f"{until:%Y-%m-%d %H:%M} UTC"
            self.notices.write(uow, Contact.of(account.email), template, account.locale, params)

    async def _lock(self, uow: Work, account: Account, row: Any, *, at: datetime, until: datetime) -> None:
        way = Way(Method.CLOUD_ACCOUNT, row.cloud_account_id)
        await uow.settlements.append(_next(row, way, Cause.LOCKED, at=at, lock_ends_at=until))
        publish(
            uow,
            EventType.LOCK_REQUESTED,
            account.id,
            workspace_id=row.id,
            cloud_account_id=ids.show(ids.CLOUD_ACCOUNT, row.cloud_account_id),
            lock_ends_at=shown(until),
        )
        record(uow, Action.WORKSPACE_LOCKED, account.id, actor=Actor.SYSTEM, new=row.id)

    async def _unlock(self, uow: Work, account: Account, row: Any, way: Way, cause: Cause, *, at: datetime) -> None:
        await self._move(uow, account, row, way, cause, at=at)
        record(uow, Action.WORKSPACE_UNLOCKED, account.id, actor=Actor.SYSTEM, new=_told(row.id, way))

    async def _move(self, uow: Work, account: Account, row: Any, way: Way, cause: Cause, *, at: datetime) -> datetime:
        """Another record, and who else must know: that the method changed, that a lock is over."""
        made = _next(row, way, cause, at=at)
        await uow.settlements.append(made)
        if way.cloud_account_id != row.cloud_account_id:
            publish(
                uow,
                EventType.SETTLEMENT_CHANGED,
                account.id,
                workspace_id=row.id,
                method=way.method,
                cloud_account_id=_shown(way),
                effective_from=shown(made.effective_from),
                cause=cause,
            )
        if row.lock_ends_at is not None:
            publish(uow, EventType.UNLOCK_REQUESTED, account.id, workspace_id=row.id)
        return made.effective_from


def _next(row: Any, way: Way, cause: Cause, *, at: datetime, lock_ends_at: datetime | None = None) -> Settlement:
    """The record behind the current one. It begins later, even when the clock was set back."""
    return Settlement(
        id=ids.new(),
        workspace_id=row.id,
        follows=row.effective_from,
        effective_from=max(at, row.effective_from + _TICK),
        method=way.method,
        cloud_account_id=way.cloud_account_id,
        cause=cause,
        lock_ends_at=lock_ends_at,
    )


def _event(before: CloudStatus, after: CloudStatus) -> EventType | None:
    """None for one that turns out not to have begun."""
    if after is CloudStatus.ACTIVE:
        return EventType.CLOUD_UNFROZEN if before is CloudStatus.FROZEN else EventType.CLOUD_ACTIVATED
    return {CloudStatus.FROZEN: EventType.CLOUD_FROZEN, CloudStatus.ENDED: EventType.CLOUD_CLOSED}.get(after)


def _shown(way: Way) -> str | None:
    return ids.show(ids.CLOUD_ACCOUNT, way.cloud_account_id) if way.cloud_account_id else None


def _told(workspace_id: str, way: Way = BY_BILLING_CENTER) -> str:
    return f"{workspace_id} {_shown(way) or way.method}"


def _listed(names: Sequence[str]) -> str:
    more = f" (+{len(names) - _NAMED})" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
