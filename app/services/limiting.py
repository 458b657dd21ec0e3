"""How often an address may call without a login."""

from app.core.errors import TooMany
from app.repositories.unit_of_work import UnitOfWork, retried
from app.services.budgets import Budgets, refusal


class LimitingService:
    def __init__(self, uow: UnitOfWork, budgets: Budgets) -> None:
        self.uow = uow
        self._budgets = budgets

    @retried
    async def count(self, *, ip: str) -> None:
        """Count one call from the address; raises TooMany over the limit."""
        async with self.uow() as uow:
            overdrawn = await uow.budgets.take([self._budgets.requests(ip)])
        if overdrawn:
            raise refusal(TooMany, overdrawn)
