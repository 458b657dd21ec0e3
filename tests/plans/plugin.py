"""How pytest records: see tests/plans/recording.py."""

from typing import Any

import pytest

from tests.plans.recording import STATEMENTS, Recorder, unknown, write

_OPTION = "--record-statements"
RECORDER = pytest.StashKey[Recorder]()
_UNKNOWN = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(_OPTION, action="store_true", help="write tests/plans/statements.sql anew")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RECORDER] = recorder = Recorder()
    recorder.watch()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """pytest-xdist's: a worker has ended."""
    node.config.stash[RECORDER].add(getattr(node, "workeroutput", {}).get("statements", {}))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    recorded = session.config.stash[RECORDER].recorded()
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["statements"] = recorded
    elif session.config.getoption(_OPTION):
        write(recorded, whole=not session.testsfailed and _is_whole(session.config))
    elif missing := unknown(recorded):
        session.config.stash[_UNKNOWN] = missing
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if missing := config.stash.get(_UNKNOWN, None):
        terminalreporter.section("statements that no plan is known of")
        terminalreporter.write_line(f"Not in {STATEMENTS.name}; run the tests that send them with {_OPTION}:")
        for one in missing:
            terminalreporter.write_line(f"  {one}")


def _is_whole(config: pytest.Config) -> bool:
    """Nothing was left out by the command line."""
    chosen = config.option.keyword or config.option.markexpr or config.option.deselect
    return not chosen and config.args == config.getini("testpaths")
