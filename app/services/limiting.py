"""How often an address may call without a login."""

from app.core.clock import now
from app.core.errors import TooMany, seconds_until
from app.repositories.unit_of_work import UnitOfWork, retried
from app.services.budgets import Budgets


class LimitingService:
    def __init__(self, uow: UnitOfWork, budgets: Budgets) -> None:
        self.uow = uow
        self._budgets = budgets

    @retried
    async def count(self, *, ip: str) -> None:
        """Count one call from the address; raises TooMany over the limit."""
        charge = self._budgets.requests(ip)
        async with self.uow() as uow:
            overdrawn = await uow.budgets.take([charge])
        if overdrawn:
            raise TooMany(
                retry_after=seconds_until(overdrawn[0].until, now()),
                limit=charge.limit,
                window=int(charge.window.total_seconds()),
                policy=charge.name,
            )
