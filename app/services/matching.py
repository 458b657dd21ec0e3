"""Which subscription a message is about: by the names that it and the messages before it gave."""

from collections.abc import Sequence
from uuid import UUID

from app.core import ids
from app.core.clock import now
from app.core.errors import TransactionConflict
from app.gateways.marketplaces.base import Notice, instance_key
from app.models.accounts import Account
from app.models.cloud_accounts import CloudAccount, CloudStatus, Effect
from app.repositories.unit_of_work import Work


class Ambiguous(Exception):
    """Several subscriptions could be meant."""


def strong_keys(notice: Notice) -> tuple[str, ...]:
    own = (instance_key(notice.instance_id),) if notice.instance_id else ()
    return tuple(dict.fromkeys((*notice.keys, *own)))


def findable_by(notice: Notice) -> tuple[str, ...]:
    """A message waits for its strong keys; for weak ones only when it has no other."""
    return strong_keys(notice) or notice.hints


async def target(uow: Work, provider: str, notice: Notice) -> tuple[Account | None, CloudAccount] | None:
    """The subscription that the message is about, held, and its account; a new one if the message opens it."""
    found = await _match(uow, provider, notice)
    if len(found) > 1:
        return await _merged(uow, found)
    if found:
        return await _held(uow, found[0])
    if not notice.opens or notice.instance_id is None:
        return None
    at = now()
    opened = CloudAccount(
        id=ids.new(),
        provider=provider,
        instance_id=notice.instance_id,
        status=CloudStatus.PENDING,
        status_at=notice.at,
        ask_at=at if notice.account_number is None else None,
        asked=0,
        created_at=at,
    )
    uow.cloud_accounts.add(opened)
    await uow.cloud_accounts.flush()
    return None, opened


async def _match(uow: Work, provider: str, notice: Notice) -> list[UUID]:
    """By its strong keys; else by its weak ones. Raises Ambiguous when those name several.

    A message with a strong key of its own may only mean a subscription of which none was known yet.
    """
    if keys := strong_keys(notice):
        if found := await uow.cloud_accounts.named(provider, keys, strong=True):
            return found
        if not notice.opens:
            return []
    found = await uow.cloud_accounts.named(provider, notice.hints, strong=False)
    if notice.keys:
        found = await uow.cloud_accounts.without_strong(found)
    if len(found) > 1 and notice.effect is Effect.ACTIVATED:
        found = await uow.cloud_accounts.not_ended(found) or found  # who subscribes again has one that is over
    if len(found) > 1:
        raise Ambiguous
    return found


async def _merged(uow: Work, found: Sequence[UUID]) -> tuple[Account | None, CloudAccount]:
    """One message says that what looked like several subscriptions is one: the later ones were opened too soon.

    Raises Ambiguous when more than one belongs to an account already, or their buyers differ.
    """
    rows = [row for one in found if (row := await uow.cloud_accounts.get(one)) is not None]
    owned = [row for row in rows if row.account_id is not None]
    if len(owned) > 1 or len({row.account_number for row in rows if row.account_number}) > 1:
        raise Ambiguous
    heir = (owned or rows)[0]
    account, kept = await _held(uow, heir.id)
    for row in rows:
        if row.id != heir.id:
            _, loser = await _held(uow, row.id)
            await uow.cloud_accounts.give_keys(loser=loser.id, heir=kept.id)
            await uow.marketplace.hand_over(loser=loser.id, heir=kept.id)
            await uow.cloud_accounts.delete(loser)
    return account, kept


async def _held(uow: Work, cloud_account_id: UUID) -> tuple[Account | None, CloudAccount]:
    """The account first, then the subscription. Raises TransactionConflict when it was claimed meanwhile."""
    before = await uow.cloud_accounts.get(cloud_account_id)
    if before is None:
        raise TransactionConflict  # another message has merged it away
    owner = before.account_id
    account = await uow.accounts.hold(owner) if owner else None
    cloud_account = await uow.cloud_accounts.hold(cloud_account_id)
    if cloud_account.account_id != owner:
        raise TransactionConflict
    return account, cloud_account
