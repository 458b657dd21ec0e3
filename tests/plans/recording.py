"""Every SQL statement that the suite makes the service send to PostgreSQL.

All SQL of the service goes through `UnitOfWork` (import-linter: SQLAlchemy stays in repositories, models and
core.database), so its engines are watched and nobody else's: what a test asks the database by itself does not count.
Each worker of pytest-xdist hands what it saw to the controller, which compares the whole with tests/plans/statements.sql
when the run ends, and fails it for a statement that is not there. So nothing is missed whether the run has workers or
none, is whole or a part; and tests/plans/test_plans.py explains all that is there, in any run. What only a process
of its own does (tests/races) is not seen; the same commands and workers run inside of tests as well.

`pytest --record-statements` writes the file anew: on a whole run what is gone is dropped, else it is only added to.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.repositories.unit_of_work import UnitOfWork
from tests.plans.shapes import sample, shape, words

STATEMENTS = Path(__file__).with_name("statements.sql")
_MARK = "guance_recorded"
_SAMPLES = 8  # of one shape, told apart by the words and numbers in them

Recorded = dict[str, list[str]]


class Recorder:
    """Shapes, and samples of each."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, str]] = defaultdict(dict)  # the samples of a shape by the words in them
        self._shapes: dict[str, str] = {}

    def watch(self) -> None:
        """From here on, in this process."""
        original = UnitOfWork.__init__

        def watched(uow: UnitOfWork, engine: AsyncEngine, *arguments: Any, **named: Any) -> None:
            original(uow, engine.execution_options(**{_MARK: True}), *arguments, **named)

        UnitOfWork.__init__ = watched  # type: ignore[method-assign]
        event.listen(Engine, "before_cursor_execute", self._note)

    def _note(self, connection: Connection, _: Any, statement: str, parameters: Any, __: Any, many: bool) -> None:
        if connection.dialect.name != "postgresql" or not connection.get_execution_options().get(_MARK):
            return
        if (known := self._shapes.get(statement)) is None:
            known = self._shapes[statement] = shape(statement)
        if len(self.found[known]) < _SAMPLES:
            rows = many and parameters and isinstance(parameters[0], tuple | list)
            self._keep(known, sample(statement, parameters[0] if rows else parameters))

    def add(self, found: Recorded) -> None:
        """What another process saw."""
        for known, samples in found.items():
            for one in samples:
                self._keep(known, one)

    def recorded(self) -> Recorded:
        return {known: sorted(samples.values())[:_SAMPLES] for known, samples in self.found.items()}

    def _keep(self, known: str, one: str) -> None:
        self.found[known].setdefault(words(one), one)


def known_statements() -> list[str]:
    """Those of the file."""
    text = STATEMENTS.read_text() if STATEMENTS.exists() else ""
    return [line.removesuffix(";") for line in text.splitlines() if line and not line.startswith("--")]


def write(recorded: Recorded, *, whole: bool) -> None:
    """The file anew. Of a shape that it has the samples stay: its times would only wander."""
    kept: dict[str, list[str]] = defaultdict(list)
    for one in known_statements():
        if not whole or shape(one) in recorded:
            kept[shape(one)].append(one)
    for known, samples in recorded.items():
        kept.setdefault(known, samples)
    lines = sorted({one for samples in kept.values() for one in samples})
    head = "-- Every statement of the service, by shape (tests/plans/recording.py); explained by tests/plans/test_plans.py."
    STATEMENTS.write_text("\n".join([head, *(f"{line};" for line in lines)]) + "\n")


def unknown(recorded: Recorded) -> list[str]:
    """A sample of each shape that the file does not have."""
    known = {shape(one) for one in known_statements()}
    return [samples[0] for found, samples in sorted(recorded.items()) if found not in known]
