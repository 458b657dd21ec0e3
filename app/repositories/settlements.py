"""SQL for how workspaces are paid for. The end of a record is the start of the one that follows it."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, and_, bindparam, func, or_, select, true, update
from sqlalchemy.orm import aliased

from app.core.callers import Caller, Service
from app.core.errors import ClientDisabled, SessionEnded, TransactionConflict
from app.models.accounts import Account
from app.models.cloud_accounts import CloudAccount
from app.models.settlements import Cause, Settlement
from app.models.workspaces import Workspace
from app.repositories.base import Repository, among, by, of, through_client, through_session
from app.repositories.direct import Fixed

_NEXT = aliased(Settlement)
_FOLLOWED = and_(_NEXT.workspace_id == Settlement.workspace_id, _NEXT.follows == Settlement.effective_from)
_CURRENT = and_(Settlement.workspace_id == Workspace.id, Settlement.effective_from == Workspace.settled_from)
_CLOUD = (
    CloudAccount.provider,
    CloudAccount.status,
    CloudAccount.account_number,
    CloudAccount.instance_id,
)
_SPAN = (
    Settlement.id.label("settlement_id"),
    Settlement.method,
    Settlement.cloud_account_id,
    Settlement.cause,
    Settlement.effective_from,
    Settlement.lock_ends_at,
)
_WORKSPACE = (
    Workspace.id,
    Workspace.account_id,
    Workspace.site,
    Workspace.name,
    Workspace.created_at,
    Workspace.dissolved_at,
)


class SettlementRepository(Repository):
    def add_first(self, record: Settlement) -> None:
        """Of a workspace that is added afterwards, with this record's start as its own."""
        self._session.add(record)

    async def flush(self) -> None:
        """Let the workspace find its record."""
        await self._session.flush()

    async def append(self, record: Settlement) -> None:
        """Make it the current one. Raises TransactionConflict when another one did so meanwhile."""
        self._session.add(record)
        await self._session.flush()
        statement = update(Workspace).where(
            Workspace.id == record.workspace_id, Workspace.settled_from == record.follows
        )
        if await self._changed(statement.values(settled_from=record.effective_from)) != 1:
            raise TransactionConflict

    async def of_account(self, account_id: UUID, workspace_ids: Collection[str]) -> list[Any]:
        """Those of the workspaces that the account pays for, each with how, and when its holder last changed that."""
        statement = _with_choice().where(Workspace.account_id == account_id, Workspace.id.in_(workspace_ids))
        return list((await self._session.execute(statement.order_by(Workspace.id))).all())

    async def bound(self, cloud_account_id: UUID) -> list[Any]:
        """The workspaces that settle by the cloud account now, dissolved ones left out."""
        statement = _now().where(Settlement.cloud_account_id == cloud_account_id, Workspace.dissolved_at.is_(None))
        return list((await self._session.execute(statement.order_by(Workspace.id))).all())

    async def locked_by(self, account_id: UUID, *, provider: str, account_number: str) -> list[Any]:
        """The account's workspaces that an ended or frozen subscription of this buyer has locked."""
        statement = _now().where(
            Workspace.account_id == account_id,
            Workspace.dissolved_at.is_(None),
            Settlement.lock_ends_at.is_not(None),
            CloudAccount.provider == provider,
            CloudAccount.account_number == account_number,
        )
        return list((await self._session.execute(statement.order_by(Workspace.id))).all())

    # What holders see

    async def page(self, caller: Caller, *, cursor: str | None, limit: int) -> list[Any]:
        """The workspaces of the caller's account that were not dissolved, by id; raises SessionEnded."""
        listing = _now().where(Workspace.account_id == caller.account_id, Workspace.dissolved_at.is_(None))
        if cursor is not None:
            listing = listing.where(Workspace.id > cursor)
        return await self._through(caller, listing.order_by(Workspace.id).limit(limit), key="id")

    async def options(self, caller: Caller, workspace_id: str) -> list[Any]:
        """The caller's workspace beside each of the account's cloud accounts (or none): a row each.

        Raises SessionEnded; no rows for a workspace that the account does not pay for.
        """
        choice = aliased(CloudAccount)
        listing = (
            _with_choice()
            .join(Account, Account.id == Workspace.account_id)
            .outerjoin(choice, choice.account_id == Workspace.account_id)
            .add_columns(
                Account.arbitrary_settlement,
                Account.time_zone,
                choice.id.label("choice_id"),
                choice.provider.label("choice_provider"),
                choice.status.label("choice_status"),
                choice.account_number.label("choice_account_number"),
                choice.instance_id.label("choice_instance_id"),
            )
            .where(Workspace.account_id == caller.account_id, Workspace.id == workspace_id)
        )
        rows = await self._through(caller, listing, key="id")
        return sorted(rows, key=lambda row: row.choice_id or UUID(int=0), reverse=True)

    async def history(self, caller: Caller, workspace_id: str, *, cursor: UUID | None, limit: int) -> list[Any]:
        """Records of the caller's workspace, newest first, with their ends; raises SessionEnded."""
        older = aliased(Settlement)
        before = select(older.effective_from).where(older.id == cursor).scalar_subquery()
        listing = (
            select(*_SPAN, func.coalesce(_NEXT.effective_from, Workspace.dissolved_at).label("effective_to"), *_CLOUD)
            .select_from(Settlement)
            .join(Workspace, Workspace.id == Settlement.workspace_id)
            .outerjoin(_NEXT, _FOLLOWED)
            .outerjoin(CloudAccount, CloudAccount.id == Settlement.cloud_account_id)
            .where(
                Workspace.account_id == caller.account_id,
                Workspace.id == workspace_id,
                Settlement.effective_from < before if cursor else true(),
            )
            .order_by(Settlement.effective_from.desc())
            .limit(limit)
        )
        rows = await self._through(caller, listing, key="settlement_id")
        return sorted(rows, key=lambda row: row.effective_from, reverse=True)

    # What the settlement service asks

    async def at(self, service: Service, workspace_ids: Sequence[str], moment: datetime | None) -> list[Any]:
        """What paid for each at the instant; one statement. Those that nothing paid for then are left out.

        None is now, whatever the time is where the last change was made. Raises ClientDisabled.
        """
        statement, values = _PAID_BY_NOW, {**by(service), "workspaces": list(workspace_ids)}
        if moment is not None:
            statement, values = _PAID_BY_THEN, {**values, "moment": moment}
        rows = await self._run(statement, values)
        if not rows:
            raise ClientDisabled
        return [row for row in rows if row.id]

    async def _through(self, caller: Caller, listing: Any, *, key: str) -> list[Any]:
        rows = (await self._session.execute(through_session(listing), of(caller))).all()
        if not rows:
            raise SessionEnded
        return [row for row in rows if getattr(row, key)]


def _now() -> Any:
    """Workspaces and how each settles."""
    return (
        select(*_WORKSPACE, *_SPAN, *_CLOUD)
        .select_from(Workspace)
        .join(Settlement, _CURRENT)
        .outerjoin(CloudAccount, CloudAccount.id == Settlement.cloud_account_id)
    )


def _with_choice() -> Any:
    """And when the holder last chose."""
    chosen = aliased(Settlement)
    chosen_at = (
        select(func.max(chosen.effective_from))
        .where(chosen.workspace_id == Workspace.id, chosen.cause == Cause.CHOSEN)
        .correlate(Workspace)
        .scalar_subquery()
    )
    return _now().add_columns(chosen_at.label("chosen_at"))


def _paid_by(which: ColumnElement[bool], *, past: bool) -> Any:
    """What paid for workspaces, now or at `moment`."""
    began: Any = Workspace.settled_from
    lived: Any = Workspace.dissolved_at.is_(None)
    if past:
        same = aliased(Settlement)
        moment: BindParameter[datetime] = bindparam("moment")
        began = (
            select(func.max(same.effective_from))
            .where(same.workspace_id == Workspace.id, same.effective_from <= moment)
            .correlate(Workspace)
            .scalar_subquery()
        )
        lived = or_(lived, Workspace.dissolved_at > moment)
    return (
        select(
            *_WORKSPACE,
            *_SPAN,
            func.coalesce(_NEXT.effective_from, Workspace.dissolved_at).label("effective_to"),
            *_CLOUD,
            CloudAccount.product,
        )
        .select_from(Workspace)
        .join(Settlement, and_(Settlement.workspace_id == Workspace.id, Settlement.effective_from == began))
        .outerjoin(_NEXT, _FOLLOWED)
        .outerjoin(CloudAccount, CloudAccount.id == Settlement.cloud_account_id)
        .where(which, lived)
    )


_PAID_BY_NOW, _PAID_BY_THEN = (
    Fixed(
        {
            dialect: through_client(_paid_by(which, past=past))
            for dialect, which in among(Workspace.id, "workspaces").items()
        }
    )
    for past in (False, True)
)
