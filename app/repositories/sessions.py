"""SQL for sessions and login tickets."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, case, select, update

from app.core.callers import Caller
from app.core.clock import now
from app.core.errors import SessionEnded
from app.models.accounts import Account
from app.models.sessions import Ending, LoginTicket, Session
from app.repositories.base import LIVES, Journal, after, of, table, through_session
from app.repositories.direct import Fixed

_SHOWN = (
    Session.id,
    Session.method,
    Session.ip,
    Session.user_agent,
    Session.auth_time,
    Session.last_used_at,
    Session.expires_at,
)
_IS_LIVE = Fixed(select(Session.id).join(Account, LIVES))


_T, _TICKETS = table(Session), table(LoginTicket)
_VOID_TICKETS = Fixed(
    update(_TICKETS)
    .where(_TICKETS.c.account_id == bindparam("account"), _TICKETS.c.used_at.is_(None))
    .values(used_at=bindparam("at"))
)
_END_ALL = (
    update(_T)
    .where(_T.c.account_id == bindparam("account"), _T.c.ended_at.is_(None))
    .values(ended_at=bindparam("at"), end_reason=bindparam("reason"), successor=None)
    .returning(_T.c.id)
)
_END = Fixed(_END_ALL)
_END_ONE = Fixed(_END_ALL.where(_T.c.id == bindparam("only")))
_END_OTHERS = Fixed(_END_ALL.where(_T.c.id != bindparam("keep")))


class SessionRepository(Journal[Session]):
    def add_ticket(self, ticket: LoginTicket) -> None:
        self._session.add(ticket)

    async def void_tickets(self, account_id: UUID, at: datetime) -> None:
        await self._run(_VOID_TICKETS, {"account": account_id, "at": at})

    async def is_live(self, caller: Caller) -> bool:
        """For a call that loads nothing through its session."""
        return bool(await self._run(_IS_LIVE, of(caller)))

    async def page(self, caller: Caller, *, cursor: UUID | None, limit: int) -> list[Any]:
        """The live sessions of the caller's account, newest first; raises SessionEnded."""
        listing = (
            select(*_SHOWN)
            .where(
                Session.account_id == caller.account_id,
                Session.ended_at.is_(None),
                Session.expires_at > now(),
                after(Session.id, cursor),
            )
            .order_by(Session.id.desc())
            .limit(limit)
        )
        rows = (await self._session.execute(through_session(listing), of(caller))).all()
        if not rows:
            raise SessionEnded
        return sorted((row for row in rows if row.id), key=lambda row: row.id, reverse=True)

    async def with_account(self, session_id: UUID) -> tuple[Session, Account] | None:
        row = (
            await self._session.execute(select(Session, Account).join(Account).where(Session.id == session_id))
        ).one_or_none()
        return (row[0], row[1]) if row else None

    async def reload(self, session: Session) -> Session:
        """As it is now, after another call may have changed it."""
        await self._session.refresh(session)
        return session

    async def rotate(
        self,
        session: Session,
        *,
        old: bytes,
        new: bytes,
        successor: bytes,
        at: datetime,
        idle_until: datetime,
    ) -> bool:
        """Put `new` in the place of `old`; False when another call did so first, or the session ended."""
        idle = case((Session.final_at < idle_until, Session.final_at), else_=idle_until)
        statement = update(Session).where(
            Session.id == session.id,
            Session.refresh_hash == old,
            Session.ended_at.is_(None),
            Session.expires_at > at,
        )
        return (
            await self._changed(
                statement.values(
                    refresh_hash=new,
                    previous_hash=old,
                    successor=successor,
                    rotated_at=at,
                    last_used_at=at,
                    expires_at=idle,
                )
            )
            == 1
        )

    async def end(
        self,
        account_id: UUID,
        *,
        reason: Ending,
        at: datetime,
        only: UUID | None = None,
        keep: UUID | None = None,
    ) -> list[UUID]:
        """End the account's live sessions (only one, or all but one); which those were."""
        values = {"account": account_id, "at": at, "reason": reason}
        statement = _END
        if only is not None:
            statement, values = _END_ONE, {**values, "only": only}
        elif keep is not None:
            statement, values = _END_OTHERS, {**values, "keep": keep}
        return (await self._run(statement, values)).scalars()

    async def ticket(self, ticket_hash: bytes) -> LoginTicket | None:
        return await self._session.get(LoginTicket, ticket_hash)

    async def redeem_ticket(self, ticket_hash: bytes, at: datetime) -> LoginTicket | None:
        """Use the ticket up; None when there is no such one left."""
        return await self._session.scalar(
            update(LoginTicket)
            .where(
                LoginTicket.ticket_hash == ticket_hash,
                LoginTicket.used_at.is_(None),
                LoginTicket.expires_at > at,
            )
            .values(used_at=at)
            .returning(LoginTicket)
        )
