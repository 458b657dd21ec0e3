"""SQL for budgets: one upsert counts any number of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, update

from app.core.clock import now
from app.models.verification import Budget
from app.repositories.base import Repository


@dataclass(frozen=True, slots=True)
class Charge:
    """One use of a budget: at most `limit` in each `window`, which begins with the first use."""

    name: str
    key: bytes
    limit: int
    window: timedelta


@dataclass(frozen=True, slots=True)
class Overdrawn:
    """A budget that is used up, until `until`."""

    charge: Charge
    until: datetime


class BudgetRepository(Repository):
    async def take(self, charges: Sequence[Charge]) -> list[Overdrawn]:
        """Count every charge; those that went over their limit. Keys are taken in order, so that two never deadlock."""
        at = now()
        by_key = {charge.key: charge for charge in sorted(charges, key=lambda charge: charge.key)}
        insert = self._insert(Budget).values(
            [{"key": key, "used": 1, "expires_at": at + charge.window} for key, charge in by_key.items()]
        )
        over = Budget.expires_at <= at
        statement = insert.on_conflict_do_update(
            index_elements=[Budget.key],
            set_={
                "used": case((over, 1), else_=Budget.used + 1),
                "expires_at": case((over, insert.excluded.expires_at), else_=Budget.expires_at),
            },
        ).returning(Budget.key, Budget.used, Budget.expires_at)
        rows = (await self._session.execute(statement)).all()
        return [Overdrawn(by_key[key], until) for key, used, until in rows if used > by_key[key].limit]

    async def give_back(self, keys: Iterable[bytes]) -> None:
        """Undo one use of each: what was counted beforehand turned out to be right."""
        await self._changed(
            update(Budget).where(Budget.key.in_(sorted(keys)), Budget.used > 0).values(used=Budget.used - 1)
        )
