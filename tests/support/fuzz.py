"""`python -m tests.support.fuzz`: many made-up calls on all three surfaces, none answered by a 5xx or undocumented.

Prints how often each surface gave each status; fails when a test does, or when fewer calls than asked for were made.
"""

import argparse
import os
import sys
from collections import Counter

import pytest

_TESTS = {  # by surface; how many tests share the examples of one run
    "public": ("tests/api/test_schemathesis.py", 102),
    "internal": ("tests/api/test_schemathesis_internal.py", 58),
    "marketplace": ("tests/api/test_marketplace_fuzz.py", 7),
}


def main() -> int:
    """What pytest ends with, or 1 for too few calls."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=10_000, help="calls on all surfaces together, at least")
    examples = parser.parse_args().examples
    os.environ["FUZZ_EXAMPLES"] = str(max(15, -(-examples // sum(share for _, share in _TESTS.values()))))
    ended = pytest.main(
        [
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:tests.plans.plugin",
            "--timeout=3600",
            *(path for path, _ in _TESTS.values()),
        ]
    )
    from tests.support.fuzzing import ANSWERED

    for surface in _TESTS:
        by_status = Counter({status: count for (name, status), count in ANSWERED.items() if name == surface})
        shown = ", ".join(f"{status}: {count}" for status, count in sorted(by_status.items()))
        sys.stdout.write(f"{surface}: {by_status.total()} calls ({shown})\n")
    sys.stdout.write(f"{ANSWERED.total()} calls\n")
    return int(ended) or int(ANSWERED.total() < examples)


if __name__ == "__main__":
    sys.exit(main())
