"""What the fuzzing of both surfaces shares: a server on PostgreSQL, and what each answer is held to."""

import os
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import schemathesis
import uvicorn
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import negative_data_rejection

from app.core.config import Settings
from app.main import create_app, documents
from tests.support.api import TEST_SETTINGS
from tests.support.clouds import MARKETPLACES

Case = schemathesis.Case[Any]

# Of each test. `python -m tests.support.fuzz` asks for more than a run of the suite has time for.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))
ANSWERED: Counter[tuple[str, int]] = Counter()  # by surface and status, in this process
_PLENTY = 1_000_000
_SETTINGS = TEST_SETTINGS | {
    # A 429 would hide what lies behind it.
    "daily_sends_per_target": _PLENTY,
    "daily_sms_per_dial_code": _PLENTY,
    "daily_tries": _PLENTY,
    "flow_tries": _PLENTY,
    "hourly_sms_per_ip": _PLENTY,
    "login_free_failures": _PLENTY,
    "daily_typed_instances": _PLENTY,
    "log_level": "WARNING",
    **MARKETPLACES,
}
# A good body meets a wrong code, a spent budget or another state of things; never a 5xx.
_GOOD = ["2xx", "401", "403", "404", "409", "410", "412", "422", "428", "429"]
# If-Match is read before the body.
_BAD = ["400", "401", "403", "404", "405", "409", "412", "413", "415", "422", "428", "429"]
# Reasons against a value that no JSON schema can give.
_BEYOND_THE_SCHEMA = {
    *("forbidden_character", "invalid_cursor", "invalid_email", "invalid_phone", "phone_country_not_served"),
    *("phone_not_mobile", "string_too_short", "unknown_industry", "unknown_parameter", "unknown_region"),
    *("invalid_instant", "future_instant", "unknown_site", "unknown_time_zone", "provider_not_typed"),
    *("id_number_too_short", "invalid_id_number", "id_number_birth_date", "id_number_check_digit"),
    *("credit_code_letters", "invalid_credit_code", "credit_code_check_digit"),
}


def schema_of(surface: str, *also_good: str) -> Any:
    """The document of a surface; `also_good` are statuses that a body which it allows may meet besides."""
    checks = {
        "positive_data_acceptance": {"expected-statuses": [*_GOOD, *also_good]},
        "negative_data_rejection": {"expected-statuses": _BAD},
    }
    generation = {"max-examples": EXAMPLES, "deterministic": True, "database": "none"}
    config = schemathesis.Config.from_dict({"generation": generation, "checks": checks})
    return schemathesis.openapi.from_dict(documents()[surface], config=config)


@contextmanager
def serving(database_url: str, **settings: Any) -> Iterator[str]:
    """The service on a port; its address."""
    app = create_app(Settings(**{"database_url": database_url, **_SETTINGS, **settings}))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def answered(surface: str, status: int) -> None:
    """Count an answer."""
    ANSWERED[surface, status] += 1


def held(case: Case, base_url: str, checks: list[CheckFunction], headers: dict[str, str] | None = None) -> None:
    """Send it; the answer is held to the document and to the checks."""
    without: list[CheckFunction] = [negative_data_rejection] if _looks_right(case) else []
    case.call_and_validate(
        base_url=base_url, headers=headers, additional_checks=checks, excluded_checks=without, timeout=60
    )


def _looks_right(case: Case) -> bool:
    """Whether what is wrong with it may not be seen: an unknown parameter that is an empty list is not sent at all."""
    return any(value in ([], {}) for value in (case.query or {}).values())


def takes_what_the_schema_allows(surface: str, *, but_for: Collection[str] = ()) -> CheckFunction:
    """A value that the document allows is refused as invalid only for a reason that the document cannot give."""

    def check(_: schemathesis.CheckContext, response: schemathesis.Response, case: Case) -> bool | None:
        answered(surface, response.status_code)
        allowed = case.meta is not None and case.meta.generation.mode is schemathesis.GenerationMode.POSITIVE
        if allowed and response.status_code == 422 and response.json()["code"] == "validation_failed":
            errors = response.json()["errors"]
            assert {error["code"] for error in errors} <= {*_BEYOND_THE_SCHEMA, *but_for}, errors
        return None

    return check
