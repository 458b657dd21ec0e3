"""What processes use of the machine, by Linux's own account (proc(5))."""

import os
import time
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICK = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Use:
    """CPU seconds up to an instant: of each group of processes, of all that descend from this one, and of everything.

    `steal` of the hypervisor counts as somebody else's.
    """

    at: float
    groups: dict[str, float]
    ours: float
    everything: float

    @classmethod
    def now(cls, groups: dict[str, int]) -> "Use":
        """`groups`: the first process of each by its name; its descendants belong to it."""
        stats = _stats()
        children = _children(stats)
        used = {name: sum(stats[pid].cpu for pid in _tree(root, children)) for name, root in groups.items()}
        ours = sum(stats[pid].cpu for pid in _tree(os.getpid(), children))
        return cls(time.monotonic(), used, ours, _everything())


def foreign_share(before: Use, after: Use) -> float:
    """The share of the machine (0–1) that neither this process nor its descendants used in between."""
    theirs = (after.everything - before.everything) - (after.ours - before.ours)
    return max(0.0, theirs / ((after.at - before.at) * CORES))


def parent_of(pid: int) -> int:
    """Raises KeyError when there is no such process."""
    return _stats()[pid].parent


def pss(root: int) -> float:
    """MiB of a process and its descendants, what they share divided among them (smaps_rollup's Pss)."""
    return sum(_pss_of(pid) for pid in _tree(root, _children(_stats()))) / 1024


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    cpu: float  # seconds, those of ended children that were waited for included


def _stats() -> dict[int, _Stat]:
    found = {}
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            text = (folder / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        fields = text.rpartition(")")[2].split()  # the name may hold blanks; the state comes first
        found[int(folder.name)] = _Stat(int(fields[1]), sum(map(int, fields[11:15])) / _TICK)
    return found


def _children(stats: dict[int, _Stat]) -> dict[int, list[int]]:
    children: dict[int, list[int]] = defaultdict(list)
    for pid, stat in stats.items():
        children[stat.parent].append(pid)
    return children


def _tree(root: int, children: dict[int, list[int]]) -> Collection[int]:
    found, left = [], [root]
    while left:
        pid = left.pop()
        found.append(pid)
        left += children.get(pid, [])
    return found


def _everything() -> float:
    user, nice, system, _idle, _iowait, _irq, _softirq, steal, *_ = map(
        int, (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + steal) / _TICK


def _pss_of(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
