"""SQL for credential changes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, bindparam, case, func, or_, select, update

from app.core.callers import Caller
from app.core.errors import NotFound, SessionEnded
from app.models.accounts import Account
from app.models.credentials import OPEN, Credential, CredentialChange, State
from app.models.sessions import Session
from app.models.verification import Challenge
from app.repositories.base import LIVES, Repository, held, of, table
from app.repositories.direct import Fixed

Step = tuple[CredentialChange, Challenge]


def _with_account(which: Any) -> Any:
    return (
        select(Account, CredentialChange, Challenge)
        .join(Session, LIVES)
        .outerjoin(CredentialChange, and_(CredentialChange.account_id == Account.id, which))
        .outerjoin(Challenge, Challenge.id == CredentialChange.challenge_id)
    )


_OWN = _with_account(CredentialChange.id == bindparam("change_id"))
_OPEN_ONES = _with_account(
    and_(
        CredentialChange.state.in_(OPEN),
        or_(CredentialChange.state == State.WAITING, CredentialChange.expires_at > bindparam("caller_now")),
    )
)

_T = table(CredentialChange)
_CANCEL_ALL = Fixed(
    update(_T)
    .where(_T.c.account_id == bindparam("account"), or_(*(_T.c.state == state for state in OPEN)))
    .values(state=State.CANCELLED, undo_hash=None)
    .returning(_T.c.id, _T.c.effective_at)
)
_CANCEL_OF_SESSIONS = (
    update(CredentialChange)
    .where(
        CredentialChange.session_id.in_(bindparam("sessions", expanding=True)),
        CredentialChange.state.in_(bindparam("states", expanding=True)),
    )
    .values(state=State.CANCELLED, undo_hash=None)
    .returning(CredentialChange)
    .execution_options(populate_existing=True)
)


class CredentialChangeRepository(Repository):
    def add(self, change: CredentialChange) -> None:
        self._session.add(change)

    async def flush(self) -> None:
        """Let the "one open flow" constraint speak now."""
        await self._session.flush()

    async def own(
        self, caller: Caller, change_id: UUID, *, hold: bool = False
    ) -> tuple[Account, CredentialChange, Challenge]:
        """One of the caller's (`hold`: and the account); raises SessionEnded, and NotFound for anybody else's."""
        if hold:  # first: a statement that waits for a lock judges the session as it was before
            await self._session.execute(held(select(Account.id).where(Account.id == caller.account_id)))
        row = (await self._session.execute(_OWN, {**of(caller), "change_id": change_id})).one_or_none()
        if row is None:
            raise SessionEnded
        if row[1] is None:
            raise NotFound
        return row[0], row[1], row[2]

    async def open_ones(self, caller: Caller) -> tuple[Account, list[Step]]:
        """The caller's account with its open changes, in one statement; raises SessionEnded."""
        rows = (await self._session.execute(_OPEN_ONES, of(caller))).all()
        if not rows:
            raise SessionEnded
        steps = sorted(((row[1], row[2]) for row in rows if row[1]), key=lambda step: step[0].id)
        return rows[0][0], steps

    async def advance(self, change_id: UUID, source: State, at: datetime, **values: Any) -> CredentialChange | None:
        """Move on from `source`, if the change is still in it and its time is not over."""
        alive = CredentialChange.expires_at > at if source is not State.WAITING else CredentialChange.effective_at <= at
        return await self._session.scalar(
            update(CredentialChange)
            .where(CredentialChange.id == change_id, CredentialChange.state == source, alive)
            .values(**values)
            .returning(CredentialChange)
            .execution_options(populate_existing=True)
        )

    async def cancel(self, change_id: UUID) -> bool:
        statement = update(CredentialChange).where(CredentialChange.id == change_id, CredentialChange.state.in_(OPEN))
        return await self._changed(statement.values(state=State.CANCELLED, undo_hash=None)) == 1

    async def cancel_all(self, account_id: UUID) -> list[CredentialChange]:
        """Every open change of the account; those of them that waited."""
        cancelled = await self._run(_CANCEL_ALL, {"account": account_id})
        waited = [change_id for change_id, effective_at in cancelled if effective_at is not None]
        if not waited:
            return []
        found = select(CredentialChange).where(CredentialChange.id.in_(waited))
        return list(await self._session.scalars(found.execution_options(populate_existing=True)))

    async def cancel_of_sessions(self, sessions: Sequence[UUID], *, waiting: bool) -> list[CredentialChange]:
        """The open changes that these sessions started, those that wait as well if `waiting`; those that waited."""
        values = {"sessions": sessions, "states": OPEN if waiting else OPEN[:-1]}
        cancelled = await self._session.scalars(_CANCEL_OF_SESSIONS, values)
        return [change for change in cancelled if change.effective_at is not None]

    async def cancel_dead(self, account_id: UUID, credential: Credential, *, flow_tries: int, at: datetime) -> None:
        """Make room: changes whose time or tries are used up are over."""
        spent = select(Challenge.id).where(Challenge.account_id == account_id, Challenge.tries >= flow_tries)
        statement = update(CredentialChange).where(
            CredentialChange.account_id == account_id,
            CredentialChange.credential == credential,
            CredentialChange.state.in_(OPEN[:-1]),
            or_(CredentialChange.expires_at <= at, CredentialChange.challenge_id.in_(spent)),
        )
        await self._changed(statement.values(state=State.CANCELLED))

    async def last_replaced(self, account_id: UUID, credential: Credential) -> datetime | None:
        """When a value last gave way to another; a phone that was added replaced nothing."""
        return await self._session.scalar(
            select(func.max(CredentialChange.completed_at)).where(
                CredentialChange.account_id == account_id,
                CredentialChange.credential == credential,
                CredentialChange.state == State.COMPLETED,
                CredentialChange.old_value.is_not(None),
            )
        )

    async def unsettled(self, account_id: UUID) -> tuple[datetime | None, datetime | None]:
        """When any value last gave way to another, and until when one waits to."""
        replaced = and_(CredentialChange.state == State.COMPLETED, CredentialChange.old_value.is_not(None))
        statement = select(
            func.max(case((replaced, CredentialChange.completed_at))),
            func.max(case((CredentialChange.state == State.WAITING, CredentialChange.effective_at))),
        ).where(CredentialChange.account_id == account_id)
        row = (await self._session.execute(statement)).one()
        return row[0], row[1]

    async def by_undo_hash(self, undo_hash: bytes) -> CredentialChange | None:
        statement = select(CredentialChange).where(CredentialChange.undo_hash == undo_hash)
        return await self._session.scalar(statement.execution_options(populate_existing=True))

    async def undo(self, change: CredentialChange) -> bool:
        """Mark it undone, and with it the right to undo what came after it."""
        if change.completed_at is None:
            return False
        undone = update(CredentialChange).where(
            CredentialChange.id == change.id, CredentialChange.state == State.COMPLETED
        )
        later = update(CredentialChange).where(
            CredentialChange.account_id == change.account_id,
            CredentialChange.credential == change.credential,
            CredentialChange.completed_at >= change.completed_at,
        )
        if await self._changed(undone.values(state=State.UNDONE)) != 1:
            return False
        await self._changed(later.values(undo_hash=None))
        return True

    async def due(self, at: datetime, limit: int) -> list[UUID]:
        """Waiting changes whose time has come."""
        statement = (
            select(CredentialChange.id)
            .where(CredentialChange.state == State.WAITING, CredentialChange.effective_at <= at)
            .order_by(CredentialChange.effective_at)
            .limit(limit)
        )
        return list(await self._session.scalars(statement))

    async def get(self, change_id: UUID) -> CredentialChange | None:
        return await self._session.get(CredentialChange, change_id)
