"""The measurement of `make timing` in small, against a server process: it runs, and it can fail."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.timing.enumeration import ask_login_code, measure, measure_until_sure
from tests.timing.served import client, new_name, served

CALLS = 60


@pytest.fixture(scope="module")
def names() -> list[str]:
    return [new_name() for _ in range(3 * CALLS)]


@pytest.fixture(scope="module")
def http(postgres_url: str, names: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder: Path = tmp_path_factory.mktemp("timing")
    with served(postgres_url, folder, names) as base, client(base) as opened:
        yield opened


def test_answer_times_of_login_codes_do_not_tell_who_has_an_account(http: httpx.Client, names: list[str]) -> None:
    runs = measure_until_sure(http, ask_login_code, iter(names[: 2 * CALLS]), calls=CALLS)
    assert not runs[-1].told_apart, [str(run) for run in runs]


def test_a_delay_that_known_names_alone_have_is_found(http: httpx.Client, names: list[str]) -> None:
    known = set(names[2 * CALLS :])

    def slowly(opened: httpx.Client, name: str) -> httpx.Response:
        began = time.perf_counter()
        answer = ask_login_code(opened, name)
        if name in known:
            time.sleep(2 * (time.perf_counter() - began))
        return answer

    assert measure(http, slowly, known, warming=0).told_apart
