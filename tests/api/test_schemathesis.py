"""Whatever is sent to it, each operation answers as the OpenAPI document says: made-up bodies good and bad, headers
left out, methods that it has not, and no login or a good one. Over HTTP, on PostgreSQL."""

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import schemathesis
import uvicorn
from schemathesis.checks import CheckFunction

from app.core.config import Settings
from app.main import create_app, documents
from tests.support.api import PASSWORD, TEST_SETTINGS, running

PLENTY = 1_000_000
SETTINGS = TEST_SETTINGS | {
    # A 429 would hide what lies behind it.
    "daily_sends_per_target": PLENTY,
    "daily_sms_per_dial_code": PLENTY,
    "daily_tries": PLENTY,
    "flow_tries": PLENTY,
    "hourly_sms_per_ip": PLENTY,
    "login_free_failures": PLENTY,
    "log_level": "WARNING",
}
CONFIG = schemathesis.Config.from_dict(
    {
        "generation": {"max-examples": 25, "deterministic": True, "database": "none"},
        "checks": {
            # A good body meets a wrong code, a spent budget or another state of things; never a 5xx.
            "positive_data_acceptance": {
                "expected-statuses": ["2xx", "401", "403", "404", "409", "410", "412", "422", "428", "429"]
            },
            # If-Match is read before the body.
            "negative_data_rejection": {
                "expected-statuses": ["400", "401", "404", "405", "409", "412", "415", "422", "428", "429"]
            },
        },
    }
)
SCHEMA = schemathesis.openapi.from_dict(documents()["public"], config=CONFIG)
# Reasons against a value that no JSON schema can give.
BEYOND_THE_SCHEMA = {
    "forbidden_character",
    "invalid_cursor",
    "invalid_email",
    "invalid_phone",
    "phone_country_not_served",
    "phone_not_mobile",
    "string_too_short",
    "unknown_industry",
    "unknown_parameter",
    "unknown_region",
    "unknown_time_zone",
}
ENDS_A_SESSION = {"end_current_session", "end_session"}
ENDS_THE_ACCOUNT = "close_account"


Case = schemathesis.Case[Any]


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
    app = create_app(Settings(**{"database_url": postgres_database, **SETTINGS}))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield Served(url, username, _log_in(url, username), _log_in(url, "spare"))
    finally:
        server.should_exit = True
        thread.join()


async def _register(database: str, *usernames: str) -> None:
    async with running(database) as api:
        for username in usernames:
            await api.register(username=username)


def takes_what_the_schema_allows(
    _: schemathesis.CheckContext, response: schemathesis.Response, case: Case
) -> bool | None:
    """A value that the document allows is refused as invalid only for a reason that the document cannot give."""
    allowed = case.meta is not None and case.meta.generation.mode is schemathesis.GenerationMode.POSITIVE
    if allowed and response.status_code == 422 and response.json()["code"] == "validation_failed":
        errors = response.json()["errors"]
        assert {error["code"] for error in errors} <= BEYOND_THE_SCHEMA, errors
    return None


CHECKS: list[CheckFunction] = [takes_what_the_schema_allows]


@SCHEMA.parametrize()
def test_without_a_login(case: Case, served: Served) -> None:
    case.call_and_validate(base_url=served.url, additional_checks=CHECKS)


@SCHEMA.parametrize()
def test_with_a_login(case: Case, served: Served) -> None:
    token = served.token_for(case.operation.definition.raw["operationId"])
    headers = {"Authorization": f"Bearer {token}"}
    case.call_and_validate(base_url=served.url, headers=headers, additional_checks=CHECKS)
