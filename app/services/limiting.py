"""How often an address may call without a login."""

from app.core.clock import now
from app.core.errors import TooMany
from app.repositories.budgets import Overdrawn
from app.repositories.unit_of_work import UnitOfWork, retried
from app.services.budgets import Budgets, refusal

_REMEMBERED = 10_000  # addresses; what a process that forgets one pays is a look at the database


class LimitingService:
    """The database counts, for all processes together. A process remembers whom it refused until when, so that a
    flood of calls that are refused anyway does not stand in line for the one row that counts them."""

    def __init__(self, uow: UnitOfWork, budgets: Budgets) -> None:
        self.uow = uow
        self._budgets = budgets
        self.refused: dict[str, Overdrawn] = {}

    async def count(self, *, ip: str) -> None:
        """Count one call from the address; raises TooMany over the limit."""
        if (known := self.refused.get(ip)) and known.until > now():
            raise refusal(TooMany, [known])
        if overdrawn := await self._taken(ip):
            self._remember(ip, overdrawn[0])
            raise refusal(TooMany, overdrawn)

    @retried
    async def _taken(self, ip: str) -> list[Overdrawn]:
        with self.uow.rows() as uow:  # one statement is a transaction of its own
            return await uow.budgets.take([self._budgets.requests(ip)])

    def _remember(self, ip: str, overdrawn: Overdrawn) -> None:
        self.refused.pop(ip, None)
        if len(self.refused) >= _REMEMBERED:
            del self.refused[next(iter(self.refused))]
        self.refused[ip] = overdrawn
