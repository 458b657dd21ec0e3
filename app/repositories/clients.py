"""SQL for service clients."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from app.core.callers import Service
from app.models.clients import ClientSecret, ServiceClient
from app.repositories.base import SERVES, Repository, by
from app.repositories.direct import Fixed

_IS_LIVE = Fixed(select(ServiceClient.id).join(ClientSecret, SERVES))


class ClientRepository(Repository):
    def add(self, row: ServiceClient | ClientSecret) -> None:
        self._session.add(row)

    async def flush(self) -> None:
        """The client before its secret."""
        await self._session.flush()

    async def is_live(self, service: Service) -> bool:
        """For a call that loads nothing through its client."""
        return bool(await self._run(_IS_LIVE, by(service)))

    async def use_secret(self, client_id: UUID, secret_hash: bytes, at: datetime) -> tuple[ServiceClient, UUID] | None:
        """The client that may act with the secret, and the secret's id; notes the use."""
        live = select(ServiceClient.id).where(ServiceClient.id == client_id, ServiceClient.disabled_at.is_(None))
        used = await self._session.scalar(
            update(ClientSecret)
            .where(
                ClientSecret.client_id.in_(live),
                ClientSecret.secret_hash == secret_hash,
                ClientSecret.revoked_at.is_(None),
            )
            .values(last_used_at=at)
            .returning(ClientSecret.id)
            .execution_options(synchronize_session=False)
        )
        return (await self._session.get_one(ServiceClient, client_id), used) if used else None

    async def hold(self, client_id: UUID) -> ServiceClient | None:
        """Nobody else's until the transaction ends."""
        return await self._session.scalar(select(ServiceClient).where(ServiceClient.id == client_id).with_for_update())

    async def secrets_of(self, clients: Sequence[UUID]) -> list[ClientSecret]:
        """Those that were not revoked, oldest first."""
        statement = select(ClientSecret).where(ClientSecret.client_id.in_(clients), ClientSecret.revoked_at.is_(None))
        return list(await self._session.scalars(statement.order_by(ClientSecret.id)))

    async def all(self) -> list[ServiceClient]:
        return list(await self._session.scalars(select(ServiceClient).order_by(ServiceClient.name)))

    async def names(self, clients: set[UUID]) -> dict[UUID, str]:
        rows: Any = await self._session.execute(
            select(ServiceClient.id, ServiceClient.name).where(ServiceClient.id.in_(clients))
        )
        return {row.id: row.name for row in rows}

    async def revoke_secret(self, client_id: UUID, secret_id: UUID, at: datetime) -> bool:
        statement = update(ClientSecret).where(
            ClientSecret.id == secret_id, ClientSecret.client_id == client_id, ClientSecret.revoked_at.is_(None)
        )
        return await self._changed(statement.values(revoked_at=at)) == 1
