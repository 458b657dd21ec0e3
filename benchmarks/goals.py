"""What was set as a goal: a must that holds, and an aim."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import GROWN, Figures, Kind, ratio
from benchmarks.operations import OPERATIONS

Find = Callable[[Figures], float | None]


@dataclass(frozen=True)
class Goal:
    """`find` gives what a run found, None when it did not look. `unit` follows the figure; `least`: more is better.

    One with neither bound is told beside another, which it explains.
    """

    name: str
    must: float | None
    aim: float | None
    find: Find
    unit: str = "×"
    least: bool = False

    def holds(self, found: float, bound: float) -> bool:
        return found >= bound if self.least else found <= bound

    def shown(self, figure: float | None) -> str:
        return "" if figure is None else f"{figure:.2f}{self.unit}"

    def verdict(self, found: float) -> str:
        if self.aim is not None and self.holds(found, self.aim):
            return "aim"
        if self.must is None and self.aim is None:
            return ""
        if self.must is None:
            return "not the aim"
        return "must" if self.holds(found, self.must) else "**missed**"


def _against(operation: str, reference: str, connections: int, member: str) -> Find:
    """The service's median beside that of its reference."""
    return lambda figures: ratio(
        figures.median(Kind(operation, "service", connections), member),
        figures.median(Kind(operation, reference, connections), member),
    )


def _growth(operation: str, connections: int) -> Find:
    """The service with more accounts beside itself with fewer."""
    return lambda figures: ratio(
        figures.median(Kind(operation, GROWN, connections), "cpu"),
        figures.median(Kind(operation, "service", connections), "cpu"),
    )


def _memory_under_load(figures: Figures) -> float | None:
    """The most that the service had right after any window, other servers' memory aside."""
    found = [one.memory for one in figures.windows if one.contender == "service" and "one process" not in one.operation]
    return max(found, default=None)


GOALS = (
    *(
        goal
        for c in (16, 64)
        for goal in (
            Goal(f"profile, requests a second, c={c}", 1.0, 1.4, _against("profile", "b", c, "per_second"), least=True),
            Goal(f"profile, CPU, c={c}", 1.0, 0.7, _against("profile", "b", c, "cpu")),
        )
    ),
    Goal("profile, p99, c=64", 1.0, 0.6, _against("profile", "b", 64, "p99")),
    *(
        Goal(f"{operation}, CPU, c={c}", 1.6, 1.25, _against(operation, "core", c, "cpu"))
        for operation in ("code request", "code confirm")
        for c in (16, 64)
    ),
    *(
        Goal(f"{operation}, CPU", 1.2, 1.1, _against(operation, "hash", 16, "cpu"))
        for operation in ("login", "password change")
    ),
    Goal(
        "p99 of reads beside 8 logins, one process",
        3.0,
        1.5,
        _against("reads beside logins, one process", "alone", 8, "p99"),
    ),
    Goal("p99 of reads beside 8 logins", 3.0, 2.5, _against("reads beside logins", "alone", 8, "p99")),
    *(
        Goal(f"{operation}, CPU, c={c}", None, 1.25, _against(operation, "core", c, "cpu"))
        for operation in ("settlements of 1,000", "invoicing", "accounts of 1,000")
        for c in (16, 64)
    ),
    *(
        Goal(f"{operation}, CPU with more accounts, c={c}", 1.15, None, _growth(operation, c))
        for operation, one in OPERATIONS.items()
        for c in one.connections
    ),
    Goal("start to the first 200", 2.0, 1.2, lambda figures: median(figures.starts) if figures.starts else None, " s"),
    Goal("memory after load", 200, 150, lambda figures: max(figures.rested, default=None), " MiB"),
    Goal("memory right after a window, the most", None, None, _memory_under_load, " MiB"),
)
