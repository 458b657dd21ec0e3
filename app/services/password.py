"""Passwords: change, set the first one by a code, reset by a code."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core import masking, password_rules
from app.core.callers import Caller, Origin
from app.core.clock import now
from app.core.errors import (
    AppError,
    CodeExpired,
    CredentialsMoved,
    NoOtherCredential,
    NoPassword,
    PasswordExists,
    PasswordRefused,
    TooManyTries,
    WrongPassword,
)
from app.core.limits import Limits
from app.core.passwords import PasswordHasher, prepare
from app.models.accounts import Account
from app.models.activity import Action, Actor
from app.models.credentials import Credential
from app.models.events import EventType
from app.models.sessions import Ending
from app.models.verification import Challenge, Lane, Purpose
from app.repositories.accounts import Holder
from app.repositories.unit_of_work import UnitOfWork, Work, retried
from app.services.access import Access
from app.services.activity import record
from app.services.budgets import Budgets, refusal
from app.services.events import publish
from app.services.notices import Contact, Notices
from app.services.open_codes import OpenCodes, Sent
from app.services.throttling import Throttling
from app.services.verification import Letter, Question, Verification


@dataclass(frozen=True, slots=True)
class Security:
    """What the security page shows."""

    has_password: bool
    password_changed_at: datetime | None
    email: str
    phone: str | None


class PasswordService:
    def __init__(
        self,
        uow: UnitOfWork,
        *,
        limits: Limits,
        access: Access,
        budgets: Budgets,
        codes: OpenCodes,
        hasher: PasswordHasher,
        notices: Notices,
        throttling: Throttling,
        verification: Verification,
    ) -> None:
        self.uow = uow
        self.access = access
        self.budgets = budgets
        self.codes = codes
        self.hasher = hasher
        self.notices = notices
        self.throttling = throttling
        self.verification = verification
        self._limits = limits

    async def security(self, *, caller: Caller) -> Security:
        async with self.uow.reading() as uow:
            account = await uow.accounts.through_session(caller)
        return Security(
            has_password=account.has_password,
            password_changed_at=account.password_changed_at,
            email=masking.email(account.email),
            phone=masking.contact(account.phone),
        )

    async def change(self, *, caller: Caller, current: str, new: str) -> None:
        """Raises WrongPassword (counted: TooManyTries), NoPassword, PasswordRefused, CredentialsMoved."""
        account = await self._count_try(caller)
        if not await self.hasher.verify(current, account.password_hash):
            raise WrongPassword
        try:
            hashed = await self._hashed(account, current, new)
        except AppError:
            await self._give_back(account)
            raise
        await self._set(
            account, hashed, Action.PASSWORD_CHANGED, origin=caller.origin, keep=caller.session_id, guessed=True
        )

    async def _hashed(self, account: Holder, current: str, new: str) -> str:
        _refuse_guessable(account, new)
        if prepare(new) == prepare(current):  # known to be right, so no hash has to be made to compare with
            raise PasswordRefused("same")
        return await self.hasher.hash(new)

    @retried
    async def request_first(self, *, caller: Caller, credential: Credential) -> Sent:
        """Send a code to a contact of an account that has no password. Raises PasswordExists, NoOtherCredential."""
        async with self.uow() as uow:
            account = await uow.accounts.through_session(caller, hold=True)
            address = account.email if credential is Credential.EMAIL else account.phone
            if account.has_password:
                raise PasswordExists
            if address is None:
                raise NoOtherCredential
            question = Question(
                purpose=Purpose.FIRST_PASSWORD,
                lane=Lane.SESSION,
                slot=(Purpose.FIRST_PASSWORD, account.id.hex),
                contact=Contact.of(address),
                letter=Letter("first_password_code", account.locale),
                expires_at=now() + self._limits.flow_life,
                account_id=account.id,
            )
            challenge = await self.verification.open(uow, question, caller.origin)
        sent = self.codes.sent(challenge)
        return Sent(sent.id, sent.expires_at, sent.resend_at, masking.contact(address))

    async def set_first(self, *, caller: Caller, challenge_id: UUID, code: str, new: str) -> None:
        """Raises PasswordExists, PasswordRefused, and what the code is refused with."""
        async with self.uow.reading() as uow:
            account = await uow.accounts.through_session(caller)
        if account.has_password:
            raise PasswordExists
        await self._refuse(account, new)
        hashed = await self.hasher.hash(new)
        challenge = await self.verification.check(
            challenge_id, purpose=Purpose.FIRST_PASSWORD, code=code, account_id=account.id
        )
        await self._set(
            account, hashed, Action.PASSWORD_SET, origin=caller.origin, keep=caller.session_id, proof=challenge
        )

    async def request_reset(self, *, identifier: str, origin: Origin) -> Sent:
        """Send a reset code to whom the identifier names; the same answer when it names nobody."""
        return await self.codes.ask(
            identifier=identifier, purpose=Purpose.PASSWORD_RESET, template="password_reset_code", origin=origin
        )

    async def reset(self, *, reset_id: UUID, code: str, new: str, origin: Origin) -> None:
        """Set the password, end every session. Raises PasswordRefused, and what the code is refused with."""
        _refuse_weak(new, words=())  # tells nothing of the account, costs no try
        challenge = await self.verification.check(reset_id, purpose=Purpose.PASSWORD_RESET, code=code)
        async with self.uow.reading() as uow:
            account = await uow.accounts.get(challenge.account_id) if challenge.account_id else None
        if account is None:
            raise CodeExpired
        try:
            await self._refuse(account, new)
        except PasswordRefused:
            await self.verification.release(challenge)
            raise
        hashed = await self.hasher.hash(new)
        await self._set(account, hashed, Action.PASSWORD_RESET, origin=origin, keep=None, proof=challenge)

    @retried
    async def _count_try(self, caller: Caller) -> Holder:
        """Count a guess of the current password before it is compared; the caller's account."""
        with self.uow.rows() as uow:
            account = await uow.accounts.holder(caller)
        if not account.has_password:
            raise NoPassword
        with self.uow.rows() as uow:  # one statement is a transaction of its own
            overdrawn = await uow.budgets.take([self.budgets.password_tries(account.id.hex)])
        if overdrawn:
            raise refusal(TooManyTries, overdrawn)
        return account

    @retried
    async def _give_back(self, account: Holder) -> None:
        """The guess was none: it was right."""
        with self.uow.rows() as uow:
            await uow.budgets.give_back([self.budgets.password_tries(account.id.hex).key])

    async def _refuse(self, account: Account, new: str) -> None:
        """Raises PasswordRefused for a common, guessable or unchanged password."""
        _refuse_guessable(account, new)
        if account.password_hash and await self.hasher.verify(new, account.password_hash):
            raise PasswordRefused("same")

    @retried
    async def _set(
        self,
        account: Account | Holder,
        hashed: str,
        action: Action,
        *,
        origin: Origin,
        keep: UUID | None,
        proof: Challenge | None = None,
        guessed: bool = False,
    ) -> None:
        """The one transaction of every way to a new password. Raises CredentialsMoved and CodeUsed.

        `guessed`: a guess of the old one was counted, which was none.
        """
        async with self.uow() as uow:
            version = account.credentials_version
            if not await uow.accounts.set_password(account.id, version=version, hashed=hashed, at=now()):
                raise CredentialsMoved
            if proof is not None:
                await self.verification.consume(uow, proof)
            if guessed:
                await uow.budgets.give_back([self.budgets.password_tries(account.id.hex).key])
            await self.throttling.forgive(uow, account)
            await self.access.shut(uow, account.id, reason=Ending.PASSWORD_CHANGED, keep=keep)
            record(uow, action, account.id, origin=origin, session_id=keep, actor=Actor.HOLDER)
            publish(uow, EventType.PASSWORD_CHANGED, account.id)
            self._tell(uow, account)

    def _tell(self, uow: Work, account: Account | Holder) -> None:
        contact = Contact.of(account.email)
        self.notices.write(uow, contact, "password_changed", account.locale, {"username": account.username})


def _refuse_guessable(account: Account | Holder, new: str) -> None:
    _refuse_weak(new, words=(account.username, account.email, account.company_name))


def _refuse_weak(password: str, *, words: tuple[str, ...]) -> None:
    if reason := password_rules.refusal(password, words=words):
        raise PasswordRefused(reason)
