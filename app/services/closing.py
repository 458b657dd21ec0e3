"""Closing an account for good: only when nothing stands against it, and then nothing personal stays.

What may stand against it is asked of checks, one class each. Those that ask other services are asked outside of any
transaction; our own inside of the one that closes, while the account is held.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from app.core import ids
from app.core.callers import Caller
from app.core.clock import now
from app.core.errors import ClosingRefused, ClosingUndecided, FreshLoginRequired, Unmet
from app.core.limits import Limits
from app.gateways.billing import Billing, CannotTell, Standing
from app.models.accounts import Account
from app.models.activity import Action
from app.models.events import EventType
from app.models.sessions import Ending
from app.repositories.unit_of_work import UnitOfWork, Work, retried
from app.services.access import Access
from app.services.activity import record
from app.services.events import publish
from app.services.notices import Contact, Notices
from app.services.real_name_effects import RealNameEffects


class LocalCheck(Protocol):
    async def unmet(self, uow: Work, account_id: UUID) -> Sequence[Unmet]: ...


class RemoteCheck(Protocol):
    async def unmet(self, account_id: UUID) -> Sequence[Unmet]:
        """Never raises: a service that does not answer is a condition of which nobody can tell."""


class BoundWorkspaces:
    """No workspace that was not dissolved may settle by the account."""

    async def unmet(self, uow: Work, account_id: UUID) -> Sequence[Unmet]:
        return [Unmet("bound_workspaces")] if await uow.workspaces.count_bound(account_id) else []


class RecentChanges:
    """Whoever took over an email or phone must not end the account before its holder can undo that."""

    def __init__(self, hold: timedelta) -> None:
        self._hold = hold

    async def unmet(self, uow: Work, account_id: UUID) -> Sequence[Unmet]:
        replaced, waits_until = await uow.changes.unsettled(account_id)
        at = now()
        # One that waits, or should have taken effect by now, will be a recent one when it does.
        latest = max(waits_until, at) if waits_until else replaced
        until = latest + self._hold if latest else at
        return [Unmet("recent_credential_change", until=until)] if until > at else []


class Debts:
    """The billing service's word. When it does not answer, nobody can tell: never that nothing is owed."""

    def __init__(self, billing: Billing) -> None:
        self._billing = billing

    async def unmet(self, account_id: UUID) -> Sequence[Unmet]:
        try:
            standing = await self._billing.standing(ids.show(ids.ACCOUNT, account_id))
        except CannotTell:
            return [Unmet(condition, unknown=True) for condition in Standing.model_fields]
        return [Unmet(condition) for condition, holds in standing if holds]


class ClosingService:
    def __init__(
        self,
        uow: UnitOfWork,
        *,
        limits: Limits,
        access: Access,
        notices: Notices,
        real_name: RealNameEffects,
        local: Sequence[LocalCheck],
        remote: Sequence[RemoteCheck],
        kept: timedelta,
    ) -> None:
        self.uow = uow
        self.access = access
        self.notices = notices
        self.real_name = real_name
        self._limits = limits
        self._local = local
        self._remote = remote
        self._kept = kept

    async def close(self, *, caller: Caller) -> None:
        """Raises FreshLoginRequired, ClosingRefused with all that stands against it, ClosingUndecided when nothing
        does but somebody who had to be asked does not answer, and SessionEnded.
        """
        age = self._limits.fresh_login_seconds
        async with self.uow.reading() as uow:
            await uow.accounts.through_session(caller)
        if caller.auth_time + timedelta(seconds=age) < now():
            raise FreshLoginRequired(max_age=age)
        remote = [one for check in self._remote for one in await check.unmet(caller.account_id)]
        await self._close(caller, remote)

    @retried
    async def _close(self, caller: Caller, remote: Sequence[Unmet]) -> None:
        async with self.uow() as uow:
            account = await uow.accounts.through_session(caller, hold=True)
            local = [one for check in self._local for one in await check.unmet(uow, account.id)]
            _refuse([*local, *remote])
            await self._end(uow, account, caller)

    async def _end(self, uow: Work, account: Account, caller: Caller) -> None:
        at = now()
        params = {"username": account.username}
        self.notices.write(uow, Contact.of(account.email), "account_closed", account.locale, params)
        await self.access.shut(uow, account.id, reason=Ending.CLOSED, keep=None)
        await self.real_name.close(uow, account, erase_at=at + self._kept)
        await uow.erasure.close(account, at=at, erase_at=at + self._kept)
        record(uow, Action.CLOSED, account.id, origin=caller.origin, session_id=caller.session_id)
        publish(uow, EventType.CLOSED, account.id)


def _refuse(unmet: Sequence[Unmet]) -> None:
    if any(not one.unknown for one in unmet):
        raise ClosingRefused(unmet)
    if unmet:
        raise ClosingUndecided
