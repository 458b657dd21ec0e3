"""How workspaces are paid for: what holders can choose and what was; and what the settlement service asks."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from app.core import masking
from app.core.callers import Caller, Service
from app.core.clock import instant, now, shown
from app.core.errors import FieldProblem, Invalid, NotFound, SettlementRefused
from app.core.reference import cloud_of
from app.models.accounts import Account
from app.models.cloud_accounts import CloudStatus
from app.models.settlements import Method
from app.repositories.lookups import FEW, Lookups
from app.repositories.unit_of_work import UnitOfWork, Work, retried
from app.services.settlement_effects import SettlementEffects
from app.services.settlement_rules import BY_BILLING_CENTER, Against, Case, Reason, Way, against
from app.services.settlement_views import Option, Paid, Span, WorkspaceView, paid, span, view


class SettlementService:
    def __init__(self, uow: UnitOfWork, *, lookups: Lookups, effects: SettlementEffects) -> None:
        self.uow = uow
        self._lookups = lookups
        self.effects = effects

    async def page(self, *, caller: Caller, cursor: str | None, limit: int) -> list[WorkspaceView]:
        """The workspaces that the account pays for; one more than `limit` when there is more. Raises SessionEnded."""
        with self.uow.rows() as uow:
            rows = await uow.settlements.page(caller, cursor=cursor, limit=limit + 1)
        return [view(row) for row in rows]

    async def options(self, *, caller: Caller, workspace_id: str) -> list[Option]:
        """Every way to settle the workspace, with every reason against it. Raises NotFound and SessionEnded."""
        with self.uow.rows() as uow:
            rows = await uow.settlements.options(caller, workspace_id)
        if not rows:
            raise NotFound
        first = rows[0]
        return [_option(first, None), *(_option(row, row) for row in rows if row.choice_id)]

    async def history(self, *, caller: Caller, workspace_id: str, cursor: UUID | None, limit: int) -> list[Span]:
        """Newest first; one more than `limit` when there is more. Raises NotFound and SessionEnded."""
        with self.uow.rows() as uow:
            rows = await uow.settlements.history(caller, workspace_id, cursor=cursor, limit=limit + 1)
        if not rows and cursor is None:
            raise NotFound
        return [span(row) for row in rows]

    async def choose(self, *, caller: Caller, workspace_id: str, cloud_account_id: UUID | None) -> WorkspaceView:
        """Settle it by the cloud account, or by the Billing Center (None); what is so already stays so.

        Raises NotFound for a workspace or cloud account that is not the caller's, and SettlementRefused.
        """
        chosen = await self._choose(caller, [workspace_id], cloud_account_id, one=True)
        return chosen[0]

    async def bind(
        self, *, caller: Caller, cloud_account_id: UUID, workspace_ids: Sequence[str]
    ) -> list[WorkspaceView]:
        """Settle all of them by the cloud account, or none. Raises NotFound for that, and SettlementRefused."""
        return await self._choose(caller, list(dict.fromkeys(workspace_ids)), cloud_account_id)

    async def at(self, *, service: Service, workspace_id: str, moment: datetime | None) -> Paid:
        """What paid for it at the instant (now if None). Raises NotFound, Invalid for the future, ClientDisabled."""
        if moment is not None and moment > now():
            raise Invalid(FieldProblem("at", "future_instant"))  # a parameter, where a look-up has a member
        found = await self.look_up(service=service, workspace_ids=[workspace_id], moment=moment)
        if found[0] is None:
            raise NotFound
        return found[0]

    async def look_up(
        self, *, service: Service, workspace_ids: Sequence[str], moment: datetime | None
    ) -> list[Paid | None]:
        """The same for many, in their order; None where nothing paid. One statement."""
        if moment is not None and moment > now():
            raise Invalid(FieldProblem("/at", "future_instant"))
        asked = [one for one in workspace_ids if one.isascii() and one.isprintable()]  # no other text is an id
        rows = await self._lookups.look(
            service,
            lambda work: work.settlements.at(service, asked, moment),
            is_whole=lambda rows: len(rows) == len(set(asked)),
            wide=len(asked) > FEW,
        )
        found = {row.id: paid(row) for row in rows}
        return [found.get(one) for one in workspace_ids]

    @retried
    async def _choose(
        self, caller: Caller, workspace_ids: Sequence[str], cloud_account_id: UUID | None, *, one: bool = False
    ) -> list[WorkspaceView]:
        async with self.uow() as uow:
            account = await uow.accounts.through_session(caller, hold=True)
            at = instant()  # not before: what was told of a past instant stays so
            way = await _way(uow, account, cloud_account_id)
            rows = {row.id: row for row in await uow.settlements.of_account(account.id, workspace_ids)}
            if one and not rows:
                raise NotFound
            refusals = [
                _refusal(workspace_id, reasons)
                for workspace_id in workspace_ids
                if (reasons := _reasons(rows.get(workspace_id), account, way, at))
            ]
            if refusals:
                raise SettlementRefused(refusals)
            for row in rows.values():
                if row.lock_ends_at is not None or row.cloud_account_id != way.cloud_account_id:
                    await self.effects.choose(uow, account, row, way, caller=caller, at=at)
            settled = {row.id: row for row in await uow.settlements.of_account(account.id, workspace_ids)}
        return [view(settled[workspace_id]) for workspace_id in workspace_ids]


async def _way(uow: Work, account: Account, cloud_account_id: UUID | None) -> Way:
    """Raises NotFound for a cloud account of somebody else."""
    if cloud_account_id is None:
        return BY_BILLING_CENTER
    found = await uow.cloud_accounts.get(cloud_account_id)
    if found is None or found.account_id != account.id:
        raise NotFound
    return Way(Method.CLOUD_ACCOUNT, found.id, found.provider, CloudStatus(found.status))


def _reasons(row: Any, account: Account, way: Way, at: datetime) -> list[Reason]:
    if row is None:
        return [Reason(Against.WORKSPACE_UNKNOWN)]
    return against(_case(row, way, arbitrary=account.arbitrary_settlement, time_zone=account.time_zone, at=at))


def _case(row: Any, wanted: Way, *, arbitrary: bool, time_zone: str, at: datetime) -> Case:
    status = CloudStatus(row.status) if row.status else None
    return Case(
        at=at,
        time_zone=time_zone,
        arbitrary=arbitrary,
        cloud=cloud_of(row.site),
        dissolved=row.dissolved_at is not None,
        current=Way(Method(row.method), row.cloud_account_id, row.provider, status),
        lock_ends_at=row.lock_ends_at,
        chosen_at=row.chosen_at,
        wanted=wanted,
    )


def _option(row: Any, choice: Any) -> Option:
    way = BY_BILLING_CENTER
    if choice is not None:
        way = Way(Method.CLOUD_ACCOUNT, choice.choice_id, choice.choice_provider, CloudStatus(choice.choice_status))
    case = _case(row, way, arbitrary=row.arbitrary_settlement, time_zone=row.time_zone, at=now())
    return Option(
        method=way.method,
        cloud_account_id=way.cloud_account_id,
        provider=way.provider,
        account_id=masking.number(choice.choice_account_number) if choice else None,
        instance_id=choice.choice_instance_id if choice else None,
        status=way.status,
        current=way.same(case.current),
        reasons=against(case),
    )


def _refusal(workspace_id: str, reasons: Sequence[Reason]) -> Mapping[str, object]:
    told = [{"code": one.code, "until": shown(one.until) if one.until else None} for one in reasons]
    return {"workspace_id": workspace_id, "reasons": told}
