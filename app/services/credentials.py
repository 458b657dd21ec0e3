"""Changing the login email or phone: the current one proven, then the new one.

verify_current -> propose -> verify_new -> completed
                                        -> waiting -> completed   (the current contact is lost)
Each step is taken by the session that started the flow; its end, or any move of the account's credentials, ends it.
"""

from datetime import datetime, timedelta
from uuid import UUID

from app.core import ids, masking
from app.core.callers import Caller, Origin
from app.core.clock import now
from app.core.contacts import ContactRefused, email_key, read_email, read_phone
from app.core.errors import (
    ChangeExpired,
    ChangeHeld,
    CredentialsMoved,
    EmailTaken,
    Invalid,
    NoOtherCredential,
    OtherSession,
    PhoneTaken,
    WrongState,
)
from app.core.limits import Limits
from app.models.accounts import Account
from app.models.activity import Action
from app.models.credentials import Credential, CredentialChange, Proof, State
from app.models.verification import Challenge, Lane, Purpose
from app.repositories.unit_of_work import UnitOfWork, Work, retried
from app.services.activity import record
from app.services.change_notices import ChangeNotices
from app.services.change_views import ChangeView, ChangeViews
from app.services.credential_effects import CredentialEffects
from app.services.notices import Contact
from app.services.verification import Letter, Question, Verification
from app.services.waiting_changes import WaitingChanges

_ASKING = (State.VERIFY_CURRENT, State.VERIFY_NEW)


class CredentialService:
    def __init__(
        self,
        uow: UnitOfWork,
        *,
        limits: Limits,
        effects: CredentialEffects,
        notices: ChangeNotices,
        waiting: WaitingChanges,
        verification: Verification,
        views: ChangeViews,
        region: str,
    ) -> None:
        self.uow = uow
        self.effects = effects
        self.notices = notices
        self.waiting = waiting
        self.views = views
        self.verification = verification
        self._limits = limits
        self._region = region

    @retried
    async def start(self, *, caller: Caller, credential: Credential, proof: Proof) -> ChangeView:
        """Send a code to the contact that proves the holder. Raises ChangeOpen, ChangeHeld, NoOtherCredential."""
        at = now()
        async with self.uow() as uow:
            account = await uow.accounts.through_session(caller, hold=True)
            await uow.changes.cancel_dead(account.id, credential, flow_tries=self._limits.flow_tries, at=at)
            await self._refuse_held(uow, account.id, credential, at)
            current = _value(account, credential)
            proof = proof if current else Proof.CURRENT  # nothing is lost where there is nothing yet
            prover = current if current and proof is Proof.CURRENT else _value(account, credential.other)
            if prover is None:
                raise NoOtherCredential
            expires_at = at + self._limits.flow_life
            challenge = await self.verification.open(
                uow, self._ask_current(account, credential, proof, prover, expires_at), caller.origin
            )
            change = CredentialChange(
                id=ids.new(),
                account_id=account.id,
                session_id=caller.session_id,
                credential=credential,
                proof=proof,
                state=State.VERIFY_CURRENT,
                base_version=account.credentials_version,
                old_value=current,
                challenge_id=challenge.id,
                created_at=at,
                expires_at=expires_at,
            )
            uow.changes.add(change)
            await uow.changes.flush()
            _record(uow, Action.CHANGE_STARTED, caller, old=masking.contact(current))
        return self.views.of(change, challenge)

    async def verify_current(self, *, caller: Caller, change_id: UUID, code: str) -> ChangeView:
        """Raises what the code is refused with, WrongState, ChangeExpired, OtherSession and NotFound."""
        _, change, challenge = await self._step(caller, change_id, State.VERIFY_CURRENT)
        checked = await self.verification.check(challenge.id, purpose=Purpose.CHANGE_CURRENT, code=code)
        return await self._proven(caller, change, checked)

    @retried
    async def propose(self, *, caller: Caller, change_id: UUID, value: str) -> ChangeView:
        """Send a code to the new value; again for another one while the proof is fresh. Raises Invalid besides."""
        account, change, before = await self._step(caller, change_id, State.PROPOSE, State.VERIFY_NEW)
        value = self._read(account, Credential(change.credential), value)
        at = now()
        stale = change.proven_at is None or change.proven_at + self._limits.proof_life <= at
        if stale or self.views.is_over(change, before):
            raise ChangeExpired
        async with self.uow() as uow:
            await uow.accounts.hold(account.id)
            await uow.challenges.close_slot(before.slot, at)
            spent = await uow.challenges.get_one(before.id)  # closed: no more tries can be made on it
            challenge = await self.effects.ask_new(uow, account, change, value, caller.origin, after=spent)
            moved = await uow.changes.advance(
                change.id,
                State(change.state),
                at,
                state=State.VERIFY_NEW,
                new_value=value,
                challenge_id=challenge.id,
                expires_at=change.created_at + self._limits.flow_life,
            )
            if moved is None:
                raise WrongState
        return self.views.of(moved, challenge)

    async def confirm(self, *, caller: Caller, change_id: UUID, code: str) -> ChangeView:
        """Prove the new value; it is the login now, or after the wait. Raises EmailTaken, PhoneTaken besides.

        The database decides about two accounts that prove one value. The loser may propose another.
        """
        _, change, challenge = await self._step(caller, change_id, State.VERIFY_NEW)
        checked = await self.verification.check(challenge.id, purpose=Purpose.CHANGE_NEW, code=code)
        try:
            return self.views.of(await self._finish(change, checked, caller.origin), checked)
        except (EmailTaken, PhoneTaken):
            await self._back_to_propose(change)
            raise
        except CredentialsMoved:
            await self.waiting.abandon(change, caller.origin)
            raise

    @retried
    async def send_again(self, *, caller: Caller, change_id: UUID) -> ChangeView:
        """Raises ResendTooSoon and TooManySends."""
        account, change, challenge = await self._step(caller, change_id, *_ASKING)
        if self.views.is_over(change, challenge):  # no tries are left: another code would be of no use
            raise ChangeExpired
        letter = _letter(account, Credential(change.credential), Proof(change.proof), State(change.state))
        async with self.uow() as uow:
            sent = await self.verification.send_again(uow, challenge, letter, caller.origin)
        return self.views.of(change, sent)

    async def get(self, *, caller: Caller, change_id: UUID) -> ChangeView:
        async with self.uow.reading() as uow:
            _, change, challenge = await uow.changes.own(caller, change_id)
        return self.views.of(change, challenge)

    async def open_ones(self, *, caller: Caller) -> list[ChangeView]:
        async with self.uow.reading() as uow:
            _, steps = await uow.changes.open_ones(caller)
        return self.views.open_ones(steps)

    @retried
    async def cancel(self, *, caller: Caller, change_id: UUID) -> None:
        """Any session of the account may. Raises WrongState when it is over already."""
        async with self.uow() as uow:
            account, change, challenge = await uow.changes.own(caller, change_id, hold=True)
            if not await uow.changes.cancel(change.id):
                raise WrongState
            await uow.challenges.close_slot(challenge.slot, now())
            self.notices.cancelled(uow, account, change, origin=caller.origin, session_id=caller.session_id)

    @retried
    async def _proven(self, caller: Caller, change: CredentialChange, challenge: Challenge) -> ChangeView:
        at = now()
        fresh_until = min(change.expires_at, at + self._limits.proof_life)
        async with self.uow() as uow:
            await uow.accounts.hold(change.account_id)
            await self.verification.consume(uow, challenge)
            moved = await uow.changes.advance(
                change.id, State.VERIFY_CURRENT, at, state=State.PROPOSE, proven_at=at, expires_at=fresh_until
            )
            if moved is None:
                raise WrongState
            _record(uow, Action.CHANGE_PROVEN, caller, old=masking.contact(challenge.target))
        return self.views.of(moved, challenge)

    @retried
    async def _finish(self, change: CredentialChange, challenge: Challenge, origin: Origin) -> CredentialChange:
        async with self.uow() as uow:
            if change.proof == Proof.OTHER:
                return await self.effects.wait(uow, change, proof=challenge, origin=origin)
            return await self.effects.take_effect(uow, change, proof=challenge, origin=origin)

    @retried
    async def _back_to_propose(self, change: CredentialChange) -> None:
        proven_at = change.proven_at or change.created_at
        until = min(change.expires_at, proven_at + self._limits.proof_life)
        async with self.uow() as uow:
            await uow.changes.advance(
                change.id, State.VERIFY_NEW, now(), state=State.PROPOSE, new_value=None, expires_at=until
            )

    async def _step(
        self, caller: Caller, change_id: UUID, *states: State
    ) -> tuple[Account, CredentialChange, Challenge]:
        """The caller's change, if this step may be taken now."""
        async with self.uow.reading() as uow:
            account, change, challenge = await uow.changes.own(caller, change_id)
        if change.state not in states:
            raise WrongState
        if change.session_id != caller.session_id:
            raise OtherSession
        if change.expires_at <= now():
            raise ChangeExpired
        return account, change, challenge

    async def _refuse_held(self, uow: Work, account_id: UUID, credential: Credential, at: datetime) -> None:
        last = await uow.changes.last_replaced(account_id, credential)
        until = last + timedelta(hours=self._limits.change_hold_hours) if last else at
        if until > at:
            raise ChangeHeld(until)

    def _ask_current(
        self, account: Account, credential: Credential, proof: Proof, prover: str, expires_at: datetime
    ) -> Question:
        return Question(
            purpose=Purpose.CHANGE_CURRENT,
            lane=Lane.SESSION,
            slot=(Purpose.CHANGE_CURRENT, account.id.hex, credential),
            contact=Contact.of(prover),
            letter=_letter(account, credential, proof, State.VERIFY_CURRENT),
            expires_at=expires_at,
            account_id=account.id,
        )

    def _read(self, account: Account, credential: Credential, value: str) -> str:
        """The new value in its one form; raises Invalid."""
        try:
            if credential is Credential.EMAIL:
                value = read_email(value)
                same = email_key(value) == account.email_key
            else:
                region = (account.region or self._region)[:2]
                value = read_phone(value, region=region, countries=self._limits.sms_countries)
                same = value == account.phone
        except ContactRefused as refused:
            raise Invalid.member("value", refused.code) from None
        if same:
            raise Invalid.member("value", "same_value")
        return value


def _value(account: Account, credential: Credential) -> str | None:
    return account.email if credential is Credential.EMAIL else account.phone


def _letter(account: Account, credential: Credential, proof: Proof, state: State) -> Letter:
    template = "change_new_code"
    if state is State.VERIFY_CURRENT:
        template = "change_current_code" if proof is Proof.CURRENT else "change_other_code"
    return Letter(template, account.locale, {"credential": credential})


def _record(uow: Work, action: Action, caller: Caller, *, old: str | None) -> None:
    record(uow, action, caller.account_id, origin=caller.origin, session_id=caller.session_id, old=old)
