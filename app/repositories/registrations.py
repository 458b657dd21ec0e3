"""SQL for registrations."""

from uuid import UUID

from app.models.accounts import Registration
from app.repositories.base import Repository


class RegistrationRepository(Repository):
    def add(self, registration: Registration) -> None:
        self._session.add(registration)

    async def get(self, registration_id: UUID) -> Registration | None:
        return await self._session.get(Registration, registration_id)
