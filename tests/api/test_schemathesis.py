"""Whatever is sent to it, each operation answers as the OpenAPI document says: made-up bodies good and bad, headers
left out, methods that it has not, and no login or a good one. Over HTTP, on PostgreSQL."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests

from tests.support.api import PASSWORD, empty, running
from tests.support.fuzzing import Case, held, schema_of, serving, takes_what_the_schema_allows

SCHEMA = schema_of("public")
CHECKS = [takes_what_the_schema_allows("public")]
ENDS_A_SESSION = {"end_current_session", "end_session"}
ENDS_THE_ACCOUNT = "close_account"


@dataclass(frozen=True)
class Served:
    """The service on a port, somebody who has an account, and one to close."""

    url: str
    username: str
    token: str
    spare: str

    def token_for(self, operation: str) -> str:
        if operation == ENDS_THE_ACCOUNT:
            return self.spare
        return _log_in(self.url, self.username) if operation in ENDS_A_SESSION else self.token


def _log_in(url: str, username: str) -> str:
    body = {"method": "password", "identifier": username, "password": PASSWORD}
    answer = requests.post(f"{url}/v1/sessions", json=body, timeout=10)
    return str(answer.json()["access_token"])


@pytest.fixture(scope="module")
def served(postgres_database: str) -> Iterator[Served]:
    username = "somebody"
    asyncio.run(_register(postgres_database, username, "spare"))
    with serving(postgres_database) as url:
        yield Served(url, username, _log_in(url, username), _log_in(url, "spare"))


async def _register(database: str, *usernames: str) -> None:
    async with running(database) as api:
        await empty(api)
        for username in usernames:
            await api.register(username=username)


@SCHEMA.parametrize()  # type: ignore[untyped-decorator]
def test_without_a_login(case: Case, served: Served) -> None:
    held(case, served.url, CHECKS)


@SCHEMA.parametrize()  # type: ignore[untyped-decorator]
def test_with_a_login(case: Case, served: Served) -> None:
    token = served.token_for(case.operation.definition.raw["operationId"])
    held(case, served.url, CHECKS, {"Authorization": f"Bearer {token}"})
