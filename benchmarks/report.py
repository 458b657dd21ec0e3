"""Figures out of a run: medians, and ratios to the reference. `python -m benchmarks.report var/bench.json`."""

import json
from pathlib import Path

from benchmarks.run import Window


def line(window: Window) -> str:
    """One window, in words."""
    state = "" if window.clean else f"  dirty: {window.foreign:.0%}"
    return (
        f"{window.operation:22} {window.contender:10} c={window.connections:<3} {window.per_second:8.1f}/s "
        f"p50 {window.p50:7.1f} p99 {window.p99:7.1f} cpu {window.server_cpu:.3f}+{window.database_cpu:.3f} ms{state}"
    )


def table(path: Path) -> str:
    found = json.loads(path.read_text())
    return "\n".join(map(line, (Window(**one) for one in found["windows"])))
