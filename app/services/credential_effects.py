"""What a proven credential change does: take effect, wait, tell both contacts, be undone."""

from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from app.core import crypto, ids, masking
from app.core.callers import Origin
from app.core.clock import now
from app.core.errors import CredentialsMoved, WrongState
from app.core.limits import Limits
from app.models.accounts import Account
from app.models.activity import Action
from app.models.credentials import Credential, CredentialChange, Proof, State
from app.models.events import EventType
from app.models.sessions import Ending
from app.models.verification import Challenge, Lane, Purpose
from app.repositories.unit_of_work import Work
from app.services.access import Access
from app.services.change_notices import ChangeNotices
from app.services.events import publish
from app.services.notices import Contact
from app.services.verification import Letter, Question, Verification

_TOLD = {Credential.EMAIL: EventType.EMAIL_CHANGED, Credential.PHONE: EventType.PHONE_CHANGED}
_CHANGED = {Credential.EMAIL: Action.EMAIL_CHANGED, Credential.PHONE: Action.PHONE_CHANGED}


class CredentialEffects:
    """Works inside the caller's transaction."""

    def __init__(self, *, limits: Limits, access: Access, notices: ChangeNotices, verification: Verification) -> None:
        self.access = access
        self.notices = notices
        self.verification = verification
        self._limits = limits

    async def ask_new(
        self, uow: Work, account: Account, change: CredentialChange, value: str, origin: Origin, *, after: Challenge
    ) -> Challenge:
        """Send a code to the new value. Whether somebody else has it is not told before the code proved it."""
        question = Question(
            purpose=Purpose.CHANGE_NEW,
            lane=Lane.CLAIM,
            slot=(Purpose.CHANGE_NEW, account.id.hex, change.credential),
            contact=Contact.of(value),
            letter=Letter("change_new_code", account.locale, {"credential": change.credential}),
            expires_at=change.created_at + self._limits.flow_life,
            account_id=account.id,
            tries=after.tries,
            sends=after.sends,
        )
        return await self.verification.open(uow, question, origin)

    async def claim_phone(self, uow: Work, account: Account, phone: str, session_id: UUID, origin: Origin) -> None:
        """The phone given at registration: a change in `verify_new`, since the email was proven a moment ago."""
        at = now()
        change = CredentialChange(
            id=ids.new(),
            account_id=account.id,
            session_id=session_id,
            credential=Credential.PHONE,
            proof=Proof.CURRENT,
            state=State.VERIFY_NEW,
            base_version=account.credentials_version,
            new_value=phone,
            created_at=at,
            expires_at=at + self._limits.flow_life,
            proven_at=at,
        )
        fresh = Challenge(tries=0, sends=0)
        change.challenge_id = (await self.ask_new(uow, account, change, phone, origin, after=fresh)).id
        uow.changes.add(change)

    async def take_effect(
        self, uow: Work, change: CredentialChange, *, proof: Challenge | None, origin: Origin | None
    ) -> CredentialChange:
        """Change the login. Raises CredentialsMoved, EmailTaken, PhoneTaken, CodeUsed and WrongState."""
        at, undo = now(), crypto.random_token()
        credential = Credential(change.credential)
        await self._set(uow, change, credential, change.new_value, version=change.base_version, at=at)
        if proof is not None:
            await self.verification.consume(uow, proof)
        done = await uow.changes.advance(
            change.id,
            State(change.state),
            at,
            state=State.COMPLETED,
            completed_at=at,
            effective_at=at,
            undo_hash=crypto.digest(undo),
            undo_expires_at=at + timedelta(hours=self._limits.undo_hours),
        )
        if done is None:
            raise WrongState
        await self.access.shut(uow, change.account_id, reason=Ending.CREDENTIAL_CHANGED, keep=change.session_id)
        self.notices.record(uow, _CHANGED[credential], change, origin, session_id=change.session_id if origin else None)
        _publish(uow, change, old=change.old_value, new=change.new_value)
        account = await uow.accounts.get_one(change.account_id)
        undo_params = {"hours": str(self._limits.undo_hours)}
        self.notices.tell_old(uow, account, change, "credential_changed_old", undo_params, token=undo)
        self.notices.tell_new(uow, account, change, "credential_changed_new")
        return done

    async def wait(self, uow: Work, change: CredentialChange, *, proof: Challenge, origin: Origin) -> CredentialChange:
        """The current contact is lost: it is told, and may cancel until the change takes effect.

        Raises EmailTaken, PhoneTaken, CredentialsMoved, CodeUsed and WrongState.
        """
        at, cancel = now(), crypto.random_token()
        effective_at = at + timedelta(hours=self._limits.lost_contact_wait_hours)
        account = await uow.accounts.hold(change.account_id)
        if account is None or account.credentials_version != change.base_version:
            raise CredentialsMoved
        await uow.accounts.refuse_taken(Credential(change.credential), str(change.new_value))
        await self.verification.consume(uow, proof)
        waiting = await uow.changes.advance(
            change.id,
            State(change.state),
            at,
            state=State.WAITING,
            effective_at=effective_at,
            expires_at=effective_at,
            undo_hash=crypto.digest(cancel),
            undo_expires_at=effective_at,
        )
        if waiting is None:
            raise WrongState
        self.notices.record(uow, Action.CHANGE_WAITING, change, origin, session_id=change.session_id)
        params = {"effective_at": _local(effective_at, account)}
        self.notices.tell_old(uow, account, change, "credential_change_waiting", params, token=cancel)
        return waiting

    async def restore(self, uow: Work, change: CredentialChange, *, origin: Origin) -> None:
        """Undo a completed change. Raises EmailTaken and PhoneTaken when the old value has a new owner."""
        await self._set(uow, change, Credential(change.credential), change.old_value, version=None, at=now())
        if not await uow.changes.undo(change):
            raise WrongState
        await uow.accounts.revoke_password(change.account_id)
        await self.access.shut(uow, change.account_id, reason=Ending.CHANGE_UNDONE, keep=None)
        self.notices.record(uow, Action.CHANGE_UNDONE, change, origin, session_id=None, undone=True)
        _publish(uow, change, old=change.new_value, new=change.old_value)
        account = await uow.accounts.get_one(change.account_id)
        self.notices.tell_old(uow, account, change, "credential_change_undone", {})
        self.notices.tell_new(uow, account, change, "credential_change_undone")

    async def _set(
        self,
        uow: Work,
        change: CredentialChange,
        credential: Credential,
        value: str | None,
        *,
        version: int | None,
        at: datetime,
    ) -> None:
        if not await uow.accounts.set_credential(change.account_id, credential, value, version=version, at=at):
            raise CredentialsMoved


def _publish(uow: Work, change: CredentialChange, *, old: str | None, new: str | None) -> None:
    kind = _TOLD[Credential(change.credential)]
    publish(uow, kind, change.account_id, old=masking.contact(old), new=masking.contact(new))


def _local(moment: datetime, account: Account) -> str:
    """As the holder's clock shows it, with the zone named."""
    return f"{moment.astimezone(ZoneInfo(account.time_zone)):%Y-%m-%d %H:%M} ({account.time_zone})"
