"""The activity trail: written beside each effect, read by the holder."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack
from uuid import UUID

from app.core.callers import Caller, Origin, Service, Staff
from app.core.errors import NotFound
from app.models.activity import Action, Activity, Actor
from app.repositories.unit_of_work import UnitOfWork, Work


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened."""

    id: UUID
    action: str
    actor: str
    actor_name: str | None
    reason: str | None
    session_id: UUID | None
    ip: str | None
    user_agent: str | None
    request_id: str | None
    old_value: str | None
    new_value: str | None
    created_at: datetime


def record(uow: Work, action: Action, account_id: UUID | None, **members: Unpack["Members"]) -> None:
    """Write one act, in the transaction of its effect."""
    uow.activity.add(entry(action, account_id, **members))


class Members(TypedDict, total=False):
    """What else is said of an act; `old` and `new` come masked. No origin: the service did it by itself."""

    origin: Origin | None
    session_id: UUID | None
    actor: Actor
    name: str | None
    old: str | None
    new: str | None


def entry(action: Action, account_id: UUID | None, **members: Unpack[Members]) -> Activity:
    """One act, to be written. No account: nobody's."""
    origin = members.get("origin")
    return Activity(
        account_id=account_id,
        action=action,
        actor=members.get("actor", Actor.HOLDER),
        actor_name=members.get("name"),
        session_id=members.get("session_id"),
        ip=origin.ip if origin else None,
        user_agent=origin.user_agent if origin else None,
        request_id=origin.request_id if origin else None,
        old_value=members.get("old"),
        new_value=members.get("new"),
    )


def record_staff(
    uow: Work, action: Action, account_id: UUID, staff: Staff, *, old: str | None = None, new: str | None = None
) -> None:
    """Write what a person at Guance did, with who it was and why."""
    uow.activity.add(
        Activity(
            account_id=account_id,
            action=action,
            actor=Actor.STAFF,
            actor_name=staff.name,
            reason=staff.reason,
            old_value=old,
            new_value=new,
            **_through(staff.service),
        )
    )


def record_service(
    uow: Work, action: Action, account_id: UUID, service: Service, *, name: str | None = None, new: str | None = None
) -> None:
    """Write what another service did, for `name` where it acted for a person."""
    uow.activity.add(
        Activity(
            account_id=account_id,
            action=action,
            actor=Actor.SERVICE,
            actor_name=name,
            new_value=new,
            **_through(service),
        )
    )


def _through(service: Service) -> dict[str, Any]:
    return {
        "client_id": service.client_id,
        "ip": service.origin.ip,
        "user_agent": service.origin.user_agent,
        "request_id": service.origin.request_id,
    }


@dataclass(frozen=True, slots=True)
class AuditEntry(Entry):
    """The same for staff: with the service through which it was done."""

    client: str | None


class ActivityService:
    """What happened to an account, by whom, from where."""

    def __init__(self, uow: UnitOfWork) -> None:
        self.uow = uow

    async def page(self, *, caller: Caller, cursor: UUID | None, limit: int) -> list[Entry]:
        """Newest first; one more than `limit` when there is more. Raises SessionEnded."""
        async with self.uow.reading() as uow:
            rows = await uow.activity.page(caller, cursor=cursor, limit=limit + 1)
        return [Entry(**_members(row)) for row in rows]

    async def audit(self, *, account_id: UUID, cursor: UUID | None, limit: int) -> list[AuditEntry]:
        """The same for staff. Raises NotFound."""
        async with self.uow.reading() as uow:
            rows = await uow.activity.of(account_id, cursor=cursor, limit=limit + 1)
            if not rows and await uow.accounts.get(account_id) is None:
                raise NotFound
            names = await uow.clients.names({row.client_id for row in rows if row.client_id})
        return [AuditEntry(**_members(row), client=names.get(row.client_id)) for row in rows]


def _members(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in Entry.__slots__}
