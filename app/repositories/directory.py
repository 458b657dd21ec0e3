"""SQL for accounts as other services see them. Each read is one statement, the caller's right to it included."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select, update

from app.core.callers import Service
from app.core.contacts import Identifier, Kind
from app.core.errors import ClientDisabled
from app.models.accounts import Account, AccountReference
from app.repositories.base import Repository, among, by, through_client
from app.repositories.direct import Fixed

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
_KEYS = {Kind.USERNAME: Account.username_key, Kind.EMAIL: Account.email_key, Kind.PHONE: Account.phone}
_BY_KIND = {
    kind: Fixed(through_client(select(*_SHOWN).where(column == bindparam("key")))) for kind, column in _KEYS.items()
}
_BY_IDS = Fixed(
    {dialect: through_client(select(*_SHOWN).where(which)) for dialect, which in among(Account.id, "ids").items()}
)


class DirectoryRepository(Repository):
    async def by_ids(self, service: Service, ids: Collection[UUID]) -> list[Any]:
        """Those that exist; raises ClientDisabled."""
        return await self._read(_BY_IDS, {**by(service), "ids": list(ids)})

    async def by_identifier(self, service: Service, identifier: Identifier) -> list[Any]:
        """One or none; raises ClientDisabled."""
        return await self._read(_BY_KIND[identifier.kind], {**by(service), "key": identifier.key})

    async def shown(self, account_id: UUID) -> Any:
        """One that exists, within a transaction of the caller's."""
        return (await self._session.execute(select(*_SHOWN).where(Account.id == account_id))).one()

    async def reference(self, client_id: UUID, reference: str) -> AccountReference | None:
        return await self._session.get(AccountReference, (client_id, reference))

    def add(self, reference: AccountReference) -> None:
        self._session.add(reference)

    async def set(self, account_id: UUID, values: Mapping[str, object]) -> None:
        await self._changed(update(Account).where(Account.id == account_id).values(**values))

    async def _read(self, statement: Fixed, values: Mapping[str, object]) -> list[Any]:
        rows = await self._run(statement, values)
        if not rows:
            raise ClientDisabled
        return [row for row in rows if row.id]
