"""When a workspace's settlement method may change: each rule by its name, and every reason against a wish."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from app.models.cloud_accounts import CloudStatus
from app.models.settlements import Method


class Against(StrEnum):
    """Why not; stable codes (docs/integration.md)."""

    WORKSPACE_UNKNOWN = "workspace_unknown"
    WORKSPACE_DISSOLVED = "workspace_dissolved"
    LOCK_IS_OVER = "lock_is_over"
    NOT_ACTIVE = "cloud_account_not_active"
    OTHER_CLOUD = "cloud_of_another_site"
    STAYS = "stays_until_cloud_account_ends"
    ONCE_A_MONTH = "changed_this_month"


@dataclass(frozen=True, slots=True)
class Reason:
    """`until`: when it ends by itself."""

    code: Against
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """A way to settle: by the Billing Center, or by a cloud account, then with its provider and status."""

    method: Method
    cloud_account_id: UUID | None = None
    provider: str | None = None
    status: CloudStatus | None = None

    def same(self, other: "Way") -> bool:
        return self.cloud_account_id == other.cloud_account_id


BY_BILLING_CENTER = Way(Method.BILLING_CENTER)


@dataclass(frozen=True, slots=True)
class Case:
    """A workspace, how it settles now, and how it should. `chosen_at`: when its holder last changed that.

    `cloud` operates its site; `time_zone` is the account's; `lock_ends_at` is set while the workspace is locked.
    """

    at: datetime
    time_zone: str
    arbitrary: bool
    cloud: str
    dissolved: bool
    current: Way
    lock_ends_at: datetime | None
    chosen_at: datetime | None
    wanted: Way

    @property
    def locked(self) -> bool:
        return self.lock_ends_at is not None


Rule = Callable[[Case], Reason | None]


def lives(case: Case) -> Reason | None:
    """A dissolved workspace settles no more."""
    return Reason(Against.WORKSPACE_DISSOLVED) if case.dissolved else None


def lock_still_runs(case: Case) -> Reason | None:
    """A lock can be undone within its countdown; then the workspace service deletes the data (rule 4)."""
    over = case.lock_ends_at is not None and case.lock_ends_at <= case.at
    return Reason(Against.LOCK_IS_OVER) if over else None


def is_usable(case: Case) -> Reason | None:
    """Only an active cloud account pays."""
    pays = case.wanted.status in (None, CloudStatus.ACTIVE)
    return None if pays else Reason(Against.NOT_ACTIVE)


def suits_the_site(case: Case) -> Reason | None:
    """A cloud account pays for sites on its own cloud, unless staff allowed arbitrary settlement (rule 2)."""
    suits = case.arbitrary or case.wanted.provider in (None, case.cloud)
    return None if suits else Reason(Against.OTHER_CLOUD)


def stays_until_it_ends(case: Case) -> Reason | None:
    """Who settles by a cloud account stays there until that has ended, or has locked the workspace (rules 3 and 4)."""
    free = case.current.method is Method.BILLING_CENTER or case.current.status is CloudStatus.ENDED or case.locked
    return None if free else Reason(Against.STAYS)


def once_a_month(case: Case) -> Reason | None:
    """One change in a calendar month of the account's time zone (rule 1); unlocking is always free (rule 4)."""
    if case.chosen_at is None or case.locked:
        return None
    zone = ZoneInfo(case.time_zone)
    until = _next_month(case.chosen_at.astimezone(zone))
    return Reason(Against.ONCE_A_MONTH, until) if case.at < until else None


RULES: Sequence[Rule] = (lives, lock_still_runs, is_usable, suits_the_site, stays_until_it_ends, once_a_month)


def against(case: Case) -> list[Reason]:
    """Every reason against the wish; none against what is so already, unless it is locked."""
    if case.wanted.same(case.current) and not case.locked and not case.dissolved:
        return []
    return [reason for rule in RULES if (reason := rule(case))]


def _next_month(moment: datetime) -> datetime:
    """When the next month begins in the moment's own time zone; in UTC."""
    year, month = (moment.year + 1, 1) if moment.month == 12 else (moment.year, moment.month + 1)
    return datetime(year, month, 1, tzinfo=moment.tzinfo).astimezone(UTC)
