"""SQL for answers kept by `Idempotency-Key`."""

from datetime import datetime

from sqlalchemy import delete, or_, select, update

from app.models.idempotency import IdempotentAnswer
from app.repositories.base import Repository


class IdempotencyRepository(Repository):
    async def claim(
        self, key: bytes, *, fingerprint: bytes, at: datetime, locked_until: datetime, expires_at: datetime
    ) -> bool:
        """Make the key ours: it is new, its answer is too old to keep, or who computed the answer died over it."""
        fresh = {
            "fingerprint": fingerprint,
            "status": None,
            "headers": None,
            "body": None,
            "locked_until": locked_until,
            "expires_at": expires_at,
        }
        died = IdempotentAnswer.status.is_(None) & (IdempotentAnswer.locked_until <= at)
        statement = (
            self._insert(IdempotentAnswer)
            .values(key=key, **fresh)
            .on_conflict_do_update(
                index_elements=[IdempotentAnswer.key],
                set_=fresh,
                where=or_(IdempotentAnswer.expires_at <= at, died & (IdempotentAnswer.fingerprint == fingerprint)),
            )
            .returning(IdempotentAnswer.key)
        )
        return await self._session.scalar(statement) is not None

    async def get(self, key: bytes) -> IdempotentAnswer | None:
        return await self._session.scalar(select(IdempotentAnswer).where(IdempotentAnswer.key == key))

    async def keep(self, key: bytes, *, status: int, headers: dict[str, str], body: bytes) -> None:
        await self._changed(
            update(IdempotentAnswer)
            .where(IdempotentAnswer.key == key)
            .values(status=status, headers=headers, body=body)
        )

    async def release(self, key: bytes) -> None:
        """Nothing was done: the same key may try again."""
        await self._changed(
            delete(IdempotentAnswer).where(IdempotentAnswer.key == key, IdempotentAnswer.status.is_(None))
        )
