"""SQL for signing keys."""

from datetime import datetime

from sqlalchemy import select, update

from app.models.sessions import StoredKey
from app.repositories.base import Repository


class SigningKeyRepository(Repository):
    def add(self, key: StoredKey) -> None:
        self._session.add(key)

    async def all(self) -> list[StoredKey]:
        """In the order in which they start to sign, revoked ones included."""
        return list(await self._session.scalars(select(StoredKey).order_by(StoredKey.active_from, StoredKey.kid)))

    async def revoke(self, kid: str, at: datetime) -> bool:
        statement = update(StoredKey).where(StoredKey.kid == kid, StoredKey.revoked_at.is_(None))
        return await self._changed(statement.values(revoked_at=at)) == 1
