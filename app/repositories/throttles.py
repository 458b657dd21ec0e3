"""SQL for the slowing down of logins."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import LargeBinary, bindparam, case, delete, func, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.core.clock import now
from app.core.database import UtcDateTime
from app.models.throttles import LoginThrottle
from app.repositories.base import Repository, among, table
from app.repositories.direct import Fixed

_T = table(LoginThrottle)
# Not "from now on": whoever counted at once, or by a slower clock, would be told to come later.
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


def _attempt(insert: "postgresql.Insert | sqlite.Insert") -> Any:
    """One failure more for each key, unless it is too early for another attempt."""
    over = _T.c.expires_at <= bindparam("at")
    return insert.on_conflict_do_update(
        index_elements=[_T.c.key],
        set_={"failures": case((over, 1), else_=_T.c.failures + 1), "expires_at": insert.excluded.expires_at},
        where=_T.c.next_at <= bindparam("at"),
    ).returning(_T.c.key, _T.c.failures)


# Rows are taken in the order of the arrays.
_ATTEMPT = Fixed(
    _attempt(
        postgresql.insert(_T).from_select(
            ["key", "failures", "next_at", "expires_at"],
            select(
                func.unnest(bindparam("keys", type_=postgresql.ARRAY(LargeBinary))),
                literal_column("1"),
                bindparam("ever", type_=UtcDateTime()),
                func.unnest(bindparam("ends", type_=postgresql.ARRAY(UtcDateTime))),
            ),
        )
    )
)
_FORGET = Fixed(
    {
        # Taken in order; a DELETE takes them in whatever order it finds them.
        dialect: delete(_T).where(_T.c.key.in_(select(_T.c.key).where(one_of).order_by(_T.c.key).with_for_update()))
        for dialect, one_of in among(_T.c.key, "keys").items()
    }
)


class ThrottleRepository(Repository):
    """Keys are taken in order, so that two never deadlock."""

    async def attempt(self, memory: Mapping[bytes, timedelta]) -> dict[bytes, int]:
        """Count one attempt as a failure of each key, remembered for so long; how many it has now.

        A key is missing when it is too early for another. The rows stay locked until the transaction ends, so that
        parallel attempts stand in line.
        """
        at, keys = now(), sorted(memory)
        ends = [at + memory[key] for key in keys]
        if self._dialect == "sqlite":  # which has no arrays
            rows = [
                {"key": key, "failures": 1, "next_at": _EVER, "expires_at": end}
                for key, end in zip(keys, ends, strict=True)
            ]
            found = (await self._session.execute(_attempt(sqlite.insert(_T).values(rows)), {"at": at})).all()
        else:
            found = await self._run(_ATTEMPT, {"keys": keys, "ends": ends, "ever": _EVER, "at": at})
        return {row.key: row.failures for row in found}

    async def wait_until(self, key: bytes, moment: datetime) -> None:
        await self._changed(update(LoginThrottle).where(LoginThrottle.key == key).values(next_at=moment))

    async def next_at(self, key: bytes) -> datetime | None:
        return await self._session.scalar(select(LoginThrottle.next_at).where(LoginThrottle.key == key))

    async def forget(self, keys: Sequence[bytes]) -> None:
        await self._run(_FORGET, {"keys": sorted(keys)})
