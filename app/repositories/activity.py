"""SQL for the activity trail."""

from typing import Any
from uuid import UUID

from sqlalchemy import select

from app.core.callers import Caller
from app.core.errors import SessionEnded
from app.models.activity import Activity
from app.repositories.base import Journal, after, of, through_session

_COLUMNS = Activity.__table__.columns


class ActivityRepository(Journal[Activity]):
    async def of(self, account_id: UUID, *, cursor: UUID | None, limit: int) -> list[Any]:
        """An account's, whoever asks; newest first."""
        statement = select(*_COLUMNS).where(Activity.account_id == account_id, after(Activity.id, cursor))
        return list(await self._session.execute(statement.order_by(Activity.id.desc()).limit(limit)))

    async def page(self, caller: Caller, *, cursor: UUID | None, limit: int) -> list[Any]:
        """Newest first, `limit` at most; raises SessionEnded."""
        listing = (
            select(*_COLUMNS)
            .where(Activity.account_id == caller.account_id, after(Activity.id, cursor))
            .order_by(Activity.id.desc())
            .limit(limit)
        )
        rows = (await self._session.execute(through_session(listing), of(caller))).all()
        if not rows:
            raise SessionEnded
        return sorted((row for row in rows if row.id), key=lambda row: row.id, reverse=True)
