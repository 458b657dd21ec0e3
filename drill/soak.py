"""`python -m drill.soak`: the drill's load for ten minutes with nothing failing, and what grows meanwhile."""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from drill.load import Load, Pace
from drill.processes import Process, python
from drill.service import until_ready
from drill.site import Site, site
from drill.vitals import RULES, of_database, of_process, slope

_SAMPLE_EVERY = 10.0  # seconds
# What lives for minutes in production lives shorter here, so that the clean-up has something to do.
_SETTINGS = {
    "GUANCE_CODE_LIFE_SECONDS": "60",
    "GUANCE_FLOW_LIFE_SECONDS": "120",
    "GUANCE_PROOF_LIFE_SECONDS": "60",
    "GUANCE_ACCESS_TOKEN_SECONDS": "60",
}


@dataclass(frozen=True)
class Series:
    """One thing that was watched: the mean and the rise a minute over the second half, and what rise is allowed."""

    name: str
    first: float
    mean: float
    rise: float
    allowed: float

    @property
    def level(self) -> bool:
        return self.rise <= self.allowed


@dataclass
class Soak:
    """Samples by name, each a moment in seconds and a value."""

    samples: dict[str, list[tuple[float, float]]]

    def series(self) -> list[Series]:
        """Those that a rule is about."""
        found = []
        for name, points in self.samples.items():
            rule = RULES.get(name.rpartition(": ")[2])
            if rule is None:
                continue
            half = [one for one in points if one[0] >= (points[0][0] + points[-1][0]) / 2]
            mean = sum(value for _, value in half) / len(half)
            found.append(Series(name, points[0][1], mean, slope(half), rule.allows(mean)))
        return found


async def soak(minutes: float, out: Path) -> bool:
    """Run it; print and write what was seen. Whether everything levelled off and no call failed."""
    async with site(out, settings=_SETTINGS) as running:
        await _watch_tasks(running)
        cleaner = Process(
            "cleaning", python("-m", "drill.cleaning"), out / "cleaning.log", _cleaning(running), cwd=Path.cwd()
        )
        await cleaner.start()
        load = Load(running, Pace(lanes=8, pause=0.5, patience=60, code_within=60))
        await load.start()
        try:
            seen = await _sample(running, minutes * 60)
        finally:
            await load.stop()
            await cleaner.stop()
    attempts = load.traffic.attempts
    failed = Counter(f"{one.route}: {one.outcome}" for one in attempts if one.failed)
    passed = not failed and not load.ledger.surprises and all(one.level for one in seen.series())
    lines = [
        f"Soak: {minutes:g} minutes, {load.customers} customers, {len(attempts)} requests "
        f"({len(attempts) / minutes / 60:.0f} a second), {seen.samples['deleted rows'][-1][1]:.0f} rows cleaned up",
        "",
        "| | at the start | mean of the second half | its rise a minute | allowed | |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {one.name} | {one.first:.1f} | {one.mean:.1f} | {one.rise:+.2f} | {one.allowed:.2f} "
            f"| {'level' if one.level else 'RISES'} |"
            for one in seen.series()
        ),
        "",
        f"errors: {dict(failed) or 'none'}; answers that nobody reckons with: {load.ledger.surprises or 'none'}",
        "PASSED" if passed else "FAILED",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    out.with_name("soak.json").write_text(json.dumps({"passed": passed, "samples": seen.samples}) + "\n")
    return passed


def _cleaning(running: Site) -> dict[str, str]:
    return running.service.environment()


async def _watch_tasks(running: Site) -> None:
    """Start the replicas and the worker anew, as processes that tell how many tasks they have."""
    for process in (*running.replicas.values(), running.worker):
        await process.stop(signal.SIGTERM)
        command = [str(word) for word in process.command]
        module = command.index("app")
        process.command = [
            *command[:module],
            "drill.watched",
            str(running.folder / process.name),
            *command[module + 1 :],
        ]
        await process.start()
    await asyncio.gather(*(until_ready(port) for port in running.ports.values()))


async def _sample(running: Site, seconds: float) -> Soak:
    soaked, began = Soak({}), time.monotonic()
    while (at := time.monotonic() - began) < seconds:
        values = await of_database(running.primary)
        for process in (*running.replicas.values(), running.worker):
            values |= of_process(process.name, process.pid, running.folder / process.name)
        for name, value in values.items():
            soaked.samples.setdefault(name, []).append((at, value))
        await asyncio.sleep(_SAMPLE_EVERY)
    return soaked


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m drill.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="ten unless told otherwise")
    parser.add_argument("--out", type=Path, default=Path("var/soak"), help="folder of logs and samples")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return 0 if asyncio.run(soak(chosen.minutes, chosen.out.absolute())) else 1


if __name__ == "__main__":
    sys.exit(main())
