"""What the drill found, as a table for people and as JSON."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from drill.client import Attempt
from drill.compare import Findings


@dataclass
class Outcome:
    """One fault: seconds and what clients saw from its begin until all was calm."""

    name: str
    what: str
    lasted: float  # seconds from the first action to the last
    first_success: float  # seconds from the last action to the first answer that was no error
    last_error: float  # seconds from the last action to the last error; 0 when there was none after it
    attempts: int
    errors: dict[str, int]
    notes: list[str] = field(default_factory=list)


def outcome_of(name: str, what: str, attempts: Sequence[Attempt], began: float, ended: float) -> Outcome:
    """`attempts` are those from the begin until all was calm."""
    errors = Counter(one.outcome for one in attempts if one.failed)
    good = [one.at for one in attempts if not one.failed and one.at >= ended]
    bad = [one.at for one in attempts if one.failed]
    return Outcome(
        name=name,
        what=what,
        lasted=round(ended - began, 1),
        first_success=round(min(good, default=ended) - ended, 1),
        last_error=round(max(0.0, max(bad, default=ended) - ended), 1),
        attempts=len(attempts),
        errors=dict(errors),
    )


@dataclass
class Report:
    form: str
    seconds: float
    customers: int
    attempts: int
    per_second: float
    breaches: dict[str, int]
    outcomes: list[Outcome]
    findings: Findings
    surprises: list[str]
    given_up: dict[str, int]
    repeats: dict[str, int]

    @property
    def passed(self) -> bool:
        return self.findings.clean and not self.breaches and not self.surprises

    def write(self, path: Path) -> None:
        members = asdict(self) | {"passed": self.passed}
        path.write_text(json.dumps(members, indent=2, ensure_ascii=False) + "\n")

    def text(self) -> str:
        lines = [
            f"Drill ({self.form}): {self.seconds:.0f} s, {self.customers} customers, {self.attempts} requests, "
            f"{self.per_second:.0f} a second",
            "",
            "| fault | lasted s | first success after s | last error after s | requests | errors that clients saw |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for one in self.outcomes:
            errors = ", ".join(f"{count} × {kind}" for kind, count in sorted(one.errors.items())) or "none"
            lines.append(
                f"| {one.name}: {one.what} | {one.lasted} | {one.first_success} | {one.last_error} | {one.attempts} "
                f"| {errors} |"
            )
        lines += ["", *(f"- {one.name}: {note}" for one in self.outcomes for note in one.notes if note), ""]
        lines += ["| acknowledged | told | of which nobody knows |", "| --- | --- | --- |"]
        for kind, count in self.findings.compared.items():
            lines.append(f"| {kind} | {count} | {self.findings.doubtful.get(kind) or ''} |")
        wrong = {
            "lost": self.findings.lost,
            "doubled": self.findings.doubled,
            "not delivered": self.findings.undelivered,
            "answers that nobody reckons with": self.surprises,
            "5xx other than 503 with Retry-After, or no answer": [f"{n} × {k}" for k, n in self.breaches.items()],
        }
        lines += ["", *(f"{name}: {len(found) or 'none'}" for name, found in wrong.items())]
        lines += [f"  {one}" for found in wrong.values() for one in found[:20]]
        lines += [
            f"came more than once: {self.repeats}",
            f"given up by clients: {self.given_up or 'none'}",
            "",
            "PASSED" if self.passed else "FAILED",
        ]
        return "\n".join(lines)
