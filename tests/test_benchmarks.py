"""The benchmark asks what the service answers: each of its requests gets the status that it counts on."""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest

from app.core import migrations
from benchmarks import report
from benchmarks.figures import GROWN, Figures, Kind, Window
from benchmarks.machine import Use, foreign_share
from benchmarks.operations import OPERATIONS, Contender
from benchmarks.world import World, world

ACCOUNTS = 50
CHEAP = {"GUANCE_ARGON2_MEMORY_KIB": "8", "GUANCE_ARGON2_TIME": "1"}
ALL = [(operation, name) for operation, one in OPERATIONS.items() for name in one.contenders]


@pytest.fixture(scope="module")
async def running(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A small world, with every server that is measured."""
    name = f"bench_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    database = postgres_url.rpartition("/")[0] + f"/{name}"
    await asyncio.to_thread(migrations.upgrade, database)
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("bench")
        made = world(folder, database, accounts=ACCOUNTS, workers=1, **CHEAP)
        yield await asyncio.to_thread(stack.enter_context, made)


@pytest.mark.parametrize(("operation", "name"), ALL)
async def test_every_request_of_the_benchmark_is_answered_as_it_expects(
    running: World, operation: str, name: str
) -> None:
    contender = OPERATIONS[operation].contenders[name]

    statuses = await asyncio.to_thread(_statuses, running, contender)

    assert statuses == [contender.status] * 2


def _statuses(running: World, contender: Contender) -> list[int]:
    port = running.servers[contender.server].port
    return [_status(port, request) for request in contender.make(running, 2)]


def _status(port: int, request: bytes) -> int:
    """The request goes over the wire as it was made."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request)
        return int(connection.recv(12).split()[1])


def test_the_service_comes_first_and_is_compared_with_something() -> None:
    for operation in OPERATIONS.values():
        assert next(iter(operation.contenders)) == "service"
        assert len(operation.contenders) > 1


# --- Figures --------------------------------------------------------------------------------------------------------


def window(contender: str, cpu: float, foreign: float = 0.0, operation: str = "profile") -> Window:
    """`cpu` in milliseconds, a quarter of it the database's."""
    return Window(
        operation=operation,
        contender=contender,
        connections=16,
        requests=100,
        per_second=1000 / cpu,
        p50=1.0,
        p99=2.0,
        server_cpu=cpu * 3 / 4,
        database_cpu=cpu / 4,
        memory=100.0,
        foreign=foreign,
    )


def figures(*windows: Window) -> Figures:
    return Figures(settings={}, windows=list(windows), starts=[1.0])


def test_a_window_with_somebody_else_in_it_does_not_count() -> None:
    found = figures(window("service", 1.0), window("service", 9.0, foreign=0.13), window("service", 3.0))

    assert found.median(Kind("profile", "service", 16), "cpu") == 2.0


def test_where_no_window_was_clean_all_count_and_the_table_says_so() -> None:
    found = figures(window("service", 1.0, foreign=0.5), window("b", 2.0))

    assert found.median(Kind("profile", "service", 16), "cpu") == 1.0
    assert "| 1 dirty |" in report.everything(found)


def test_ratios_are_of_medians_to_the_reference() -> None:
    found = figures(window("service", 0.5), window("b", 1.0), window("a", 0.25))

    rows = report.everything(found).splitlines()

    assert rows[2].split(" | ")[-4:-1] == ["2.00", "1.00", "0.50"]
    assert rows[4].split(" | ")[-4:-1] == ["4.00", "1.00", "0.25"]


@pytest.mark.parametrize(("cpu", "verdict"), [(0.7, "aim"), (0.8, "must"), (1.1, "**missed**")])
def test_a_goal_is_held_against_the_reference_of_its_operation(cpu: float, verdict: str) -> None:
    found = figures(window("service", cpu), window("b", 1.0))

    assert f"| profile, CPU, c=16 | 1.00× | 0.70× | {cpu:.2f}× | {verdict} |" in report.goals(found)


def test_growth_compares_the_service_with_itself() -> None:
    found = figures(window("service", 1.0, operation="login"), window(GROWN, 1.2, operation="login"))

    assert "| login, CPU with more accounts, c=16 | 1.15× |  | 1.20× | **missed** |" in report.goals(found)


def test_memory_after_load_is_that_of_a_round_that_is_over_and_the_most_of_a_window_stands_beside_it() -> None:
    found = replace(figures(window("service", 1.0)), rested=[140.0, 180.0])

    rows = report.goals(found).splitlines()

    assert "| memory after load | 200.00 MiB | 150.00 MiB | 180.00 MiB | must |" in rows
    assert "| memory right after a window, the most |  |  | 100.00 MiB |  |" in rows


def test_figures_are_read_as_they_were_written(tmp_path: Path) -> None:
    found = figures(window("service", 0.5), window("b", 1.0))

    found.write(tmp_path / "bench.json")

    assert Figures.read(tmp_path / "bench.json") == found


@pytest.mark.parametrize("grown", [0, 1_000_000])
def test_the_page_shows_the_figures_of_one_run_whatever_stood_there(grown: int) -> None:
    page = (Path(__file__).parents[1] / "docs" / "performance.md").read_text(encoding="utf-8")
    found = replace(figures(window("service", 0.7), window("b", 1.0)), settings={"grown": grown})

    once = report.put_into(page, found, on=date(2026, 11, 23))

    assert "2026-11-23" in once
    assert report.goals(found) in once
    assert report.put_into(once, found, on=date(2026, 11, 23)) == once


def test_what_a_process_and_its_children_use_is_told_from_what_others_use() -> None:
    before = Use.now({"child": os.getpid()})
    deadline = time.process_time() + 0.2
    while time.process_time() < deadline:
        pass
    after = Use.now({"child": os.getpid()})

    assert after.groups["child"] - before.groups["child"] >= 0.15
    assert after.ours - before.ours >= 0.15
    assert foreign_share(before, replace(after, everything=before.everything + 1e9)) > 1
    assert foreign_share(before, replace(after, everything=before.everything)) == 0
