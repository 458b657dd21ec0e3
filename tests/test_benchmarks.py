"""The benchmark asks what the service answers: each of its requests gets the status that it counts on."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import ExitStack

import asyncpg  # type: ignore[import-untyped]
import pytest

from app.core import migrations
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
