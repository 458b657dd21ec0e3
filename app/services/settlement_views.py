"""How settlements are shown: to holders with masked numbers, to the settlement service in clear."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.core import masking
from app.services.settlement_rules import Reason


@dataclass(frozen=True, slots=True)
class WorkspaceView:
    """A workspace and how it settles. `provider` is the cloud account's; `lock_ends_at` while it is locked."""

    id: str
    name: str
    site: str
    method: str
    cloud_account_id: UUID | None
    provider: str | None
    effective_from: datetime
    lock_ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Option:
    """A way to settle; `current` is the one in use. It is allowed when nothing is against it."""

    method: str
    cloud_account_id: UUID | None
    provider: str | None
    account_id: str | None
    instance_id: str | None
    status: str | None
    current: bool
    reasons: Sequence[Reason]


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which a workspace settled in one way; half-open, without an end while it lasts."""

    id: UUID
    method: str
    cloud_account_id: UUID | None
    provider: str | None
    account_id: str | None
    cause: str
    lock_ends_at: datetime | None
    effective_from: datetime
    effective_to: datetime | None


@dataclass(frozen=True, slots=True)
class CloudAccountRef:
    """A cloud account as the settlement service needs it: what the provider calls it, in clear."""

    id: UUID
    provider: str
    account_id: str | None
    instance_id: str
    product: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Paid:
    """What paid for a workspace at an instant, and in which span of time around it."""

    workspace_id: str
    account_id: UUID
    site: str
    method: str
    provider: str | None
    cloud_account: CloudAccountRef | None
    locked: bool
    effective_from: datetime
    effective_to: datetime | None


def view(row: Any) -> WorkspaceView:
    return WorkspaceView(**{name: getattr(row, name) for name in WorkspaceView.__slots__})


def span(row: Any) -> Span:
    members = {name: getattr(row, name) for name in Span.__slots__ if name not in ("id", "account_id")}
    return Span(id=row.settlement_id, account_id=masking.number(row.account_number), **members)


def paid(row: Any) -> Paid:
    cloud_account = None
    if row.cloud_account_id is not None:
        cloud_account = CloudAccountRef(
            id=row.cloud_account_id,
            provider=row.provider,
            account_id=row.account_number,
            instance_id=row.instance_id,
            product=row.product,
            status=row.status,
        )
    return Paid(
        workspace_id=row.id,
        account_id=row.account_id,
        site=row.site,
        method=row.method,
        provider=row.provider,
        cloud_account=cloud_account,
        locked=row.lock_ends_at is not None,
        effective_from=row.effective_from,
        effective_to=row.effective_to,
    )
