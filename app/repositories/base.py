"""What repositories share: where statements go, the rows they write, and upserts in the dialect at hand."""

from typing import Any, Generic, Protocol, TypeVar, cast
from uuid import UUID

from sqlalchemy import ColumnElement, GenerativeSelect, Table, and_, any_, bindparam, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase

from app.core.callers import Caller, Service
from app.core.clock import now
from app.models.accounts import Account, Status
from app.models.clients import ClientSecret, ServiceClient
from app.models.sessions import Session
from app.repositories.direct import Fixed, Rows, Values

S = TypeVar("S", bound=GenerativeSelect)
Row = TypeVar("Row", bound=DeclarativeBase)


def table(model: type[DeclarativeBase]) -> Table:
    """What statements name that go by columns."""
    return cast("Table", model.__table__)


class Source(Protocol):
    """Where statements go: a transaction, or a connection for one read."""

    def add(self, row: DeclarativeBase) -> None:
        """A row that is written at the end."""

    @property
    def session(self) -> AsyncSession: ...
    async def run(self, statement: Fixed, values: Values) -> Rows: ...
    async def write(self) -> None: ...


class Repository:
    """SQL and nothing but SQL. Never commits."""

    def __init__(self, source: Source, dialect: str) -> None:
        self._source = source
        self._dialect = dialect

    @property
    def _session(self) -> AsyncSession:
        """The ORM's, for entities and for statements that are put together anew each time."""
        return self._source.session

    def _insert(self, model: type[DeclarativeBase]) -> "postgresql.Insert | sqlite.Insert":
        return postgresql.insert(model) if self._dialect == "postgresql" else sqlite.insert(model)

    async def _run(self, statement: Fixed, values: Values) -> Rows:
        return await self._source.run(statement, values)

    async def _changed(self, statement: Any) -> int:
        """Run an UPDATE or DELETE; how many rows it touched."""
        result = await self._session.execute(statement, execution_options={"synchronize_session": False})
        assert isinstance(result, CursorResult)  # noqa: S101 - narrows the type
        return result.rowcount


class Journal(Repository, Generic[Row]):
    """Of rows that nothing else in their transaction reads: they are written at its end."""

    touched = False  # whether the transaction adds to it: somebody may want to know

    def add(self, row: Row) -> None:
        self._source.add(row)
        self.touched = True


# The caller's session, joined with its account, is one that may act. The one place of this rule.
# A statement with it is built once, and run with `of(caller)`.
LIVES = and_(
    Session.id == bindparam("caller_session"),
    Session.account_id == bindparam("caller_account"),
    Session.ended_at.is_(None),
    Session.expires_at > bindparam("caller_now"),
    Account.id == Session.account_id,
    Account.status == Status.ACTIVE,
)


def of(caller: Caller) -> dict[str, Any]:
    """The values of LIVES."""
    return {"caller_session": caller.session_id, "caller_account": caller.account_id, "caller_now": now()}


def held(statement: S) -> S:
    """Lock the statement's accounts: against other writers, not against rows that refer to them."""
    return statement.with_for_update(of=Account, key_share=True)


def through_session(listing: Any) -> Any:
    """`listing`, behind the caller's session: no row means that the session ended, one empty row an empty list."""
    page = listing.subquery()
    alive = select(Session.id.label("alive")).join(Account, Account.id == Session.account_id).where(LIVES)
    return select(page).select_from(alive.subquery().join(page, true(), isouter=True))


# The service's client, joined with the secret of its token, may act. The one place of this rule; `by(service)` runs it.
SERVES = and_(
    ServiceClient.id == bindparam("client"),
    ServiceClient.disabled_at.is_(None),
    ClientSecret.id == bindparam("client_secret"),
    ClientSecret.client_id == ServiceClient.id,
    ClientSecret.revoked_at.is_(None),
)


def by(service: Service) -> dict[str, Any]:
    """The values of SERVES."""
    return {"client": service.client_id, "client_secret": service.secret_id}


def through_client(listing: Any) -> Any:
    """`listing`, behind the service's client: no row means that it may not act, one empty row an empty list."""
    page = listing.subquery()
    alive = select(ServiceClient.id.label("alive")).join(ClientSecret, SERVES)
    return select(page).select_from(alive.subquery().join(page, true(), isouter=True))


def among(column: Any, name: str) -> dict[str, ColumnElement[bool]]:
    """By dialect: the column is one of the values of the parameter, however many.

    PostgreSQL takes them as one array, so that each number of values is the same statement, prepared once.
    """
    array = bindparam(name, type_=postgresql.ARRAY(column.type))
    return {"postgresql": column == any_(array), "sqlite": column.in_(bindparam(name, expanding=True))}


def after(column: Any, cursor: UUID | None) -> ColumnElement[bool]:
    """Newest first: rows older than the cursor."""
    return column < cursor if cursor else true()
