"""How an account begins, whoever asked for it."""

from collections.abc import Mapping
from datetime import datetime

from app.core import ids, masking, password_rules
from app.core.contacts import ContactRefused, email_key, read_phone, username_key
from app.core.errors import Invalid, PasswordRefused
from app.core.limits import Limits
from app.core.passwords import PasswordHasher
from app.models.accounts import Account
from app.models.events import EventType
from app.repositories.unit_of_work import Work
from app.services.events import publish


class NewAccounts:
    """What holds for the account of a person who registers and for one that another service makes."""

    def __init__(self, *, limits: Limits, hasher: PasswordHasher, region: str, time_zone: str) -> None:
        self.hasher = hasher
        self._limits = limits
        self._region = region
        self._time_zone = time_zone

    def read_phone(self, phone: str, region: str | None) -> str:
        """E.164; a national number is read in the region of the company. Raises Invalid."""
        try:
            return read_phone(phone, region=(region or self._region)[:2], countries=self._limits.sms_countries)
        except ContactRefused as refused:
            raise Invalid.member("phone", refused.code) from None

    async def hash_password(self, password: str, *, words: tuple[str, ...]) -> str:
        """Raises PasswordRefused for one that is common or made of the words, and Busy."""
        if reason := password_rules.refusal(password, words=words):
            raise PasswordRefused(reason)
        return await self.hasher.hash(password)

    async def add(
        self,
        uow: Work,
        *,
        username: str,
        email: str,
        phone: str | None,
        password_hash: str | None,
        profile: Mapping[str, str | None],
        at: datetime,
        time_zone: str | None = None,
    ) -> Account:
        """Make it and tell of it; `profile` has the locale as well. Raises UsernameTaken, EmailTaken, PhoneTaken."""
        account = Account(
            id=ids.new(),
            username=username,
            username_key=username_key(username),
            email=email,
            email_key=email_key(email),
            phone=phone,
            password_hash=password_hash,
            password_changed_at=at if password_hash else None,
            time_zone=time_zone or self._time_zone,
            created_at=at,
            updated_at=at,
            **profile,
        )
        uow.accounts.add(account)
        await uow.accounts.flush()
        shown = {"email": masking.email(email), "phone": masking.contact(phone)}
        publish(uow, EventType.ACCOUNT_CREATED, account.id, **shown)
        return account
