"""What repositories share: a session that somebody else commits, and upserts in the dialect at hand."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Executable, GenerativeSelect, Insert, Table, and_, any_, bindparam, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Session as SyncSession
from sqlalchemy.util import greenlet_spawn

from app.core.callers import Caller, Service
from app.core.clock import now
from app.models.accounts import Account, Status
from app.models.clients import ClientSecret, ServiceClient
from app.models.sessions import Session

Values = Mapping[str, Any] | Sequence[Mapping[str, Any]]
S = TypeVar("S", bound=GenerativeSelect)
Row = TypeVar("Row", bound=DeclarativeBase)


def table(model: type[DeclarativeBase]) -> Table:
    """What statements name that are run past the ORM."""
    return cast("Table", model.__table__)


class Repository:
    """SQL and nothing but SQL. Never commits."""

    def __init__(self, session: AsyncSession, dialect: str) -> None:
        self._session = session
        self._dialect = dialect

    def _insert(self, model: type[DeclarativeBase]) -> "postgresql.Insert | sqlite.Insert":
        return postgresql.insert(model) if self._dialect == "postgresql" else sqlite.insert(model)

    async def _run(self, statement: Executable, values: Values) -> CursorResult[Any]:
        """Run a statement of tables, built once, on the transaction's connection.

        The session, which would look for entities in it, costs as much again; so does building it anew.
        """
        return await greenlet_spawn(_on_connection, self._session.sync_session, statement, values)

    async def _write(self, row: DeclarativeBase, *more: DeclarativeBase) -> None:
        """Insert rows of one table now, past the session, which they do not enter.

        What the session has new goes before: they may refer to it.
        """
        if self._session.new:
            await self._session.flush()
        values = _values(row)
        await self._run(_INSERTS[type(row)], [values, *map(_values, more)] if more else values)

    async def _changed(self, statement: Any) -> int:
        """Run an UPDATE or DELETE; how many rows it touched."""
        result = await self._session.execute(statement, execution_options={"synchronize_session": False})
        assert isinstance(result, CursorResult)  # noqa: S101 - narrows the type
        return result.rowcount


class _Inserts(dict[type[DeclarativeBase], Insert]):
    """The INSERT of each model, made once."""

    def __missing__(self, model: type[DeclarativeBase]) -> Insert:
        made = self[model] = table(model).insert()
        return made


_INSERTS = _Inserts()


def _values(row: DeclarativeBase) -> dict[str, Any]:
    """What was given, NULL for what was not, so that it is one statement; defaults are the columns' own."""
    given, columns = row.__dict__, table(type(row)).columns
    return {column.key: given.get(column.key) for column in columns if column.key in given or column.default is None}


def _on_connection(session: SyncSession, statement: Executable, values: Values) -> CursorResult[Any]:
    return session.connection().execute(statement, values)


class Journal(Repository, Generic[Row]):
    """Of rows that nothing else in their transaction reads: they are written at its end."""

    def __init__(self, session: AsyncSession, dialect: str) -> None:
        super().__init__(session, dialect)
        self._added: list[Row] = []

    @property
    def touched(self) -> bool:
        """Whether the transaction adds to it."""
        return bool(self._added)

    def add(self, row: Row) -> None:
        self._added.append(row)

    async def write(self) -> None:
        if self._added:
            await self._write(*self._added)


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
