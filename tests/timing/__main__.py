"""`python -m tests.timing`: do answer times tell known identifiers from unknown ones? Fails if they do."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.support.postgres import postgres
from tests.timing.enumeration import OPERATIONS, measure_until_sure
from tests.timing.served import client, new_name, served


def main() -> int:
    """Print a line for each run; 1 when an operation was told apart twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000, help="calls about known identifiers, and as many unknown")
    parser.add_argument("operations", nargs="*", help=f"of {', '.join(OPERATIONS)}; all by default")
    arguments = parser.parse_args()
    told_apart = False
    for operation in arguments.operations or OPERATIONS:
        names = [new_name() for _ in range(2 * arguments.calls)]
        with (
            tempfile.TemporaryDirectory() as folder,
            postgres() as url,
            served(url, Path(folder), names) as base,
            client(base) as http,
        ):
            runs = measure_until_sure(http, OPERATIONS[operation], iter(names), calls=arguments.calls)
        for run in runs:
            sys.stdout.write(f"{operation}: {run}\n")
            sys.stdout.flush()
        told_apart |= runs[-1].told_apart
    return int(told_apart)


if __name__ == "__main__":
    sys.exit(main())
