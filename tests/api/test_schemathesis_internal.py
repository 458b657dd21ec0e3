"""The same for the internal surface: with no token, and with one that may do everything."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.api import empty, running
from tests.support.fuzzing import Case, held, schema_of, serving, takes_what_the_schema_allows
from tests.support.services import client

# RFC 6749 §5.2 answers 400 to a scope that the client does not have; a thousand ids, escaped, may pass 64 KiB.
SCHEMA = schema_of("internal", "400", "413")
CHECKS = [
    takes_what_the_schema_allows(
        "internal",
        but_for={
            *("unsupported_hash", "password_twice", "exactly_one_parameter", "one_event_or_span", "empty_span"),
            *("invalid_url", "https_required", "unresolvable_host", "forbidden_address"),
        },
    )
]


@dataclass(frozen=True)
class Served:
    url: str
    token: str


@pytest.fixture(scope="module")
def served(postgres_database: str) -> Iterator[Served]:
    token = asyncio.run(_prepare(postgres_database))
    with pytest.MonkeyPatch.context() as patch, serving(postgres_database) as url:
        resolve = socket.getaddrinfo
        patch.setattr(
            "app.gateways.targets.socket.getaddrinfo",
            lambda host, *rest, **named: resolve(host, *rest, **named) if _is_ours(host) else _nobody(),
        )
        yield Served(url, token)


def _is_ours(host: Any) -> bool:
    return host in (None, "127.0.0.1", "localhost")


def _nobody() -> None:
    raise socket.gaierror(socket.EAI_NONAME, "made-up names are not asked for outside")


async def _prepare(database: str) -> str:
    """An account, so that the feed has an event; a token of a client with every scope."""
    async with running(database) as api:
        await empty(api)
        await api.register()
        return (await client(api)).token


@SCHEMA.parametrize()  # type: ignore[untyped-decorator]
def test_without_a_token(case: Case, served: Served) -> None:
    held(case, served.url, CHECKS)


@SCHEMA.parametrize()  # type: ignore[untyped-decorator]
def test_with_a_token(case: Case, served: Served) -> None:
    held(case, served.url, CHECKS, {"Authorization": f"Bearer {served.token}"})
