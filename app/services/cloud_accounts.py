"""A holder's cloud accounts: what was bought on a marketplace, and which workspaces settle by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from app.core import masking
from app.core.callers import Caller
from app.core.errors import (
    CloudAccountEnded,
    CloudAccountUnproven,
    Invalid,
    MarketplaceUnavailable,
    NotFound,
    TooManyTries,
)
from app.gateways.marketplaces.base import CannotTell, Marketplace, instance_key
from app.models.cloud_accounts import CloudStatus
from app.repositories.unit_of_work import UnitOfWork, retried
from app.services.budgets import Budgets, refusal
from app.services.intake import Intake
from app.services.ownership import Ownership

_NOBODY_ASKED = ("not_configured", "no_order")  # and asking later would not help


@dataclass(frozen=True, slots=True)
class BoundWorkspace:
    """A workspace that settles by the cloud account; `lock_ends_at` while it is locked."""

    id: str
    name: str
    site: str
    lock_ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class CloudAccountView:
    """A cloud account; the buyer's number at the provider is masked. `since`: when its status became so."""

    id: UUID
    provider: str
    account_id: str | None
    instance_id: str
    status: str
    since: datetime
    claimed_at: datetime
    workspaces: Sequence[BoundWorkspace]


class CloudAccountService:
    def __init__(
        self,
        uow: UnitOfWork,
        *,
        providers: Mapping[str, Marketplace],
        intake: Intake,
        ownership: Ownership,
        budgets: Budgets,
    ) -> None:
        self.uow = uow
        self.intake = intake
        self.ownership = ownership
        self.budgets = budgets
        self._providers = providers

    async def page(self, *, caller: Caller, cursor: UUID | None, limit: int) -> list[CloudAccountView]:
        """Newest first; one more than `limit` when there is more. Raises SessionEnded."""
        async with self.uow.reading() as uow:
            rows = await uow.cloud_accounts.page(caller, cursor=cursor, limit=limit + 1)
        return _views(rows)

    async def get(self, *, caller: Caller, cloud_account_id: UUID) -> CloudAccountView:
        """Raises NotFound and SessionEnded."""
        async with self.uow.reading() as uow:
            rows = await uow.cloud_accounts.one(caller, cloud_account_id)
        if not rows:
            raise NotFound
        return _views(rows)[0]

    async def add(self, *, caller: Caller, provider: str, number: str, instance_id: str) -> CloudAccountView:
        """Take the subscription that the caller names by the buyer's number and the instance.

        Raises Invalid for a provider that is not named in this way, CloudAccountUnproven when the two do not belong
        together as far as anybody knows, CloudAccountEnded, CloudAccountTaken, TooManyTries, and
        MarketplaceUnavailable when the provider had to be asked and does not answer.
        """
        market = self._providers.get(provider)
        if market is None or not market.typed:
            raise Invalid.member("provider", "provider_not_typed")
        await self._charge(caller)
        found = await self._find(market, number, instance_id)
        await self._take(caller, found)
        return await self.get(caller=caller, cloud_account_id=found)

    @retried
    async def _charge(self, caller: Caller) -> None:
        """A guess costs, right or wrong; a right one is given back."""
        async with self.uow() as uow:
            await uow.accounts.through_session(caller)
            overdrawn = await uow.budgets.take([self.budgets.typed_instances(caller.account_id.hex)])
        if overdrawn:
            raise refusal(TooManyTries, overdrawn)

    async def _find(self, market: Marketplace, number: str, instance_id: str) -> UUID:
        async with self.uow.reading() as uow:
            known = await uow.cloud_accounts.named(market.name, [instance_key(instance_id)], strong=True)
        try:
            found = known[0] if known else await self.intake.prove(market, instance_id)
        except CannotTell as failure:
            if failure.why in _NOBODY_ASKED:
                raise CloudAccountUnproven from None
            raise MarketplaceUnavailable from None
        if found is None:
            raise CloudAccountUnproven
        subscription = await self.intake.subscriptions.get(found)
        if subscription.account_number is None:
            await self.intake.identify(market, found)
            subscription = await self.intake.subscriptions.get(found)
        if subscription.account_number is None:
            raise MarketplaceUnavailable
        if subscription.account_number != number:
            raise CloudAccountUnproven
        if subscription.status is CloudStatus.ENDED:
            raise CloudAccountEnded
        return found

    @retried
    async def _take(self, caller: Caller, cloud_account_id: UUID) -> None:
        async with self.uow() as uow:
            account = await uow.accounts.through_session(caller, hold=True)
            await self.ownership.take(
                uow, account, cloud_account_id, origin=caller.origin, session_id=caller.session_id
            )
            await uow.budgets.give_back([self.budgets.typed_instances(account.id.hex).key])


def _views(rows: Sequence[Any]) -> list[CloudAccountView]:
    """Of rows that stand together for each cloud account."""
    views = []
    for _, group in groupby(rows, key=lambda row: row.id):
        same = list(group)
        first = same[0]
        views.append(
            CloudAccountView(
                id=first.id,
                provider=first.provider,
                account_id=masking.number(first.account_number),
                instance_id=first.instance_id,
                status=first.status,
                since=first.status_at,
                claimed_at=first.claimed_at,
                workspaces=[
                    BoundWorkspace(row.workspace_id, row.workspace_name, row.site, row.lock_ends_at)
                    for row in reversed(same)
                    if row.workspace_id
                ],
            )
        )
    return views
