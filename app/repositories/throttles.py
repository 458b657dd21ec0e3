"""SQL for the slowing down of logins."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.core.clock import now
from app.models.throttles import LoginThrottle
from app.repositories.base import Repository, among, table
from app.repositories.direct import Fixed

_T = table(LoginThrottle)


def _attempt(insert: "postgresql.Insert | sqlite.Insert") -> Any:
    """One failure more, unless it is too early for another attempt."""
    over = _T.c.expires_at <= bindparam("at")
    return insert.on_conflict_do_update(
        index_elements=[_T.c.key],
        set_={"failures": case((over, 1), else_=_T.c.failures + 1), "expires_at": insert.excluded.expires_at},
        where=_T.c.next_at <= bindparam("at"),
    ).returning(_T.c.failures)


_ROW = {"key": bindparam("key"), "failures": 1, "next_at": bindparam("at"), "expires_at": bindparam("ends")}
_ATTEMPT = Fixed(
    {
        "postgresql": _attempt(postgresql.insert(_T).values(_ROW)),
        "sqlite": _attempt(sqlite.insert(_T).values(_ROW)),
    }
)
_FORGET = Fixed({dialect: delete(_T).where(one_of) for dialect, one_of in among(_T.c.key, "keys").items()})


class ThrottleRepository(Repository):
    async def attempt(self, key: bytes, *, memory: timedelta) -> int | None:
        """Count one attempt as a failure; how many there are now. None when it is too early for another.

        The row stays locked until the transaction ends, so that parallel attempts stand in line.
        """
        at = now()
        found = await self._run(_ATTEMPT, {"key": key, "at": at, "ends": at + memory})
        failures: int | None = found.scalar()
        return failures

    async def wait_until(self, key: bytes, moment: datetime) -> None:
        await self._changed(update(LoginThrottle).where(LoginThrottle.key == key).values(next_at=moment))

    async def next_at(self, key: bytes) -> datetime | None:
        return await self._session.scalar(select(LoginThrottle.next_at).where(LoginThrottle.key == key))

    async def forget(self, keys: Sequence[bytes]) -> None:
        await self._run(_FORGET, {"keys": sorted(keys)})
