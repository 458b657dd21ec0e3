"""SQL for budgets: one upsert counts any number of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Integer, LargeBinary, bindparam, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.core.clock import now
from app.core.database import UtcDateTime
from app.models.verification import Budget
from app.repositories.base import Repository, among, table
from app.repositories.direct import Fixed


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


# The table itself: what goes by its model passes the ORM, which would take these rows for objects of its own.
_TABLE = table(Budget)


def _counted(insert: "postgresql.Insert | sqlite.Insert") -> Any:
    """More uses of each row that is there; one whose window is over begins anew."""
    over = _TABLE.c.expires_at <= bindparam("at")
    return insert.on_conflict_do_update(
        index_elements=[_TABLE.c.key],
        set_={
            "used": case((over, insert.excluded.used), else_=_TABLE.c.used + insert.excluded.used),
            "expires_at": case((over, insert.excluded.expires_at), else_=_TABLE.c.expires_at),
        },
    ).returning(_TABLE.c.key, _TABLE.c.used, _TABLE.c.expires_at)


# However many there are it is one statement, prepared once; rows are taken in the order of the arrays.
_COUNT = Fixed(
    _counted(
        postgresql.insert(_TABLE).from_select(
            ["key", "used", "expires_at"],
            select(
                func.unnest(bindparam("keys", type_=postgresql.ARRAY(LargeBinary))),
                bindparam("uses", type_=Integer()),
                func.unnest(bindparam("ends", type_=postgresql.ARRAY(UtcDateTime))),
            ),
        )
    )
)

_GIVE_BACK = Fixed(
    {
        dialect: update(_TABLE).where(one_of, _TABLE.c.used > 0).values(used=_TABLE.c.used - 1)
        for dialect, one_of in among(_TABLE.c.key, "keys").items()
    }
)


class BudgetRepository(Repository):
    async def take(self, charges: Sequence[Charge], *, uses: int = 1) -> list[Overdrawn]:
        """Count every charge; those that went over their limit. Keys are taken in order, so that two never deadlock."""
        at = now()
        by_key = {charge.key: charge for charge in sorted(charges, key=lambda charge: charge.key)}
        ends = [at + charge.window for charge in by_key.values()]
        if self._dialect == "sqlite":  # which has no arrays
            rows = [{"key": key, "used": uses, "expires_at": end} for key, end in zip(by_key, ends, strict=True)]
            counted = (await self._session.execute(_counted(sqlite.insert(_TABLE).values(rows)), {"at": at})).all()
        else:
            counted = await self._run(_COUNT, {"keys": list(by_key), "ends": ends, "uses": uses, "at": at})
        return [Overdrawn(by_key[key], until) for key, used, until in counted if used > by_key[key].limit]

    async def give_back(self, keys: Iterable[bytes]) -> None:
        """Undo one use of each: what was counted beforehand turned out to be right."""
        await self._run(_GIVE_BACK, {"keys": sorted(keys)})
