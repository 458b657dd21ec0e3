"""SQL for accounts as other services see them. Each read is one statement, the caller's right to it included."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select, update

from app.core.callers import Service
from app.core.contacts import Identifier, Kind
from app.core.errors import ClientDisabled
from app.models.accounts import Account, AccountReference
from app.repositories.base import Repository, through_client

_SHOWN = (
    Account.id,
    Account.username,
    Account.email,
    Account.phone,
    Account.status,
    Account.real_name_status,
    Account.arbitrary_settlement,
    Account.company_name,
    Account.industry,
    Account.region,
    Account.contact_name,
    Account.locale,
    Account.time_zone,
    Account.created_at,
    Account.updated_at,
    Account.closed_at,
)
_BY_KIND = {Kind.USERNAME: Account.username_key, Kind.EMAIL: Account.email_key, Kind.PHONE: Account.phone}


class DirectoryRepository(Repository):
    async def by_ids(self, service: Service, ids: Collection[UUID]) -> list[Any]:
        """Those that exist; raises ClientDisabled."""
        return await self._read(service, Account.id.in_(ids))

    async def by_identifier(self, service: Service, identifier: Identifier) -> list[Any]:
        """One or none; raises ClientDisabled."""
        return await self._read(service, _BY_KIND[identifier.kind] == identifier.key)

    async def shown(self, account_id: UUID) -> Any:
        """One that exists, within a transaction of the caller's."""
        return (await self._session.execute(select(*_SHOWN).where(Account.id == account_id))).one()

    async def reference(self, client_id: UUID, reference: str) -> AccountReference | None:
        return await self._session.get(AccountReference, (client_id, reference))

    def add(self, reference: AccountReference) -> None:
        self._session.add(reference)

    async def set(self, account_id: UUID, values: Mapping[str, object]) -> None:
        await self._changed(update(Account).where(Account.id == account_id).values(**values))

    async def _read(self, service: Service, which: ColumnElement[bool]) -> list[Any]:
        rows = (await self._session.execute(through_client(service, select(*_SHOWN).where(which)))).all()
        if not rows:
            raise ClientDisabled
        return [row for row in rows if row.id]
