"""SQL for accounts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, exists, select, update
from sqlalchemy.orm import aliased

from app.core.callers import Caller
from app.core.contacts import Identifier, Kind, email_key
from app.core.errors import EmailTaken, PhoneTaken, SessionEnded
from app.models.accounts import Account, Status, logs_in
from app.models.credentials import Credential
from app.models.sessions import Session
from app.repositories.base import LIVES, Repository, held, of, table
from app.repositories.direct import Fixed

_BY_KIND = {Kind.USERNAME: Account.username_key, Kind.EMAIL: Account.email_key, Kind.PHONE: Account.phone}
_PROFILE = (
    Account.username,
    Account.email,
    Account.phone,
    Account.company_name,
    Account.industry,
    Account.region,
    Account.company_description,
    Account.contact_name,
    Account.locale,
    Account.time_zone,
    Account.profile_version,
    Account.updated_at,
)
_HOLDER = (
    Account.id,
    Account.username,
    Account.username_key,
    Account.email,
    Account.email_key,
    Account.phone,
    Account.company_name,
    Account.locale,
    Account.status,
    Account.password_hash,
    Account.password_revoked,
    Account.credentials_version,
)
_READ_PROFILE = Fixed(select(*_PROFILE).join(Session, LIVES))
_HOLDER_THROUGH_SESSION = Fixed(select(*_HOLDER).join(Session, LIVES))
_HOLDER_OF = Fixed(select(*_HOLDER).where(Account.id == bindparam("account")))
_HOLD_HOLDER = Fixed(held(select(*_HOLDER).where(Account.id == bindparam("account"))))
_THROUGH_SESSION = select(Account).join(Session, LIVES)
_HOLD = held(select(Account).where(Account.id == bindparam("account"))).execution_options(populate_existing=True)
_SEEN = aliased(Session)
_KNOWN = exists().where(
    _SEEN.account_id == Account.id, _SEEN.ip == bindparam("ip"), _SEEN.auth_time > bindparam("since")
)
_FIND = {
    kind: Fixed(
        select(*_HOLDER, _KNOWN.label("known")).where(column == bindparam("key"), Account.status != Status.CLOSED)
    )
    for kind, column in _BY_KIND.items()
}
_T = table(Account)
_HAS_HASH = Fixed(
    select(_T.c.id)
    .where(
        _T.c.id == bindparam("account"),
        _T.c.password_hash == bindparam("hashed"),
        _T.c.password_revoked.is_(False),
        _T.c.status == Status.ACTIVE,
    )
    .with_for_update(of=_T, key_share=True)
)
_SET_PASSWORD = Fixed(
    update(_T)
    .where(_T.c.id == bindparam("account"), _T.c.credentials_version == bindparam("version"))
    .values(
        password_hash=bindparam("hashed"),
        password_revoked=False,
        password_changed_at=bindparam("at"),
        credentials_version=_T.c.credentials_version + 1,
    )
)


@dataclass(frozen=True, slots=True)
class Holder:
    """What logging in and changing the password go by: columns, since an entity costs as much as its statement."""

    id: UUID
    username: str
    username_key: str
    email: str
    email_key: str
    phone: str | None
    company_name: str
    locale: str
    status: str
    password_hash: str | None
    password_revoked: bool
    credentials_version: int

    @property
    def has_password(self) -> bool:
        return logs_in(self.password_hash, revoked=self.password_revoked)


@dataclass(frozen=True, slots=True)
class Found:
    """Who an identifier names (maybe nobody), and whether the account has logged in from the address before."""

    account: Holder | None
    known_address: bool


class AccountRepository(Repository):
    def add(self, account: Account) -> None:
        self._session.add(account)

    async def flush(self) -> None:
        """Let the constraints speak now, while the caller still can name what it tried."""
        await self._session.flush()

    async def through_session(self, caller: Caller, *, hold: bool = False) -> Account:
        """The caller's account, if the session lives; raises SessionEnded. `hold`: until the transaction ends.

        Held first and looked at afterwards: a statement that waits for a lock judges the session as it was before.
        """
        if hold:
            await self.hold(caller.account_id)
        account = await self._session.scalar(_THROUGH_SESSION, of(caller))
        if account is None:
            raise SessionEnded
        return account

    async def hold(self, account_id: UUID) -> Account | None:
        """The account as it is now, nobody else's until the transaction ends.

        Whoever writes several rows of an account holds it first: so two never wait for each other.
        """
        return await self._session.scalar(_HOLD, {"account": account_id})

    async def hold_holder(self, account_id: UUID) -> Holder | None:
        """The same, without the entity."""
        found = await self._run(_HOLD_HOLDER, {"account": account_id})
        return Holder(*found.one()) if found else None

    async def holder_of(self, account_id: UUID) -> Holder | None:
        found = await self._run(_HOLDER_OF, {"account": account_id})
        return Holder(*found.one()) if found else None

    async def holder(self, caller: Caller) -> Holder:
        """The caller, if the session lives; raises SessionEnded."""
        found = await self._run(_HOLDER_THROUGH_SESSION, of(caller))
        if not found:
            raise SessionEnded
        return Holder(*found.one())

    async def profile(self, caller: Caller) -> Any:
        """The profile, if the session lives; raises SessionEnded. The hottest read: columns, no entity."""
        row = (await self._run(_READ_PROFILE, of(caller))).one_or_none()
        if row is None:
            raise SessionEnded
        return row

    async def get(self, account_id: UUID) -> Account | None:
        return await self._session.get(Account, account_id)

    async def get_one(self, account_id: UUID) -> Account:
        """As it is now, for an id that a row refers to."""
        return await self._session.get_one(Account, account_id, populate_existing=True)

    async def find(self, identifier: Identifier, *, ip: str, since: datetime) -> Found:
        """Who it names; the address is known if a session began from it after `since`.

        A closed account has no holder: its name is one that nobody has.
        """
        values = {"key": identifier.key, "ip": ip, "since": since}
        row = (await self._run(_FIND[identifier.kind], values)).one_or_none()
        return Found(Holder(*row[:-1]), row.known) if row else Found(None, known_address=False)

    async def owner_of(self, address: str) -> Account | None:
        return await self._session.scalar(select(Account).where(Account.email_key == email_key(address)))

    async def is_username_taken(self, username_key: str) -> bool:
        return bool(await self._session.scalar(select(exists().where(Account.username_key == username_key))))

    async def refuse_taken(self, credential: Credential, value: str) -> None:
        """Raises EmailTaken or PhoneTaken when an account has the value. A courtesy: the unique index decides."""
        is_email = credential is Credential.EMAIL
        owned = Account.email_key == email_key(value) if is_email else Account.phone == value
        if await self._session.scalar(select(exists().where(owned))):
            raise EmailTaken if is_email else PhoneTaken

    async def edit_profile(self, account_id: UUID, version: int, values: Mapping[str, object]) -> bool:
        """Write the values if the profile is still at `version`."""
        statement = update(Account).where(Account.id == account_id, Account.profile_version == version)
        return await self._changed(statement.values(**values, profile_version=version + 1)) == 1

    async def has_hash(self, account_id: UUID, hashed: str | None) -> bool:
        """Whether the password is still the one that was compared, and the account still active; holds it until the
        transaction ends.
        """
        return (await self._run(_HAS_HASH, {"account": account_id, "hashed": hashed})).first() is not None

    async def upgrade_hash(self, account_id: UUID, *, old: str, new: str) -> None:
        """Replace a hash by a stronger one of the same password, unless the password was changed meanwhile."""
        await self._changed(
            update(Account).where(Account.id == account_id, Account.password_hash == old).values(password_hash=new)
        )

    async def set_password(self, account_id: UUID, *, version: int, hashed: str, at: datetime) -> bool:
        """Set it if the credentials have not moved since `version`."""
        values = {"account": account_id, "version": version, "hashed": hashed, "at": at}
        return (await self._run(_SET_PASSWORD, values)).rowcount == 1

    async def set_credential(
        self,
        account_id: UUID,
        credential: Credential,
        value: str | None,
        *,
        version: int | None,
        at: datetime,
    ) -> bool:
        """Set it if the credentials are still at `version` (None: whatever they are). Uniqueness is the database's."""
        statement = update(Account).where(Account.id == account_id)
        if version is not None:
            statement = statement.where(Account.credentials_version == version, Account.status == Status.ACTIVE)
        values: dict[str, Any] = {"phone": value}
        if credential is Credential.EMAIL and value is not None:
            values = {"email": value, "email_key": email_key(value)}
        return (
            await self._changed(
                statement.values(
                    **values,
                    credentials_version=Account.credentials_version + 1,
                    profile_version=Account.profile_version + 1,
                    updated_at=at,
                )
            )
            == 1
        )

    async def revoke_password(self, account_id: UUID) -> None:
        await self._changed(update(Account).where(Account.id == account_id).values(password_revoked=True))
