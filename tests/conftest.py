"""What all tests share: the two databases, migrated, and the application on each."""

import asyncio
import gc
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from app.core import logging, migrations
from app.core.database import async_url, open_engine
from tests.support.api import Api, empty, running
from tests.support.postgres import postgres

logging.configure("INFO")  # as in production: a failing test shows what an operator would see
pytest_plugins = ("tests.plans.plugin",)
BACKENDS = ("sqlite", "postgresql")
_MADE_ANEW = re.compile(r"(?=[A-Za-z_-]*\d)[\w-]{32}")  # ids and tokens
_GZIP = b"\x1f\x8b"  # and after it, the time


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """The workers of pytest-xdist must agree on the names of tests: what each makes for itself is not in one."""
    made_anew = _MADE_ANEW.search(val) if isinstance(val, str) else isinstance(val, bytes) and val.startswith(_GZIP)
    return argname if made_anew else None


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The maintenance database of a PostgreSQL of our own."""
    with postgres() as url:
        yield url


async def _create_database(server: str) -> str:
    name = f"test_{uuid.uuid4().hex}"
    engine = open_engine(server)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text(f"CREATE DATABASE {name}"))
    await engine.dispose()
    return async_url(server).set(drivername="postgresql", database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
async def postgres_database(postgres_url: str) -> str:
    """A migrated PostgreSQL database."""
    url = await _create_database(postgres_url)
    await asyncio.to_thread(migrations.upgrade, url)
    return url


@pytest.fixture(scope="session")
def _databases() -> dict[str, str]:
    """The databases of `database_url`, each made once: a worker changes engines with every file that it is given."""
    return {}


@pytest.fixture(scope="session", params=BACKENDS)
async def database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _databases: dict[str, str]
) -> str:
    """A migrated database, on each engine in turn."""
    if (known := _databases.get(request.param)) is not None:
        return known
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('db') / 'app.db'}"
    else:
        url = await _create_database(request.getfixturevalue("postgres_url"))
    await asyncio.to_thread(migrations.upgrade, url)
    _databases[request.param] = url
    return url


Started = Callable[..., Awaitable[Api]]


@pytest.fixture(scope="session")
async def _applications() -> AsyncIterator[Started]:
    """Applications by database and settings, each made once."""
    async with AsyncExitStack() as stack:
        known: dict[str, Api] = {}

        async def start(url: str, **settings: Any) -> Api:
            key = repr((url, sorted(settings.items())))
            if key not in known:
                known[key] = await stack.enter_async_context(running(url, **settings))
                gc.freeze()  # it lives to the end: looking for garbage in all of them would stop the clock for seconds
            return known[key]

        yield start


@pytest.fixture
async def api(
    request: pytest.FixtureRequest, _applications: Started, database_url: str, tmp_path: Path
) -> AsyncIterator[Api]:
    """The service on an empty database. `@pytest.mark.settings(name=value)` changes its settings."""
    marker = request.node.get_closest_marker("settings")
    yield await _fresh(_applications, database_url, marker.kwargs if marker else {})


@pytest.fixture
async def pg_api(request: pytest.FixtureRequest, _applications: Started, postgres_database: str) -> AsyncIterator[Api]:
    """The same on PostgreSQL alone: for claims about real concurrency."""
    marker = request.node.get_closest_marker("settings")
    yield await _fresh(_applications, postgres_database, marker.kwargs if marker else {})


async def _fresh(start: Started, url: str, settings: dict[str, Any]) -> Api:
    api = await start(url, **settings)
    await empty(api)
    api.notifier.sent.clear()
    api.client.cookies.clear()
    return api
