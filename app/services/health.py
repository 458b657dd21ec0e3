"""Whether this process can serve."""

from app.core.errors import AppError
from app.core.tokens import Tokens
from app.repositories.unit_of_work import UnitOfWork


class HealthService:
    def __init__(self, uow: UnitOfWork, tokens: Tokens, *, head: str) -> None:
        self.uow = uow
        self._tokens = tokens
        self._head = head

    async def checks(self) -> dict[str, bool]:
        """database: it answers; schema: it is at the revision of this code; signing_key: there is one that signs."""
        try:
            async with self.uow.reading() as uow:
                revision = await uow.schema.revision()
        except AppError:
            return {"database": False, "schema": False, "signing_key": self._tokens.ready}
        return {"database": True, "schema": revision == self._head, "signing_key": self._tokens.ready}
