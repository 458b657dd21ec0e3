"""Undoing a credential change with the token that its old contact was sent."""

from dataclasses import dataclass

from app.core.callers import Origin
from app.core.clock import now
from app.core.crypto import digest
from app.core.errors import ReversalExpired
from app.models.credentials import State
from app.models.sessions import Ending
from app.repositories.unit_of_work import UnitOfWork, retried
from app.services.access import Access
from app.services.change_notices import ChangeNotices
from app.services.credential_effects import CredentialEffects


@dataclass(frozen=True, slots=True)
class Reversal:
    """What was undone. `outcome` is `undone`, or `cancelled` for a change that had not taken effect yet."""

    credential: str
    outcome: str


class ReversalService:
    def __init__(self, uow: UnitOfWork, *, access: Access, effects: CredentialEffects, notices: ChangeNotices) -> None:
        self.uow = uow
        self.access = access
        self.effects = effects
        self.notices = notices

    @retried
    async def undo(self, *, token: str, origin: Origin) -> Reversal:
        """Restore the old value, end all sessions, take the password out of use; or cancel a waiting change.

        Raises ReversalExpired for a token that is unknown, used or too old, EmailTaken and PhoneTaken.
        """
        async with self.uow() as uow:
            named = await uow.changes.by_undo_hash(digest(token))
            account = await uow.accounts.hold(named.account_id) if named else None
            change = await uow.changes.by_undo_hash(digest(token))  # as it is now that nobody else can move it
            if account is None or change is None or change.undo_expires_at is None or change.undo_expires_at <= now():
                raise ReversalExpired
            if change.state == State.COMPLETED:
                await self.effects.restore(uow, change, origin=origin)
                return Reversal(change.credential, State.UNDONE)
            self.notices.cancelled(uow, account, change, origin=origin, session_id=None)
            await uow.changes.cancel(change.id)
            # Whoever said that this contact is lost was wrong, or lied: that session goes.
            await self.access.end(uow, account.id, reason=Ending.CHANGE_UNDONE, only=change.session_id)
            return Reversal(change.credential, State.CANCELLED)
