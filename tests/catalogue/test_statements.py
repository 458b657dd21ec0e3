"""How many statements each route, worker pass and command sends in its ordinary case: frozen, on both engines.

One more is one more trip to the database for everybody: it has to be meant. `pytest --record-statements` with this file
writes statements.toml anew.
"""

import json
import tomllib
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.core.config import Settings
from app.main import create_app
from tests.catalogue import CASES, SETTINGS, Case, succeeded
from tests.conftest import BACKENDS
from tests.support.api import Api, statements

pytestmark = pytest.mark.settings(**SETTINGS)
_FILE = Path(__file__).with_name("statements.toml")
_COUNTED: dict[str, dict[str, int]] = tomllib.loads(_FILE.read_text())
_ELSEWHERE = {
    "GET /docs/oauth2-redirect",  # pages made at start
    "GET /redoc",
    "GET /marketplace/{provider}/{channel:path}",  # the same handler as POST
    "GET /internal/v1/accounts/lookup",  # answered 405: their path would be taken for one with an id
    "DELETE /v1/sessions/refresh",
}


@pytest.fixture(scope="module")
async def found(request: pytest.FixtureRequest) -> AsyncIterator[dict[str, dict[str, int]]]:
    """What this run counts, by case and engine; kept if that is asked for."""
    counted: dict[str, dict[str, int]] = {name: dict(_COUNTED.get(name, {})) for name in CASES}
    yield counted
    if request.config.getoption("--record-statements"):
        lines = [f"{json.dumps(name)} = {_inline(counts)}" for name, counts in sorted(counted.items())]
        _FILE.write_text(
            "\n".join(["# Statements of each case, by engine: tests/catalogue/test_statements.py", *lines, ""])
        )


def _inline(counts: dict[str, int]) -> str:
    return "{ " + ", ".join(f"{engine} = {count}" for engine, count in sorted(counts.items())) + " }"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_a_case_sends_as_many_statements_as_are_written_down(
    api: Api, case: Case, found: dict[str, dict[str, int]], request: pytest.FixtureRequest
) -> None:
    call = await case.prepare(api)
    with statements(api) as seen:
        outcome = await call()
    assert succeeded(outcome), getattr(outcome, "text", outcome)
    engine = api.container.engine.dialect.name
    found[case.name][engine] = len(seen)
    if not request.config.getoption("--record-statements"):
        assert len(seen) == _COUNTED[case.name][engine], "\n".join(seen)


def test_every_route_of_the_service_has_a_case() -> None:
    app = create_app(Settings(database_url=SecretStr("sqlite:////tmp/none.db")))
    routes = {f"{method} {route.path}" for route in _routes(app.routes) for method in route.methods - {"HEAD"}}
    assert len(routes) > 80
    assert sorted(routes - _ELSEWHERE - {_route_of(name) for name in CASES}) == []


def test_every_case_is_counted_and_every_count_has_its_case() -> None:
    assert {name: sorted(counts) for name, counts in _COUNTED.items()} == dict.fromkeys(CASES, sorted(BACKENDS))


def _routes(routes: Iterable[Any]) -> Iterator[Any]:
    """With those of routers that were included."""
    for route in routes:
        if included := getattr(route, "original_router", None):
            yield from _routes(included.routes)
        elif getattr(route, "methods", None):
            yield route


def _route_of(name: str) -> str:
    """`POST /v1/sessions` of "POST /v1/sessions by password"."""
    method, _, rest = name.partition(" ")
    return f"{method} {rest.split(' ')[0].rstrip(':,')}"
