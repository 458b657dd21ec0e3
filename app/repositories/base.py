"""What repositories share: a session that somebody else commits, and upserts in the dialect at hand."""

from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, GenerativeSelect, and_, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase

from app.core.callers import Caller, Service
from app.core.clock import now
from app.models.accounts import Account, Status
from app.models.clients import ClientSecret, ServiceClient
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


def serves(service: Service) -> ColumnElement[bool]:
    """The service's client, joined with the secret of its token, may act. The one place of this rule."""
    return and_(
        ServiceClient.id == service.client_id,
        ServiceClient.disabled_at.is_(None),
        ClientSecret.id == service.secret_id,
        ClientSecret.client_id == ServiceClient.id,
        ClientSecret.revoked_at.is_(None),
    )


def through_client(service: Service, listing: Any) -> Any:
    """`listing`, behind the service's client: no row means that it may not act, one empty row an empty list."""
    page = listing.subquery()
    alive = select(ServiceClient.id.label("alive")).join(ClientSecret, serves(service))
    return select(page).select_from(alive.subquery().join(page, true(), isouter=True))


def after(column: Any, cursor: UUID | None) -> ColumnElement[bool]:
    """Newest first: rows older than the cursor."""
    return column < cursor if cursor else true()
