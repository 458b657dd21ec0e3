"""What repositories share: a session that somebody else commits, and upserts in the dialect at hand."""

from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, GenerativeSelect, and_, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase

from app.core.callers import Caller
from app.core.clock import now
from app.models.accounts import Account, Status
from app.models.sessions import Session

S = TypeVar("S", bound=GenerativeSelect)


class Repository:
    """SQL and nothing but SQL. Never commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def _insert(self, model: type[DeclarativeBase]) -> "postgresql.Insert | sqlite.Insert":
        dialect = self._session.get_bind().dialect.name
        return postgresql.insert(model) if dialect == "postgresql" else sqlite.insert(model)

    async def _changed(self, statement: Any) -> int:
        """Run an UPDATE or DELETE; how many rows it touched."""
        result = await self._session.execute(statement, execution_options={"synchronize_session": False})
        assert isinstance(result, CursorResult)  # noqa: S101 - narrows the type
        return result.rowcount


def lives(caller: Caller) -> ColumnElement[bool]:
    """The caller's session, joined with its account, is one that may act. The one place of this rule."""
    return and_(
        Session.id == caller.session_id,
        Session.account_id == caller.account_id,
        Session.ended_at.is_(None),
        Session.expires_at > now(),
        Account.id == Session.account_id,
        Account.status == Status.ACTIVE,
    )


def held(statement: S) -> S:
    """Lock the statement's accounts: against other writers, not against rows that refer to them."""
    return statement.with_for_update(of=Account, key_share=True)


def through_session(caller: Caller, listing: Any) -> Any:
    """`listing`, behind the caller's session: no row means that the session ended, one empty row an empty list."""
    page = listing.subquery()
    alive = select(Session.id.label("alive")).join(Account, Account.id == Session.account_id).where(lives(caller))
    return select(page).select_from(alive.subquery().join(page, true(), isouter=True))


def after(column: Any, cursor: UUID | None) -> ColumnElement[bool]:
    """Newest first: rows older than the cursor."""
    return column < cursor if cursor else true()
