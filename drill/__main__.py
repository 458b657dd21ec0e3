"""`python -m drill`: the drill itself. `--short` is what CI runs."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from drill.director import Form, drill

_FORMS = {
    "full": Form("full", workers=2, lanes=10, pause=0.5, baseline=10, calm=5, away=15, patience=75, code_within=90),
    "short": Form("short", workers=1, lanes=8, pause=0.3, baseline=3, calm=1.5, away=5, patience=20, code_within=30),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m drill", description=__doc__)
    parser.add_argument("--short", action="store_true", help="the form that CI runs")
    parser.add_argument("--out", type=Path, default=Path("var/drill"), help="folder of logs, ledger and report")
    parser.add_argument("--only", action="append", help="only these faults; may stand several times")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a plain kill must not leave servers behind
    report = asyncio.run(drill(_FORMS["short" if chosen.short else "full"], chosen.out.absolute(), chosen.only))
    sys.stdout.write(report.text() + "\n")
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
