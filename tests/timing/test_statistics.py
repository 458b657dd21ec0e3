"""The rank-sum test finds what there is and nothing else."""

import random

import pytest

from tests.timing.enumeration import FALSE_ALARM, Measured
from tests.timing.statistics import compare


def times(seed: int, *, later: float = 0.0, calls: int = 1000) -> list[float]:
    """Milliseconds as a server has them: about ten, a tail, now and then a pause."""
    made = random.Random(seed)
    return [10 * made.lognormvariate(0, 0.1) + later + (50 if made.random() < 0.01 else 0) for _ in range(calls)]


def test_of_one_distribution_hardly_any_two_samples_are_told_apart() -> None:
    found = [compare(times(seed), times(10_000 + seed)).p for seed in range(300)]
    assert sum(p < FALSE_ALARM for p in found) <= 3
    assert 0.02 <= sum(p < 0.05 for p in found) / len(found) <= 0.09


@pytest.mark.parametrize("later", [1.0, -1.0, 0.5])
def test_a_delay_of_a_millisecond_or_of_five_percent_is_found(later: float) -> None:
    measured = Measured(times(1, later=later), times(2))
    assert measured.told_apart
    assert (measured.comparison.auc > 0.5) == (later > 0)


def test_a_delay_of_a_few_calls_alone_is_found_as_well() -> None:
    """One call in five takes longer: no median moves, but the order does."""
    known = [time + (20 if number % 5 == 0 else 0) for number, time in enumerate(times(3))]
    assert Measured(known, times(4)).told_apart


def test_the_least_delay_that_would_be_found_is_found_and_half_of_it_is_not() -> None:
    sample = times(5)
    least = Measured(sample, sample).would_find
    assert 0.1 < least < 1.0
    assert Measured([time + least for time in sample], sample).told_apart
    assert not Measured([time + least / 2 for time in sample], sample).told_apart


def test_the_figures_are_those_of_the_definition() -> None:
    """U by counting pairs, ties as halves. By hand: U = 7 of 20, variance 15.97, z = 2.5 / 3.997."""
    first, second = [1.0, 2.0, 2.0, 5.0, 7.0], [2.0, 3.0, 3.0, 8.0]
    pairs = [(a > b) + (a == b) / 2 for a in first for b in second]
    found = compare(first, second)
    assert found.auc == sum(pairs) / len(pairs)
    assert found.p == pytest.approx(0.5316, abs=0.0001)


def test_equal_times_are_not_told_apart_and_none_are_refused() -> None:
    assert compare([1.0, 1.0], [1.0]).p == 1.0
    with pytest.raises(ValueError, match="empty"):
        compare([], [1.0])
