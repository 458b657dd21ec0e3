"""Figures as tables. `python -m benchmarks.report var/bench.json` prints what `docs/performance.md` shows."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.figures import GROWN, Figures, Kind, Window, kinds, ratio
from benchmarks.goals import GOALS
from benchmarks.operations import OPERATIONS

_HEAD = (
    *("operation", "c", "contender", "req/s", "p50 ms", "p99 ms", "CPU ms: server", "database", "MiB"),
    *("req/s ×", "p99 ×", "CPU ×", "windows"),
)


def line(window: Window) -> str:
    """One window, in words."""
    state = "" if window.clean else f"  dirty: {window.foreign:.0%}"
    return (
        f"{window.operation:32} {window.contender:14} c={window.connections:<3} {window.per_second:8.1f}/s "
        f"p50 {window.p50:7.1f} p99 {window.p99:7.1f} cpu {window.server_cpu:.3f}+{window.database_cpu:.3f} ms{state}"
    )


def markdown(figures: Figures) -> str:
    """Goals first, then everything that was measured, medians of the clean windows."""
    return f"{goals(figures)}\n\n{everything(figures)}"


def goals(figures: Figures) -> str:
    """Each goal beside what was found."""
    rows = [
        (goal.name, goal.shown(goal.must), goal.shown(goal.aim), goal.shown(found), goal.verdict(found))
        for goal in GOALS
        if (found := goal.find(figures)) is not None
    ]
    return _table(("goal", "must", "aim", "found", ""), rows)


def everything(figures: Figures) -> str:
    """Medians, and their ratios to the operation's reference."""
    return _table(_HEAD, [_row(figures, kind) for kind in kinds(figures.windows)])


def _row(figures: Figures, kind: Kind) -> tuple[str, ...]:
    names = list(OPERATIONS[kind.operation].contenders)
    reference = replace(kind, contender="service" if kind.contender == GROWN else names[1])

    def of(member: str) -> str:
        return f"{figures.median(kind, member) or 0:.3g}"

    def times(member: str) -> str:
        found = ratio(figures.median(kind, member), figures.median(reference, member))
        return "" if kind == reference or found is None else f"{found:.2f}"

    windows = figures.clean(kind)
    dirty = "" if windows[0].clean else " dirty"
    return (
        *(kind.operation, str(kind.connections), kind.contender, f"{figures.median(kind, 'per_second') or 0:.0f}"),
        *(of("p50"), of("p99"), of("server_cpu"), of("database_cpu"), f"{figures.median(kind, 'memory') or 0:.0f}"),
        *(times("per_second"), times("p99"), times("cpu"), f"{len(windows)}{dirty}"),
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(_lines(head, rows))


def _lines(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, tuple("---" for _ in head), *rows):
        yield f"| {' | '.join(row)} |"


def put_into(page: str, figures: Figures, *, on: date) -> str:
    """The page with the figures of this run between their marks. Raises ValueError when it has none."""
    mark = "growth" if figures.settings["grown"] else "figures"
    before, begin, rest = page.partition(f"<!-- {mark} -->")
    _, end, after = rest.partition(f"<!-- /{mark} -->")
    if not begin or not end:
        raise ValueError(f"the page has no <!-- {mark} --> … <!-- /{mark} -->")
    told = ", ".join(f"{name}: {value}" for name, value in figures.settings.items())
    return f"{before}{begin}\n{on}, `make bench` ({told}).\n\n{markdown(figures)}\n{end}{after}"


def main(
    path: Annotated[Path, typer.Argument(help="What a run has written.")],
    into: Annotated[Path | None, typer.Option(help="A page that shows the figures: they are put there.")] = None,
) -> None:
    """Print the tables of a run."""
    figures = Figures.read(path)
    if into is None:
        typer.echo(markdown(figures))
        return
    on = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
    into.write_text(put_into(into.read_text(encoding="utf-8"), figures, on=on), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
