"""The database goes away and comes back: 503 at once and honestly, never a 500, and no restart afterwards."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event, func, select, text

from app.core import migrations
from app.core.database import METADATA, async_url, open_engine
from app.core.errors import DatabaseUnavailable
from app.services.data_keys import DataKeyService
from app.services.signing_keys import SigningKeyService
from tests.races import Call, create_database, send
from tests.support.api import Api, Holder, running

TIMEOUT = 1  # seconds that the service gives its database
PATIENCE = TIMEOUT + 3  # SQLAlchemy takes 2 s to take leave of a connection that is silent
REGISTRATION = {"username": "latecomer", "email": "late@example.com", "company_name": "Northwind Trading"}


def calls_of(holder: Holder) -> list[Call]:
    """Reads and writes, with and without a login."""
    return [
        send("GET", "/v1/account/profile", holder),
        send("GET", "/v1/account/activity", holder),
        send("GET", "/v1/usernames/anybody"),
        send("POST", "/v1/sessions", body=_credentials(holder)),
        send("POST", "/v1/sessions/refresh", body={"refresh_token": holder.refresh_token}),
        send("POST", "/v1/registrations", body=REGISTRATION),
        send("POST", "/v1/account/credential-changes", holder, {"credential": "email"}),
    ]


def _credentials(holder: Holder) -> dict[str, str | None]:
    return {"method": "password", "identifier": holder.username, "password": holder.password}


class Proxy:
    """Stands before the database. `refuse` breaks every connection, `silence` lets nothing through, `restore` heals."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._through = asyncio.Event()
        self.refused = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self.restore()

    def refuse(self) -> None:
        self._refusing = True
        for writer in self._writers:
            writer.transport.abort()

    def silence(self) -> None:
        self._through.clear()

    def restore(self) -> None:
        self._refusing = False
        self._through.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            self.refused += 1
            writer.transport.abort()
            return
        answers, questions = await asyncio.open_connection(*self._target)
        self._writers |= {writer, questions}
        await asyncio.gather(self._pass_on(reader, questions), self._pass_on(answers, writer))
        self._writers -= {writer, questions}

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self._through.wait()
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def behind_a_proxy(database: str) -> AsyncIterator[tuple[Proxy, str]]:
    url = async_url(database)
    assert url.host and url.port
    proxy = Proxy(url.host, url.port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    through = url.set(drivername="postgresql", host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    try:
        yield proxy, through.render_as_string(hide_password=False)
    finally:
        proxy.restore()
        proxy.refuse()
        server.close()


@pytest.fixture
async def holder(pg_api: Api) -> Holder:
    return await pg_api.register()


@pytest.fixture
async def proxied(holder: Holder, postgres_database: str, tmp_path: Path) -> AsyncIterator[tuple[Proxy, Api]]:
    """The service with its worker, on a database that has an account and that it reaches through the proxy."""
    assert holder  # registered already: this worker would take the message
    settings: dict[str, Any] = {
        "database_timeout_seconds": TIMEOUT,
        "worker_in_server": True,
        "outbox_poll_seconds": 0.05,
        "dev_messages_file": tmp_path / "messages.jsonl",
    }
    async with behind_a_proxy(postgres_database) as (proxy, url), running(url, **settings) as api:
        yield proxy, api
        proxy.restore()


@pytest.mark.parametrize("how", ["refuse", "silence"])
async def test_without_its_database_every_call_is_told_to_come_again(
    holder: Holder, proxied: tuple[Proxy, Api], how: str
) -> None:
    proxy, api = proxied
    calls = calls_of(holder)
    await asyncio.gather(*(calls[0](api.client) for _ in calls))  # so many open connections
    getattr(proxy, how)()
    began = time.monotonic()

    answers = await asyncio.gather(*(call(api.client) for call in calls))

    assert time.monotonic() - began < PATIENCE
    for answer in answers:
        assert_unavailable(answer, "database_unavailable")
    proxy.restore()
    again = [await call(api.client) for call in calls_of(holder)]
    assert [answer.text for answer in again if not answer.is_success] == []


async def test_without_its_database_it_is_alive_but_not_ready(proxied: tuple[Proxy, Api]) -> None:
    proxy, api = proxied
    proxy.refuse()

    alive, ready = await api.client.get("/livez"), await api.client.get("/readyz")

    assert alive.status_code == 200
    assert ready.status_code == 503
    assert ready.headers["retry-after"]
    assert ready.json()["checks"] == {
        "database": False,
        "schema": False,
        "clock": False,
        "signing_key": True,
        "data_key": True,
    }
    proxy.restore()
    assert (await api.client.get("/readyz")).status_code == 200


async def test_it_starts_without_its_database_and_serves_when_that_comes(postgres_url: str) -> None:
    """Also the very first time, when the database holds no signing key yet."""
    database = await create_database(postgres_url)
    await asyncio.to_thread(migrations.upgrade, database)
    async with behind_a_proxy(database) as (proxy, url):
        proxy.refuse()
        async with running(url, database_timeout_seconds=TIMEOUT) as api:
            assert (await api.client.get("/readyz")).json()["checks"]["signing_key"] is False
            proxy.restore()
            await eventually(lambda: api.container.tokens.ready)
            assert (await api.client.get("/readyz")).status_code == 200


@pytest.mark.parametrize("service", [SigningKeyService, DataKeyService])
async def test_keys_that_it_could_not_read_at_its_start_are_there_soon(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, service: type[Any]
) -> None:
    """The database goes away between the keys that sign and those that seal: it looks for both in haste."""
    database, ensure, looked = await create_database(postgres_url), service.ensure, asyncio.Event()
    await asyncio.to_thread(migrations.upgrade, database)

    async def ensure_later(keys: Any) -> None:
        if not looked.is_set():
            raise DatabaseUnavailable
        await ensure(keys)

    monkeypatch.setattr(service, "ensure", ensure_later)
    async with running(database) as api:
        checks = (await api.client.get("/readyz")).json()["checks"]
        assert not checks["signing_key"]  # the last that comes
        looked.set()
        await eventually(lambda: api.container.tokens.ready)
        assert (await api.client.get("/readyz")).status_code == 200


async def test_the_worker_goes_on_when_the_database_is_back(proxied: tuple[Proxy, Api], tmp_path: Path) -> None:
    proxy, api = proxied
    proxy.refuse()
    await eventually(lambda: proxy.refused > 3)  # nobody else asks: each loop has met it
    proxy.restore()

    assert (await api.client.post("/v1/registrations", json=REGISTRATION)).status_code == 202

    await eventually((tmp_path / "messages.jsonl").exists)


@pytest.fixture
async def on_a_file(tmp_path: Path) -> AsyncIterator[Api]:
    url = f"sqlite:///{tmp_path / 'app.db'}"
    await asyncio.to_thread(migrations.upgrade, url)
    async with running(url) as api:
        yield api


async def test_a_read_only_database_still_answers_reads(on_a_file: Api) -> None:
    api = on_a_file
    holder = await api.register()
    await api.container.engine.dispose()
    event.listen(api.container.engine.sync_engine, "connect", _read_only)

    assert (await api.client.get("/v1/account/profile", headers=holder.auth)).status_code == 200
    assert_unavailable(await api.client.post("/v1/sessions", json=_credentials(holder)), "database_unavailable")


async def test_connections_to_a_demoted_server_are_given_up(postgres_url: str) -> None:
    """A failover behind one name: the connections of the pool still lead to the old primary, which only reads now."""
    database = await create_database(postgres_url)
    await asyncio.to_thread(migrations.upgrade, database)
    async with running(database) as api:
        holder = await api.register()
        calls = calls_of(holder)
        await demote(api, database)
        await asyncio.gather(*(call(api.client) for call in calls))  # every connection of the pool is an old one
        refused = [await call(api.client) for call in calls]
        assert {answer.status_code for answer in refused} == {200, 503}  # reads go on
        for answer in refused:
            if answer.status_code == 503:
                assert_unavailable(answer, "database_unavailable")
        await promote(database)
        again = [await call(api.client) for call in calls_of(holder)]
    assert [answer.text for answer in again if not answer.is_success] == []


async def demote(api: Api, database: str) -> None:
    """From the next connection on the server writes nothing."""
    await _administer(database, f"ALTER DATABASE {async_url(database).database} SET default_transaction_read_only = on")
    await api.container.engine.dispose()


async def promote(database: str) -> None:
    """The same for writing; connections that are there stay as they are."""
    await _administer(database, f"ALTER DATABASE {async_url(database).database} RESET default_transaction_read_only")


async def _administer(database: str, statement: str) -> None:
    engine = open_engine(database)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("SET default_transaction_read_only = off"))
        await connection.execute(text(statement))
    await engine.dispose()


async def test_a_locked_database_file_is_waited_for_and_then_called_unavailable(on_a_file: Api) -> None:
    api = on_a_file
    holder = await api.register()
    began = time.monotonic()

    async with api.container.engine.begin() as connection:  # BEGIN IMMEDIATE: the one writer
        await connection.execute(text("SELECT 1"))
        answer = await api.client.post("/v1/sessions", json=_credentials(holder))

    assert_unavailable(answer, "try_again")
    assert time.monotonic() - began < 8
    assert (await api.client.post("/v1/sessions", json=_credentials(holder))).status_code == 201


async def test_a_full_disk_refuses_writes_and_nothing_is_done_by_halves(on_a_file: Api) -> None:
    """SQLite's own bound stands for the disk's: the same error, SQLITE_FULL."""
    api = on_a_file
    holder = await api.register()
    engine = api.container.engine
    await engine.dispose()
    full = event.listens_for(engine.sync_engine, "connect")(_full)

    for number in range(300):  # the pages that are there have some room
        body = {**REGISTRATION, "username": f"latecomer{number}", "email": f"late{number}@example.com"}
        before = await _counts(api)
        if (refused := await api.client.post("/v1/registrations", json=body)).status_code != 202:
            break

    assert_unavailable(refused, "database_unavailable")
    assert await _counts(api) == before
    assert (await api.client.get("/v1/account/profile", headers=holder.auth)).status_code == 200
    event.remove(engine.sync_engine, "connect", full)
    await engine.dispose()  # the disk has room again
    assert (await api.client.post("/v1/registrations", json=body)).status_code == 202


async def _counts(api: Api) -> list[int]:
    async with api.container.engine.connect() as connection:
        tables = [METADATA.tables[name] for name in ("registrations", "challenges", "outbox_messages")]
        return [int(await connection.scalar(select(func.count()).select_from(table)) or 0) for table in tables]


async def test_after_a_failover_connections_to_the_server_that_is_read_only_now_are_dropped(
    postgres_url: str,
) -> None:
    """The old primary is a standby and still answers: whoever stays connected to it would never write again."""
    database = await create_database(postgres_url)
    await asyncio.to_thread(migrations.upgrade, database)
    async with running(database, database_pool_size=3) as api:
        holder = await api.register()
        profile = send("GET", "/v1/account/profile", holder)
        await asyncio.gather(*(profile(api.client) for _ in range(3)))  # all connections of the pool
        await _demote_what_is_connected(api)

        assert (await profile(api.client)).status_code == 200
        assert_unavailable(await api.client.post("/v1/sessions", json=_credentials(holder)), "database_unavailable")
        for _ in range(3):
            assert (await api.client.post("/v1/sessions", json=_credentials(holder))).status_code == 201


async def _demote_what_is_connected(api: Api) -> None:
    """Connections that are there become read-only, those that come are not: they reach the new primary."""
    async with AsyncExitStack() as stack:
        for _ in range(3):
            connection = await stack.enter_async_context(api.container.engine.connect())
            await connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
            await connection.commit()


def _full(connection: Any, _: object) -> None:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages}").close()


def _read_only(connection: Any, _: object) -> None:
    connection.execute("PRAGMA query_only=ON").close()


def assert_unavailable(answer: httpx.Response, code: str) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["code"] == code


async def eventually(holds: Callable[[], object]) -> None:
    """Look until it holds: the service's own loops come around by themselves."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 15
    while not holds():
        assert loop.time() < deadline, "it never came true"
        await asyncio.to_thread(time.sleep, 0.02)
