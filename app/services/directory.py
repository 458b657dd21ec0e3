"""Accounts as other services see them: making one, reading one, finding one, looking up many."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from app.core import ids, masking
from app.core.callers import Service
from app.core.clock import now
from app.core.contacts import Identifier, Kind, read_identifier
from app.core.crypto import digest
from app.core.errors import EmailTaken, Invalid, NotFound, PhoneTaken, ReferenceTaken, UsernameTaken
from app.core.passwords import may_import
from app.core.scopes import Scope
from app.models.accounts import AccountReference
from app.models.activity import Action
from app.repositories.lookups import FEW, Lookups
from app.repositories.unit_of_work import UnitOfWork, retried
from app.services.activity import record_service
from app.services.new_accounts import NewAccounts


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """An account. Email, phone and contact name are masked for who has no right to them, null once it is closed."""

    id: UUID
    username: str
    email: str | None
    phone: str | None
    status: str
    real_name_status: str
    arbitrary_settlement: bool
    company_name: str
    industry: str | None
    region: str | None
    contact_name: str | None
    locale: str
    time_zone: str
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Order:
    """An account to be made. `profile` has the members of the profile and the locale."""

    username: str
    email: str
    phone: str | None
    password_hash: str | None
    reference: str | None
    time_zone: str | None
    profile: Mapping[str, str | None]

    def told(self) -> str:
        """What tells it from another one. A password may be hashed anew for each try; what is absent is not told, so
        that a member which comes to be later changes nothing."""
        members = asdict(replace(self, password_hash=None, reference=None))
        profile = members.pop("profile")
        told = {name: value for name, value in {**members, **profile}.items() if value is not None}
        return json.dumps(told, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Created:
    """`fresh` is False for an account that was made before, under the same reference."""

    entry: DirectoryEntry
    fresh: bool


class DirectoryService:
    def __init__(self, uow: UnitOfWork, *, lookups: Lookups, new_accounts: NewAccounts, region: str) -> None:
        self.uow = uow
        self._lookups = lookups
        self.new_accounts = new_accounts
        self._region = region

    async def create(self, *, service: Service, order: Order, password: str | None) -> Created:
        """Make an account whose contacts the caller has verified; under a reference of the caller's, once.

        Raises UsernameTaken, EmailTaken, PhoneTaken, PasswordRefused, Invalid, Busy, and ReferenceTaken for a reference
        that stands for another account.
        """
        if order.password_hash is not None and not may_import(order.password_hash):
            raise Invalid.member("password_hash", "unsupported_hash")
        if order.phone is not None:
            order = replace(order, phone=self.new_accounts.read_phone(order.phone, order.profile["region"]))
        if password is not None:
            words = (order.username, order.email, str(order.profile["company_name"]))
            order = replace(order, password_hash=await self.new_accounts.hash_password(password, words=words))
        return await self._create(service, order)

    async def get(self, *, service: Service, account_id: UUID) -> DirectoryEntry:
        """Raises NotFound and ClientDisabled."""
        rows = await self._lookups.look(
            service, lambda work: work.directory.by_ids(service, [account_id]), is_whole=bool
        )
        return _only(rows, service)

    async def find(self, *, service: Service, kind: Kind, text: str) -> DirectoryEntry:
        """Who has the username, email or phone; raises NotFound and ClientDisabled."""
        typed = read_identifier(_with_plus(text, kind), region=self._region)
        identifier = typed if typed.kind == kind else Identifier(kind, "")  # nobody's
        rows = await self._lookups.look(
            service, lambda work: work.directory.by_identifier(service, identifier), is_whole=bool
        )
        return _only(rows, service)

    async def look_up(self, *, service: Service, shown_ids: Sequence[str]) -> list[DirectoryEntry | None]:
        """For each id, in their order, the account or None; one statement. Raises ClientDisabled."""
        asked = [ids.read(ids.ACCOUNT, text) for text in shown_ids]
        known = {one for one in asked if one}
        rows = await self._lookups.look(
            service,
            lambda work: work.directory.by_ids(service, known),
            is_whole=lambda rows: len(rows) == len(known),
            wide=len(known) > FEW,
        )
        found = {row.id: entry(row, service) for row in rows}
        return [found.get(one) if one else None for one in asked]

    async def _create(self, service: Service, order: Order) -> Created:
        fingerprint = digest(f"{service.client_id.hex} {order.reference} {order.told()}")
        if known := await self._known(service, order, fingerprint):
            return known
        try:
            return await self._add(service, order, fingerprint)
        except (UsernameTaken, EmailTaken, PhoneTaken):
            # Maybe by the same order, which another call has just carried out.
            if known := await self._known(service, order, fingerprint):
                return known
            raise

    async def _known(self, service: Service, order: Order, fingerprint: bytes) -> Created | None:
        """The account that was made under the order's reference; raises ReferenceTaken."""
        if order.reference is None:
            return None
        async with self.uow.reading() as uow:
            known = await uow.directory.reference(service.client_id, order.reference)
            if known is None:
                return None
            if known.fingerprint != fingerprint:
                raise ReferenceTaken
            return Created(entry(await uow.directory.shown(known.account_id), service), fresh=False)

    @retried
    async def _add(self, service: Service, order: Order, fingerprint: bytes) -> Created:
        async with self.uow() as uow:
            account = await self.new_accounts.add(
                uow,
                username=order.username,
                email=order.email,
                phone=order.phone,
                password_hash=order.password_hash,
                profile=order.profile,
                time_zone=order.time_zone,
                at=now(),
            )
            if order.reference:
                uow.directory.add(
                    AccountReference(
                        client_id=service.client_id,
                        reference=order.reference,
                        account_id=account.id,
                        fingerprint=fingerprint,
                    )
                )
            record_service(uow, Action.REGISTERED, account.id, service)
            return Created(entry(account, service), fresh=True)


def entry(row: Any, service: Service) -> DirectoryEntry:
    """What the service may see of an account."""
    members = {name: getattr(row, name) for name in DirectoryEntry.__slots__}
    members["email"] = members["email"] or None
    if Scope.ACCOUNTS_CONTACTS not in service.scopes:
        members["email"] = masking.contact(members["email"])
        members["phone"] = masking.contact(members["phone"])
        members["contact_name"] = masking.name(members["contact_name"])
    return DirectoryEntry(**members)


def _with_plus(text: str, kind: Kind) -> str:
    """A `+` that was not encoded in a query string arrives as a blank."""
    if kind is Kind.PHONE:
        return re.sub(r"^ +(?=[1-9])", "+", text)
    return text.strip().replace(" ", "+") if kind is Kind.EMAIL else text


def _only(rows: Sequence[Any], service: Service) -> DirectoryEntry:
    if not rows:
        raise NotFound
    return entry(rows[0], service)
