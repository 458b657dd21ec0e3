"""SQL for the slowing down of logins."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import case, delete, select, update

from app.core.clock import now
from app.models.throttles import LoginThrottle
from app.repositories.base import Repository


class ThrottleRepository(Repository):
    async def attempt(self, key: bytes, *, memory: timedelta) -> int | None:
        """Count one attempt as a failure; how many there are now. None when it is too early for another.

        The row stays locked until the transaction ends, so that parallel attempts stand in line.
        """
        at = now()
        over = LoginThrottle.expires_at <= at
        insert = self._insert(LoginThrottle).values(key=key, failures=1, next_at=at, expires_at=at + memory)
        statement = insert.on_conflict_do_update(
            index_elements=[LoginThrottle.key],
            set_={
                "failures": case((over, 1), else_=LoginThrottle.failures + 1),
                "expires_at": insert.excluded.expires_at,
            },
            where=LoginThrottle.next_at <= at,
        ).returning(LoginThrottle.failures)
        return await self._session.scalar(statement)

    async def wait_until(self, key: bytes, moment: datetime) -> None:
        await self._changed(update(LoginThrottle).where(LoginThrottle.key == key).values(next_at=moment))

    async def next_at(self, key: bytes) -> datetime | None:
        return await self._session.scalar(select(LoginThrottle.next_at).where(LoginThrottle.key == key))

    async def forget(self, keys: Sequence[bytes]) -> None:
        await self._changed(delete(LoginThrottle).where(LoginThrottle.key.in_(sorted(keys))))
