"""The transaction. `async with uow() as work:` is one; it commits at its end and rolls back on an error."""

import functools
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Generic, ParamSpec, TypeVar

import stamina
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core import tracing
from app.core.database import AGAIN, reading
from app.core.errors import (
    AppError,
    ChangeOpen,
    DatabaseUnavailable,
    EmailTaken,
    NameTaken,
    NotReady,
    PhoneTaken,
    ReferenceTaken,
    SubmissionPending,
    TransactionConflict,
    UsernameTaken,
)
from app.core.telemetry import DATABASE_AWAY, POOL_TIMEOUTS
from app.repositories.accounts import AccountRepository
from app.repositories.activity import ActivityRepository
from app.repositories.admission import AdmissionRepository
from app.repositories.base import Repository, Source
from app.repositories.budgets import BudgetRepository
from app.repositories.challenges import ChallengeRepository
from app.repositories.cleanup import CleanupRepository
from app.repositories.clients import ClientRepository
from app.repositories.cloud_accounts import CloudAccountRepository
from app.repositories.credentials import CredentialChangeRepository
from app.repositories.data_keys import DataKeyRepository
from app.repositories.directory import DirectoryRepository
from app.repositories.erasure import ErasureRepository
from app.repositories.events import EventRepository
from app.repositories.idempotency import IdempotencyRepository
from app.repositories.marketplace import MarketplaceRepository
from app.repositories.one_shot import OneShot
from app.repositories.outbox import OutboxRepository
from app.repositories.real_name import RealNameRepository
from app.repositories.registrations import RegistrationRepository
from app.repositories.schema import SchemaRepository
from app.repositories.sessions import SessionRepository
from app.repositories.settlements import SettlementRepository
from app.repositories.signing_keys import SigningKeyRepository
from app.repositories.throttles import ThrottleRepository
from app.repositories.transaction import Reading, Transaction
from app.repositories.webhooks import WebhookRepository
from app.repositories.workspaces import WorkspaceRepository

P = ParamSpec("P")
R = TypeVar("R")
Kind = TypeVar("Kind", bound=Repository)

# PostgreSQL names the violated index, SQLite its columns.
_VIOLATIONS: dict[str, type[AppError]] = {
    "uq_accounts_username_key": UsernameTaken,
    "accounts.username_key": UsernameTaken,
    "uq_accounts_email_key": EmailTaken,
    "accounts.email_key": EmailTaken,
    "uq_accounts_phone": PhoneTaken,
    "accounts.phone": PhoneTaken,
    "uq_credential_changes_open": ChangeOpen,
    "credential_changes.account_id, credential_changes.credential": ChangeOpen,
    "uq_service_clients_name": NameTaken,
    "service_clients.name": NameTaken,
    # Another account was made under the reference meanwhile.
    "pk_account_references": ReferenceTaken,
    "account_references.client_id, account_references.reference": ReferenceTaken,
    "uq_real_name_submissions_pending": SubmissionPending,
    "real_name_submissions.account_id": SubmissionPending,
    # Two at once named one workspace: run again, the second finds it.
    "pk_workspaces": TransactionConflict,
    "workspaces.id": TransactionConflict,
    # Two at once moved one workspace: run again, the second sees what the first did.
    "uq_settlements_workspace_id_follows": TransactionConflict,
    "settlements.workspace_id, settlements.follows": TransactionConflict,
    "uq_settlements_workspace_id_effective_from": TransactionConflict,
    "settlements.workspace_id, settlements.effective_from": TransactionConflict,
    "uq_settlements_first": TransactionConflict,
    "settlements.workspace_id": TransactionConflict,
    # Two messages at once opened one subscription: run again, the second finds it.
    "uq_cloud_account_keys_strong": TransactionConflict,
    "cloud_account_keys.provider, cloud_account_keys.key": TransactionConflict,
    # Two at once opened the same slot: run again, the second closes the first.
    "uq_challenges_slot_live": TransactionConflict,
    "challenges.slot": TransactionConflict,
}
_OLD_SCHEMA = {"42P01", "42703"}  # no such table, no such column: `migrate` has not run yet
_AWAY = (
    "08",
    "53",
    "57P",
    "58",
    "25006",
)  # connection, resources, shutdown, system error; a read-only standby
_PATIENCE = 5  # seconds
_SQLITE_AGAIN = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

stamina.instrumentation.set_on_retry_hooks([])  # its log line carries the arguments, codes among them


def retried(method: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Run the method anew, a few times, when the database asked for its one transaction to be run again."""
    again = stamina.retry(on=TransactionConflict, attempts=4, wait_initial=0.01, wait_max=0.2, timeout=_PATIENCE)(
        method
    )

    @functools.wraps(method)
    async def once_and_again(*arguments: P.args, **options: P.kwargs) -> R:
        began = time.monotonic()
        try:
            return await method(*arguments, **options)  # which is nearly always enough, and costs nothing
        except TransactionConflict:
            if time.monotonic() - began >= _PATIENCE:
                raise
        return await again(*arguments, **options)

    return once_and_again


class _Each(Generic[Kind]):
    """A repository, made when it is first asked for: most calls need two or three of them."""

    def __init__(self, kind: type[Kind]) -> None:
        self._kind = kind

    def __set_name__(self, _: type[object], name: str) -> None:
        self._name = name

    def __get__(self, work: "Work", _: type[object]) -> Kind:
        made = work.__dict__[self._name] = self._kind(work.source, work.dialect)
        return made


class Work:
    """The repositories on one transaction, or for one read."""

    accounts = _Each(AccountRepository)
    activity = _Each(ActivityRepository)
    admission = _Each(AdmissionRepository)
    budgets = _Each(BudgetRepository)
    challenges = _Each(ChallengeRepository)
    changes = _Each(CredentialChangeRepository)
    cleanup = _Each(CleanupRepository)
    clients = _Each(ClientRepository)
    cloud_accounts = _Each(CloudAccountRepository)
    data_keys = _Each(DataKeyRepository)
    directory = _Each(DirectoryRepository)
    erasure = _Each(ErasureRepository)
    events = _Each(EventRepository)
    idempotency = _Each(IdempotencyRepository)
    marketplace = _Each(MarketplaceRepository)
    outbox = _Each(OutboxRepository)
    real_name = _Each(RealNameRepository)
    registrations = _Each(RegistrationRepository)
    schema = _Each(SchemaRepository)
    sessions = _Each(SessionRepository)
    settlements = _Each(SettlementRepository)
    signing_keys = _Each(SigningKeyRepository)
    throttles = _Each(ThrottleRepository)
    webhooks = _Each(WebhookRepository)
    workspaces = _Each(WorkspaceRepository)

    def __init__(self, source: Source, dialect: str) -> None:
        self.source, self.dialect = source, dialect
        self.after: list[Callable[[], None]] = []  # called once it is committed, such as to count what it did


_WIDE_AT_ONCE = 2  # the database reads for one while this process answers another


class UnitOfWork:
    """Opens transactions. Raises the domain's error for a violated constraint, DatabaseUnavailable when it is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine, self._reading = engine, reading(engine)
        self._one_shot, self._wide = OneShot(engine), OneShot(engine, at_once=_WIDE_AT_ONCE)
        self._dialect = engine.dialect.name
        self.on_messages: Callable[[], None] = lambda: None
        self.on_events: list[Callable[[], None]] = []

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Work]:
        """One transaction."""
        with _translated(), tracing.part("transaction"):
            async with Transaction(self._engine) as transaction:
                work = Work(transaction, self._dialect)
                yield work
        for tell in work.after:
            tell()
        if work.outbox.touched:
            self.on_messages()
        if work.events.touched:
            for tell in self.on_events:
                tell()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Work]:
        """For one SELECT: no BEGIN, no COMMIT."""
        with _translated():
            async with Reading(self._reading) as source:
                yield Work(source, self._dialect)

    @contextmanager
    def rows(self, *, wide: bool = False) -> Iterator[Work]:
        """The same for a hot SELECT of columns: without the session that only entities need, and a third as dear.

        `wide`: it may have a thousand rows. More of those at once would be no faster, and lie about in memory.
        """
        with _translated():
            yield Work(self._wide if wide else self._one_shot, self._dialect)

    @asynccontextmanager
    async def at_once(self) -> AsyncIterator[Work]:
        """For a write that PostgreSQL does in one statement, which is a transaction of its own; SQLite needs one."""
        if self._dialect == "postgresql":
            with self.rows() as work:
                yield work
        else:
            async with self() as work:
                yield work


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        meaning = _meaning(error)
        if isinstance(meaning, DatabaseUnavailable):
            DATABASE_AWAY.inc()
        raise meaning from error
    except (PoolTimeout, ConnectionError, TimeoutError, OSError) as error:
        (POOL_TIMEOUTS if isinstance(error, PoolTimeout) else DATABASE_AWAY).inc()
        raise DatabaseUnavailable from error


def _meaning(error: DBAPIError) -> Exception:
    cause = error.orig.__cause__ if error.orig is not None and error.orig.__cause__ is not None else error.orig
    if isinstance(error, IntegrityError):
        name = getattr(cause, "constraint_name", None) or str(cause).removeprefix("UNIQUE constraint failed: ")
        violated = _VIOLATIONS.get(name)
        return violated() if violated else error
    state = str(getattr(cause, "sqlstate", None) or "")
    if state in AGAIN or getattr(cause, "sqlite_errorcode", None) in _SQLITE_AGAIN:
        return TransactionConflict()
    if state in _OLD_SCHEMA or str(cause).startswith(("no such table", "no such column")):
        return NotReady({"schema": False})
    if error.connection_invalidated or state.startswith(_AWAY) or isinstance(cause, OSError | TimeoutError):
        return DatabaseUnavailable()
    if not state and isinstance(error, InterfaceError | OperationalError):
        return DatabaseUnavailable()
    return error
