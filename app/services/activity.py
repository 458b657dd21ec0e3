"""The activity trail: written beside each effect, read by the holder."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core.callers import Caller, Origin
from app.models.activity import Action, Activity, Actor
from app.repositories.unit_of_work import UnitOfWork, Work


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened."""

    id: UUID
    action: str
    actor: str
    session_id: UUID | None
    ip: str | None
    user_agent: str | None
    request_id: str | None
    old_value: str | None
    new_value: str | None
    created_at: datetime


def record(
    uow: Work,
    action: Action,
    account_id: UUID | None,
    *,
    origin: Origin | None = None,
    session_id: UUID | None = None,
    actor: Actor = Actor.HOLDER,
    old: str | None = None,
    new: str | None = None,
) -> None:
    """Write one act, in the transaction of its effect; `old` and `new` come masked.

    No origin: the service did it by itself. No account: nobody's.
    """
    uow.activity.add(
        Activity(
            account_id=account_id,
            action=action,
            actor=actor,
            session_id=session_id,
            ip=origin.ip if origin else None,
            user_agent=origin.user_agent if origin else None,
            request_id=origin.request_id if origin else None,
            old_value=old,
            new_value=new,
        )
    )


class ActivityService:
    """What happened to my account, by whom, from where."""

    def __init__(self, uow: UnitOfWork) -> None:
        self.uow = uow

    async def page(self, *, caller: Caller, cursor: UUID | None, limit: int) -> list[Entry]:
        """Newest first; one more than `limit` when there is more. Raises SessionEnded."""
        async with self.uow.reading() as uow:
            rows = await uow.activity.page(caller, cursor=cursor, limit=limit + 1)
        return [Entry(**{name: getattr(row, name) for name in Entry.__slots__}) for row in rows]
