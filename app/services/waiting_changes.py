"""Changes for a lost contact, when their wait is over; and what comes of a change whose ground has moved."""

from uuid import UUID

from app.core.callers import Origin
from app.core.clock import now
from app.core.errors import CredentialsMoved, EmailTaken, PhoneTaken, WrongState
from app.models.credentials import CredentialChange, State
from app.repositories.unit_of_work import UnitOfWork, retried
from app.services.change_notices import ChangeNotices
from app.services.credential_effects import CredentialEffects


class WaitingChanges:
    def __init__(self, uow: UnitOfWork, *, effects: CredentialEffects, notices: ChangeNotices) -> None:
        self.uow = uow
        self.effects = effects
        self.notices = notices

    async def apply_due(self, *, limit: int = 100) -> int:
        """Let the changes take effect whose time has come; how many were looked at. The worker calls it."""
        async with self.uow.reading() as uow:
            due = await uow.changes.due(now(), limit)
        for change_id in due:
            await self._apply(change_id)
        return len(due)

    @retried
    async def abandon(self, change: CredentialChange, origin: Origin | None) -> None:
        """It cannot take effect any more: cancel it, and say so where it is known of."""
        async with self.uow() as uow:
            account = await uow.accounts.hold(change.account_id)
            if account is not None and await uow.changes.cancel(change.id):
                by = change.session_id if origin else None
                self.notices.cancelled(uow, account, change, origin=origin, session_id=by)

    @retried
    async def _apply(self, change_id: UUID) -> None:
        async with self.uow.reading() as uow:
            change = await uow.changes.get(change_id)
        if change is None or change.state != State.WAITING:
            return
        try:
            async with self.uow() as uow:
                await self.effects.take_effect(uow, change, proof=None, origin=None)
        except WrongState:  # another worker did
            return
        except (CredentialsMoved, EmailTaken, PhoneTaken):
            await self.abandon(change, None)
