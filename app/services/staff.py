"""What staff does to accounts: each act with who and why, in the trail and (where others must know) as an event."""

from uuid import UUID

from app.core.callers import Staff
from app.core.clock import now
from app.core.errors import AccountClosed, NotFound
from app.models.accounts import Account, Status
from app.models.activity import Action
from app.models.events import EventType
from app.models.sessions import Ending
from app.repositories.unit_of_work import UnitOfWork, Work, retried
from app.services.access import Access
from app.services.activity import record_staff
from app.services.directory import DirectoryEntry, entry
from app.services.events import publish
from app.services.notices import Contact, Notices


class StaffService:
    """Every method raises NotFound and AccountClosed."""

    def __init__(self, uow: UnitOfWork, *, access: Access, notices: Notices) -> None:
        self.uow = uow
        self.access = access
        self.notices = notices

    @retried
    async def set_status(self, *, staff: Staff, account_id: UUID, status: Status) -> DirectoryEntry:
        """Suspend: the holder is out, and every session, code and open change ends. Or restore.

        What is so already is left alone, and told to nobody.
        """
        async with self.uow() as uow:
            account = await _held(uow, account_id)
            if account.status != status:
                await self._change(uow, staff, account, status)
            return entry(await uow.directory.shown(account_id), staff.service)

    @retried
    async def set_arbitrary_settlement(self, *, staff: Staff, account_id: UUID, enabled: bool) -> DirectoryEntry:
        """Whether workspaces may settle through a cloud that does not operate their site."""
        async with self.uow() as uow:
            account = await _held(uow, account_id)
            if account.arbitrary_settlement != enabled:
                await uow.directory.set(account_id, {"arbitrary_settlement": enabled})
                old, new = _switch(account.arbitrary_settlement), _switch(enabled)
                record_staff(uow, Action.ARBITRARY_SETTLEMENT, account_id, staff, old=old, new=new)
            return entry(await uow.directory.shown(account_id), staff.service)

    @retried
    async def end_sessions(self, *, staff: Staff, account_id: UUID) -> None:
        async with self.uow() as uow:
            await _held(uow, account_id)
            ended = await self.access.end(uow, account_id, reason=Ending.ENDED_BY_STAFF)
            await uow.sessions.void_tickets(account_id, now())
            record_staff(uow, Action.SESSIONS_ENDED, account_id, staff, new=str(len(ended)))

    async def _change(self, uow: Work, staff: Staff, account: Account, status: Status) -> None:
        suspends = status is Status.SUSPENDED
        await uow.directory.set(account.id, {"status": status, "updated_at": now()})
        if suspends:
            await self.access.shut(uow, account.id, reason=Ending.SUSPENDED, keep=None)
        action = Action.SUSPENDED if suspends else Action.RESTORED
        record_staff(uow, action, account.id, staff, old=account.status, new=status)
        publish(uow, EventType.SUSPENDED if suspends else EventType.RESTORED, account.id)
        template = "account_suspended" if suspends else "account_restored"
        self.notices.write(uow, Contact.of(account.email), template, account.locale, {"username": account.username})


async def _held(uow: Work, account_id: UUID) -> Account:
    account = await uow.accounts.hold(account_id)
    if account is None:
        raise NotFound
    if account.status == Status.CLOSED:
        raise AccountClosed
    return account


def _switch(enabled: bool) -> str:
    return "on" if enabled else "off"
