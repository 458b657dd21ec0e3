"""Registering, and who am I."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core import ids, masking
from app.core.callers import Caller, Origin
from app.core.clock import now
from app.core.contacts import username_key
from app.core.errors import NotFound, RegistrationExpired, TooMany, UsernameTaken
from app.core.limits import Limits
from app.models.accounts import Account, Registration
from app.models.activity import Action
from app.models.sessions import Delivery, Method
from app.models.verification import Challenge, Lane, Purpose
from app.repositories.unit_of_work import UnitOfWork, Work, retried
from app.services.access import Access, Grant
from app.services.change_views import ChangeView, ChangeViews
from app.services.credential_effects import CredentialEffects
from app.services.new_accounts import NewAccounts
from app.services.notices import Contact
from app.services.open_codes import Sent
from app.services.verification import Letter, Question, Verification

_COPIED = ("company_name", "industry", "region", "company_description", "contact_name", "locale")


@dataclass(frozen=True, slots=True)
class AccountView:
    """Who am I. Contacts are masked."""

    id: UUID
    username: str
    email: str
    phone: str | None
    has_password: bool
    real_name_status: str
    status: str
    locale: str
    time_zone: str
    created_at: datetime
    credential_changes: list[ChangeView]


class AccountService:
    def __init__(
        self,
        uow: UnitOfWork,
        *,
        limits: Limits,
        access: Access,
        effects: CredentialEffects,
        new_accounts: NewAccounts,
        verification: Verification,
        views: ChangeViews,
    ) -> None:
        self.uow = uow
        self.access = access
        self.effects = effects
        self.new_accounts = new_accounts
        self.verification = verification
        self.views = views
        self._limits = limits

    async def is_username_free(self, *, username: str) -> bool:
        async with self.uow.reading() as uow:
            return not await uow.accounts.is_username_taken(username_key(username))

    async def register(
        self,
        *,
        username: str,
        email: str,
        phone: str | None,
        password: str | None,
        profile: Mapping[str, str | None],
        origin: Origin,
    ) -> Sent:
        """Send a code to the email; nothing exists before it is proven.

        An email that has an account already gets the same answer; its owner is told instead. `profile` has the
        members of the profile and the locale. Raises UsernameTaken, PasswordRefused, Invalid, TooManySends.
        """
        if phone is not None:
            phone = self.new_accounts.read_phone(phone, profile["region"])
        hashed = None
        if password is not None:
            words = (username, email, str(profile["company_name"]))
            hashed = await self.new_accounts.hash_password(password, words=words)
        registration = Registration(
            id=ids.new(),
            username=username,
            email=email,
            phone=phone,
            password_hash=hashed,
            expires_at=now() + self._limits.flow_life,
            **profile,
        )
        return await self._begin(registration, origin)

    @retried
    async def send_again(self, *, registration_id: UUID, origin: Origin) -> Sent:
        """Raises NotFound, RegistrationExpired, ResendTooSoon and TooManySends."""
        async with self.uow() as uow:
            registration = await self._live(uow, registration_id)
            challenge = await uow.challenges.get_one(registration.challenge_id)
            letter = await self._letter(uow, registration)
            return self._sent(registration, await self.verification.send_again(uow, challenge, letter, origin))

    async def confirm(self, *, registration_id: UUID, code: str, delivery: Delivery, origin: Origin) -> Grant:
        """Make the account and its first session. Raises UsernameTaken, EmailTaken, and what the code is refused with.

        A phone that was given is asked for its own code: an open credential change of the new account.
        """
        async with self.uow.reading() as uow:
            registration = await self._live(uow, registration_id)
        challenge = await self.verification.check(registration.challenge_id, purpose=Purpose.REGISTER, code=code)
        account, grant = await self._create(registration, challenge, delivery, origin)
        if registration.phone is not None:
            await self._claim_phone(account, registration.phone, grant.session_id, origin)
        return grant

    async def who_am_i(self, *, caller: Caller) -> AccountView:
        async with self.uow.reading() as uow:
            account, steps = await uow.changes.open_ones(caller)
        return AccountView(
            id=account.id,
            username=account.username,
            email=masking.email(account.email),
            phone=masking.contact(account.phone),
            has_password=account.has_password,
            real_name_status=account.real_name_status,
            status=account.status,
            locale=account.locale,
            time_zone=account.time_zone,
            created_at=account.created_at,
            credential_changes=self.views.open_ones(steps),
        )

    @retried
    async def _begin(self, registration: Registration, origin: Origin) -> Sent:
        async with self.uow() as uow:
            if await uow.accounts.is_username_taken(username_key(registration.username)):
                raise UsernameTaken
            question = Question(
                purpose=Purpose.REGISTER,
                lane=Lane.CLAIM,
                slot=(Purpose.REGISTER, registration.id.hex),  # its own: a stranger cannot close it
                contact=Contact.of(registration.email),
                letter=await self._letter(uow, registration),
                expires_at=registration.expires_at,
            )
            challenge = await self.verification.open(uow, question, origin)
            registration.challenge_id = challenge.id
            uow.registrations.add(registration)
        return self._sent(registration, challenge)

    async def _letter(self, uow: Work, registration: Registration) -> Letter:
        """A code; for an email that has an account, word to its owner. Nobody can answer that one's challenge."""
        owner = await uow.accounts.owner_of(registration.email)
        if owner is not None:
            return Letter("registration_taken", owner.locale, {"username": owner.username}, with_code=False)
        return Letter("registration_code", registration.locale, {"username": registration.username})

    @retried
    async def _create(
        self, registration: Registration, challenge: Challenge, delivery: Delivery, origin: Origin
    ) -> tuple[Account, Grant]:
        async with self.uow() as uow:
            await self.verification.consume(uow, challenge)
            account = await self.new_accounts.add(
                uow,
                username=registration.username,
                email=registration.email,
                phone=None,
                password_hash=registration.password_hash,
                profile={name: getattr(registration, name) for name in _COPIED},
                at=now(),
            )
            await uow.challenges.belong(challenge.id, account.id)
            opening = self.access.prepare(
                account, method=Method.REGISTRATION, delivery=delivery, origin=origin, action=Action.REGISTERED
            )
            grant = self.access.open(uow, opening)
        return account, grant

    async def _claim_phone(self, account: Account, phone: str, session_id: UUID, origin: Origin) -> None:
        """Ask the phone for its code. The account stands without it: the holder can add the phone later."""
        try:
            async with self.uow() as uow:
                await self.effects.claim_phone(uow, account, phone, session_id, origin)
        except TooMany:
            return

    async def _live(self, uow: Work, registration_id: UUID) -> Registration:
        registration = await uow.registrations.get(registration_id)
        if registration is None:
            raise NotFound
        if registration.expires_at <= now():
            raise RegistrationExpired
        return registration

    def _sent(self, registration: Registration, challenge: Challenge) -> Sent:
        return Sent(
            id=registration.id,
            expires_at=registration.expires_at,
            resend_at=self.verification.resend_at(challenge),
            sent_to=masking.email(registration.email),
        )
