"""Are two samples of times told apart? The rank-sum test, which asks nothing of the shape of the distributions.

Mann and Whitney, "On a Test of Whether one of Two Random Variables is Stochastically Larger than the Other", Annals of
Mathematical Statistics 18 (1947); the normal approximation of U with the correction for ties.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True, slots=True)
class Comparison:
    """`auc`: how often a time of the first sample exceeds one of the second, 0.5 if neither does. `p`: how often two
    samples of one distribution differ at least so much (two-sided)."""

    auc: float
    p: float

    @property
    def advantage(self) -> float:
        """What the best guess by one time gains over a coin, 0 to 0.5, as far as order goes."""
        return abs(self.auc - 0.5)


def compare(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """The samples may differ in length. Raises ValueError when one is empty."""
    if not first or not second:
        raise ValueError("a sample is empty")
    n, m = len(first), len(second)
    ordered = sorted([(time, True) for time in first] + [(time, False) for time in second])
    rank_sum, ties, below = 0.0, 0, 0
    for _, group in groupby(ordered, key=lambda one: one[0]):
        members = [is_first for _, is_first in group]
        rank_sum += sum(members) * (below + (len(members) + 1) / 2)
        ties += len(members) ** 3 - len(members)
        below += len(members)
    u = rank_sum - n * (n + 1) / 2
    variance = n * m / 12 * ((n + m + 1) - ties / ((n + m) * (n + m - 1)))
    if variance <= 0:  # all times are the same
        return Comparison(0.5, 1.0)
    z = (abs(u - n * m / 2) - 0.5) / math.sqrt(variance)
    return Comparison(u / (n * m), min(1.0, math.erfc(max(z, 0.0) / math.sqrt(2))))
