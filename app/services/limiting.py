"""How often an address may call without a login."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from app.core.clock import now
from app.core.errors import TooMany
from app.repositories.budgets import Charge, Overdrawn
from app.repositories.unit_of_work import UnitOfWork, retried
from app.services.budgets import Budgets, refusal

_SHARE = 60  # of the limit that may be untold: nothing of one that is small
_REMEMBERED = 10_000  # addresses; what a process that forgets one pays is a look at the database
T = TypeVar("T")


@dataclass(slots=True)
class Untold:
    """Calls that a process has let in and not told the database of, since `begun`."""

    calls: int
    begun: datetime


class LimitingService:
    """The database counts, for all processes together; a process tells it of `untold` calls of an address at once.

    So an address that calls now and then costs nothing, and one that exceeds the limit gets less than `untold` calls
    too many from each process. Whom a process refused, it remembers until when: a flood of calls that are refused
    anyway does not stand in line for the one row that counts them.
    """

    def __init__(self, uow: UnitOfWork, budgets: Budgets, *, untold: int) -> None:
        self.uow = uow
        self._budgets = budgets
        self._most_untold = untold
        self.untold: dict[str, Untold] = {}
        self.refused: dict[str, Overdrawn] = {}

    async def count(self, *, ip: str) -> None:
        """Count one call from the address; raises TooMany over the limit."""
        if (known := self.refused.get(ip)) and known.until > now():
            raise refusal(TooMany, [known])
        charge = self._budgets.requests(ip)
        calls = self._another(ip, charge.window)
        if calls < min(self._most_untold, charge.limit // _SHARE):
            return
        del self.untold[ip]
        if overdrawn := await self._taken(charge, calls):
            _remember(self.refused, ip, overdrawn[0])
            raise refusal(TooMany, overdrawn)

    def forget(self) -> None:
        """Everything that is not in the database."""
        self.untold.clear()
        self.refused.clear()

    def _another(self, ip: str, window: timedelta) -> int:
        """One call more; how many are untold now."""
        at, known = now(), self.untold.get(ip)
        if known is None or known.begun + window <= at:
            _remember(self.untold, ip, known := Untold(0, at))
        known.calls += 1
        return known.calls

    @retried
    async def _taken(self, charge: Charge, calls: int) -> list[Overdrawn]:
        with self.uow.rows() as uow:  # one statement is a transaction of its own
            return await uow.budgets.take([charge], uses=calls)


def _remember(known: dict[str, T], ip: str, what: T) -> None:
    known.pop(ip, None)
    if len(known) >= _REMEMBERED:
        del known[next(iter(known))]
    known[ip] = what
