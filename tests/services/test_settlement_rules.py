"""Each rule of settlement alone, then all of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.cloud_accounts import CloudStatus
from app.models.settlements import Method
from app.services.settlement_rules import (
    BY_BILLING_CENTER,
    RULES,
    Against,
    Case,
    Reason,
    Way,
    against,
    is_usable,
    lives,
    lock_still_runs,
    once_a_month,
    stays_until_it_ends,
    suits_the_site,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
SHANGHAI, PAGO_PAGO, KIRITIMATI = "Asia/Shanghai", "Pacific/Pago_Pago", "Pacific/Kiritimati"  # UTC+8, -11, +14
NEW_YORK, BERLIN, HAVANA = "America/New_York", "Europe/Berlin", "America/Havana"
SYDNEY = "Australia/Sydney"


def by(provider: str = "alibaba", status: CloudStatus = CloudStatus.ACTIVE, number: int = 1) -> Way:
    return Way(Method.CLOUD_ACCOUNT, UUID(int=number), provider, status)


def case(**changes: Any) -> Case:
    """One against which there is nothing, but for the changes."""
    usual = Case(
        at=NOON,
        time_zone=SHANGHAI,
        arbitrary=False,
        cloud="alibaba",
        dissolved=False,
        current=BY_BILLING_CENTER,
        lock_ends_at=None,
        chosen_at=None,
        wanted=by(),
    )
    return replace(usual, **changes)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# --- Each alone -----------------------------------------------------------------------------------------------------


def test_a_dissolved_workspace_settles_no_more() -> None:
    assert lives(case(dissolved=True)) == Reason(Against.WORKSPACE_DISSOLVED)
    assert lives(case()) is None


@pytest.mark.parametrize(
    ("left", "reason"),
    [(TICK, None), (timedelta(), Against.LOCK_IS_OVER), (-TICK, Against.LOCK_IS_OVER), (None, None)],
    ids=["a microsecond left", "its end", "a microsecond behind", "no lock"],
)
def test_a_lock_can_be_undone_until_its_end_and_not_at_it(left: timedelta | None, reason: Against | None) -> None:
    found = lock_still_runs(case(lock_ends_at=NOON + left if left is not None else None))

    assert found == (Reason(reason) if reason else None)


@pytest.mark.parametrize("status", CloudStatus)
def test_only_an_active_cloud_account_pays(status: CloudStatus) -> None:
    found = is_usable(case(wanted=by(status=status)))

    assert found == (None if status is CloudStatus.ACTIVE else Reason(Against.NOT_ACTIVE))


@pytest.mark.parametrize(
    ("cloud", "provider", "suits"),
    [
        ("alibaba", "alibaba", True),
        ("aws", "aws", True),
        ("huawei", "huawei", True),
        ("aws", "alibaba", False),
        ("huawei", "aws", False),
        ("tencent", "huawei", False),  # nobody's marketplace yet
        ("", "alibaba", False),  # a site that is no more
    ],
)
def test_a_cloud_account_pays_for_sites_on_its_own_cloud_unless_staff_allowed_any(
    cloud: str, provider: str, suits: bool
) -> None:
    wish = case(cloud=cloud, wanted=by(provider))

    assert suits_the_site(wish) == (None if suits else Reason(Against.OTHER_CLOUD))
    assert suits_the_site(replace(wish, arbitrary=True)) is None


@pytest.mark.parametrize("cloud", ["alibaba", "tencent", ""])
def test_the_billing_center_pays_for_any_site_and_needs_no_status(cloud: str) -> None:
    wish = case(cloud=cloud, wanted=BY_BILLING_CENTER)

    assert (suits_the_site(wish), is_usable(wish)) == (None, None)


@pytest.mark.parametrize("wanted", [BY_BILLING_CENTER, by(number=2)], ids=["billing center", "same provider"])
@pytest.mark.parametrize("status", CloudStatus)
def test_who_settles_by_a_cloud_account_stays_until_that_has_ended_or_has_locked_it(
    status: CloudStatus, wanted: Way
) -> None:
    wish = case(current=by(status=status), wanted=wanted)

    assert stays_until_it_ends(wish) == (None if status is CloudStatus.ENDED else Reason(Against.STAYS))
    assert stays_until_it_ends(replace(wish, lock_ends_at=NOON + TICK)) is None


def test_who_settles_by_the_billing_center_may_go() -> None:
    assert stays_until_it_ends(case()) is None


# --- The month ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "chosen", "until"),
    [
        (SHANGHAI, "2026-11-01T00:00", "2026-11-30T16:00"),
        (SHANGHAI, "2026-11-30T15:59:59.999999", "2026-11-30T16:00"),
        (SHANGHAI, "2026-11-30T16:00", "2026-12-31T16:00"),
        (SHANGHAI, "2026-12-31T15:59:59.999999", "2026-12-31T16:00"),  # to the New Year
        (SHANGHAI, "2026-12-31T16:00", "2027-01-31T16:00"),
        (PAGO_PAGO, "2026-12-01T10:59:59.999999", "2026-12-01T11:00"),
        (PAGO_PAGO, "2026-12-01T11:00", "2027-01-01T11:00"),
        (PAGO_PAGO, "2027-01-01T10:59:59.999999", "2027-01-01T11:00"),
        (KIRITIMATI, "2026-12-31T09:59:59.999999", "2026-12-31T10:00"),
        (SHANGHAI, "2028-02-28T16:00", "2028-02-29T16:00"),  # the 29th
        (NEW_YORK, "2026-10-15T12:00", "2026-11-01T04:00"),  # summer time ends on this 1st, later
        (NEW_YORK, "2026-11-01T04:00", "2026-12-01T05:00"),  # chosen in summer time, until a winter's midnight
        (BERLIN, "2026-03-01T00:00", "2026-03-31T22:00"),  # and the other way
        (SYDNEY, "2026-09-30T14:00", "2026-10-31T13:00"),
        (HAVANA, "2012-03-20T12:00", "2012-04-01T05:00"),  # a month without its first midnight
        (HAVANA, "2015-10-20T12:00", "2015-11-01T04:00"),  # and one with two: the first
    ],
)
def test_one_change_in_a_month_of_the_accounts_time_zone(zone: str, chosen: str, until: str) -> None:
    wish = case(time_zone=zone, chosen_at=utc(chosen))
    refused = Reason(Against.ONCE_A_MONTH, utc(until))

    assert once_a_month(replace(wish, at=utc(chosen))) == refused
    assert once_a_month(replace(wish, at=utc(until) - TICK)) == refused
    assert once_a_month(replace(wish, at=utc(until))) is None


def test_the_same_instant_lies_in_different_months_of_different_accounts() -> None:
    wish = case(chosen_at=utc("2026-11-30T12:00"), at=utc("2026-11-30T20:00"))

    assert once_a_month(replace(wish, time_zone=SHANGHAI)) is None
    assert once_a_month(replace(wish, time_zone=PAGO_PAGO)) is not None


def test_who_never_chose_may() -> None:
    assert once_a_month(case(chosen_at=None)) is None


def test_a_lock_lifts_the_limit_of_the_month() -> None:
    wish = case(chosen_at=NOON, lock_ends_at=NOON + TICK)

    assert once_a_month(wish) is None
    assert once_a_month(replace(wish, lock_ends_at=None)) is not None


MOMENTS = st.timedeltas(timedelta(), timedelta(days=10_000)).map(utc("2010-01-01").__add__)
ZONES = st.sampled_from([SHANGHAI, PAGO_PAGO, KIRITIMATI, NEW_YORK, BERLIN, HAVANA, SYDNEY, "Asia/Kathmandu"])


@given(chosen=MOMENTS, zone=ZONES)
def test_the_limit_ends_with_the_month_in_which_was_chosen_and_not_earlier(chosen: datetime, zone: str) -> None:
    found = once_a_month(case(time_zone=zone, chosen_at=chosen, at=chosen))

    assert found is not None
    assert found.until is not None
    local = ZoneInfo(zone)
    began, last, free = (moment.astimezone(local) for moment in (chosen, found.until - TICK, found.until))
    assert (last.year, last.month) == (began.year, began.month)
    assert free.day == 1
    assert (free.year - began.year) * 12 + free.month - began.month == 1


# --- All together ---------------------------------------------------------------------------------------------------

WAYS = st.one_of(
    st.just(BY_BILLING_CENTER),
    st.builds(by, st.sampled_from(["alibaba", "aws", "huawei"]), st.sampled_from(CloudStatus), st.integers(1, 3)),
)
AROUND = st.none() | st.sampled_from([NOON - timedelta(days=40), NOON - TICK, NOON, NOON + TICK, NOON + timedelta(14)])
CASES = st.builds(
    case,
    time_zone=ZONES,
    arbitrary=st.booleans(),
    cloud=st.sampled_from(["alibaba", "aws", "huawei", "tencent"]),
    dissolved=st.booleans(),
    current=WAYS,
    lock_ends_at=AROUND,
    chosen_at=AROUND,
    wanted=WAYS,
)


@given(CASES)
def test_there_is_nothing_against_what_is_so_already_and_not_locked(wish: Case) -> None:
    same = replace(wish, current=wish.wanted, lock_ends_at=None, dissolved=False)

    assert against(same) == []


@given(CASES)
def test_every_other_wish_meets_every_reason_of_every_rule(wish: Case) -> None:
    reasons = against(wish)

    if not wish.current.same(wish.wanted) or wish.locked or wish.dissolved:
        assert reasons == [reason for rule in RULES if (reason := rule(wish)) is not None]
    assert len({reason.code for reason in reasons}) == len(reasons)


@given(CASES)
def test_neither_the_month_nor_the_cloud_account_that_stopped_stands_against_unlocking(wish: Case) -> None:
    locked = replace(wish, lock_ends_at=NOON + TICK, dissolved=False)

    assert {one.code for one in against(locked)} <= {Against.NOT_ACTIVE, Against.OTHER_CLOUD}
    assert against(replace(locked, wanted=BY_BILLING_CENTER)) == []


@given(CASES, st.sampled_from(RULES))
def test_a_rule_says_the_same_however_the_same_instant_is_written(wish: Case, rule: Any) -> None:
    elsewhere = ZoneInfo(SYDNEY)
    moments = {name: getattr(wish, name) for name in ("at", "chosen_at", "lock_ends_at")}
    written = {name: moment.astimezone(elsewhere) for name, moment in moments.items() if moment is not None}

    assert rule(replace(wish, **written)) == rule(wish)


def test_all_that_is_against_a_wish_is_said_at_once() -> None:
    wish = case(
        dissolved=True,
        current=by(number=2),
        chosen_at=NOON,
        cloud="aws",
        wanted=by(status=CloudStatus.FROZEN),
    )

    assert [one.code for one in against(wish)] == [
        Against.WORKSPACE_DISSOLVED,
        Against.NOT_ACTIVE,
        Against.OTHER_CLOUD,
        Against.STAYS,
        Against.ONCE_A_MONTH,
    ]


def test_what_is_so_already_is_no_answer_to_a_lock_or_for_a_dissolved_workspace() -> None:
    stopped = by(status=CloudStatus.ENDED)
    locked = case(current=stopped, wanted=stopped, lock_ends_at=NOON + TICK)

    assert [one.code for one in against(locked)] == [Against.NOT_ACTIVE]
    assert against(case(wanted=BY_BILLING_CENTER, dissolved=True)) == [Reason(Against.WORKSPACE_DISSOLVED)]


def test_a_reason_that_ends_by_itself_says_when_and_no_other_does() -> None:
    wish = case(current=by(number=2), chosen_at=NOON, wanted=by("aws", CloudStatus.ENDED))

    assert {one.code: one.until for one in against(wish)} == {
        Against.NOT_ACTIVE: None,
        Against.OTHER_CLOUD: None,
        Against.STAYS: None,
        Against.ONCE_A_MONTH: utc("2026-11-30T16:00"),
    }
