"""SQL for the keys that seal personal data."""

from sqlalchemy import select

from app.models.real_name import DataKeyRow
from app.repositories.base import Repository


class DataKeyRepository(Repository):
    def add(self, key: DataKeyRow) -> None:
        self._session.add(key)

    async def all(self) -> list[DataKeyRow]:
        """The oldest first."""
        return list(await self._session.scalars(select(DataKeyRow).order_by(DataKeyRow.id)))
