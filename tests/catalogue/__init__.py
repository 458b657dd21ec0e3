"""Every route, worker pass and command of the service in its ordinary case, made ready up to the one call that counts.

tests/catalogue/test_statements.py freezes how many statements each sends; tests/catalogue/test_conflicts.py lets the
database ask each write to be run again, at each of its statements.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.api import Api
from tests.support.clouds import MARKETPLACES

SETTINGS: dict[str, Any] = {**MARKETPLACES, "webhook_allowed_networks": ["127.0.0.0/8"]}  # for @pytest.mark.settings

Call = Callable[[], Awaitable[object]]
Prepare = Callable[[Api], Awaitable[Call]]


@dataclass(frozen=True, slots=True)
class Case:
    """`prepare` sets the stage and gives the call. `writes` is False for what changes nothing."""

    name: str
    prepare: Prepare
    writes: bool


CASES: dict[str, Case] = {}


def case(name: str, *, writes: bool | None = None) -> Callable[[Prepare], Prepare]:
    """`POST /v1/sessions`, with words behind it where there are several; anything else for workers and commands."""

    def keep(prepare: Prepare) -> Prepare:
        assert name not in CASES, name
        CASES[name] = Case(name, prepare, not name.startswith("GET ") if writes is None else writes)
        return prepare

    return keep


def request(api: Api, method: str, url: str, **options: Any) -> Call:
    """The call of a route; what it answers is asserted to be a success by `succeeded`."""

    async def send() -> httpx.Response:
        return await api.client.request(method, url, **options)

    return send


def succeeded(outcome: object) -> bool:
    """A worker or command that does not raise has succeeded."""
    return outcome.status_code < 400 if isinstance(outcome, httpx.Response) else True


from tests.catalogue import clouds, commands, credentials, holders, services  # noqa: E402, F401 - they fill CASES
