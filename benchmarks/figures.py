"""What a run found: windows, starts, and the file that keeps them."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

FOREIGN = 0.12  # of the machine; a window in which somebody else used more is dropped

GROWN = "grown"  # the contender that is the service with more accounts


@dataclass(frozen=True, slots=True)
class Kind:
    """What a window is a window of."""

    operation: str
    contender: str
    connections: int


@dataclass(frozen=True, slots=True)
class Window:
    """One contender under load for some seconds. CPU in milliseconds a request, memory in MiB, p50 and p99 in ms."""

    operation: str
    contender: str
    connections: int
    requests: int
    per_second: float
    p50: float
    p99: float
    server_cpu: float
    database_cpu: float
    memory: float
    foreign: float

    @property
    def clean(self) -> bool:
        return self.foreign <= FOREIGN

    @property
    def cpu(self) -> float:
        """Of server and database together."""
        return self.server_cpu + self.database_cpu

    @property
    def kind(self) -> Kind:
        return Kind(self.operation, self.contender, self.connections)


@dataclass(frozen=True)
class Figures:
    """A run: its settings, its windows, and the seconds from each start of the service to its first 200.

    `rested` is the memory of the service in MiB after each round, when it had nothing to do for some seconds.
    """

    settings: dict[str, Any]
    windows: list[Window]
    starts: list[float]
    rested: list[float] = field(default_factory=list)

    def clean(self, kind: Kind) -> list[Window]:
        """The windows that count: clean ones; all of them where there is none."""
        found = [one for one in self.windows if one.kind == kind]
        return [one for one in found if one.clean] or found

    def median(self, kind: Kind, member: str) -> float | None:
        """Of the windows of this kind that count; None when it was not measured."""
        found = self.clean(kind)
        return median(getattr(one, member) for one in found) if found else None

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Figures":
        found = json.loads(path.read_text(encoding="utf-8"))
        return cls(**found | {"windows": [Window(**one) for one in found["windows"]]})


def ratio(first: float | None, second: float | None) -> float | None:
    return first / second if first is not None and second else None


def kinds(windows: Iterable[Window]) -> list[Kind]:
    """In the order in which they came."""
    return list(dict.fromkeys(one.kind for one in windows))
