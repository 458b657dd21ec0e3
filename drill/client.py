"""A client as they should be: comes again after 503 or a lost answer, with the same words. Every attempt is counted."""

import asyncio
import contextlib
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

_PATIENCE = 20.0  # seconds that one attempt may take


class GaveUp(Exception):
    """The service was away for longer than the client waits; whether the write was done it does not know."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Surprise(Exception):
    """An answer that no client reckons with."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request and what became of it; `at` is `time.monotonic()` of its end, `took` in seconds."""

    at: float
    route: str
    outcome: str
    failed: bool
    breach: bool  # what must not be seen: a 5xx other than 503 with Retry-After, or no answer at all
    took: float


@dataclass
class Traffic:
    """All attempts of all clients."""

    attempts: list[Attempt] = field(default_factory=list)

    def between(self, begin: float, end: float) -> list[Attempt]:
        return [one for one in self.attempts if begin <= one.at < end]


@dataclass(frozen=True, slots=True)
class Answer:
    """The last answer; `doubts` counts the attempts before it that may have been taken."""

    status: int
    headers: Mapping[str, str]
    body: Any
    doubts: int

    @property
    def code(self) -> str:
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""

    def expect(self, *statuses: int) -> Self:
        """Raises Surprise for any other status."""
        if self.status not in statuses:
            raise Surprise(f"{self.status} {self.body} after {self.doubts} doubtful attempts")
        return self


class Caller:
    """Calls the service from an address of its own. `patience` is for one call with its repeats, in seconds."""

    def __init__(self, base: str, traffic: Traffic, *, patience: float, address: str = "127.0.0.1") -> None:
        self._http = httpx.AsyncClient(
            base_url=base, transport=httpx.AsyncHTTPTransport(local_address=address), timeout=_PATIENCE
        )
        self._traffic = traffic
        self._patience = patience

    async def close(self) -> None:
        await self._http.aclose()

    async def call(self, method: str, path: str, *, route: str | None = None, **options: Any) -> Answer:
        """Until there is an answer other than "come again". `route` names the call in the report.

        Raises GaveUp.
        """
        deadline, doubts = time.monotonic() + self._patience, 0
        while True:
            answer, pause, doubtful = await self._attempt(method, path, route or path, doubts, options)
            if answer is not None:
                return answer
            doubts += doubtful
            if time.monotonic() + pause > deadline:
                raise GaveUp(f"{method} {route or path}")
            await asyncio.sleep(pause)

    async def _attempt(
        self, method: str, path: str, route: str, doubts: int, options: dict[str, Any]
    ) -> tuple[Answer | None, float, bool]:
        """The answer; or how long to wait, and whether the request may have been taken."""
        began = time.monotonic()
        try:
            response = await self._http.request(method, path, **options)
        except httpx.TransportError as error:
            self._count(route, type(error).__name__, began, failed=True, breach=True)
            return None, 0.5, True
        body = _json(response)
        code = body.get("code", "") if isinstance(body, dict) else ""
        again = response.status_code == 503 or code == "request_running" or response.status_code == 429
        retry_after = response.headers.get("retry-after", "")
        breach = response.status_code >= 500 and not (response.status_code == 503 and retry_after.isdigit())
        failed = response.status_code >= 500
        self._count(f"{method} {route}", f"{response.status_code} {code}".strip(), began, failed=failed, breach=breach)
        if breach:
            return None, 0.5, True
        if again:
            pause = min(float(retry_after or 1), 2.0) * random.uniform(0.5, 1)
            return None, pause, code in ("unavailable", "database_unavailable")
        return Answer(response.status_code, response.headers, body, doubts), 0, False

    def _count(self, route: str, outcome: str, began: float, *, failed: bool, breach: bool) -> None:
        ended = time.monotonic()
        self._traffic.attempts.append(Attempt(ended, route, outcome, failed, breach, ended - began))


def _json(response: httpx.Response) -> Any:
    with contextlib.suppress(ValueError):
        return response.json()
    return None


class ServiceCaller:
    """A service client: gets itself tokens, and another one when that is past its time."""

    def __init__(self, caller: Caller, client_id: str, secret: str) -> None:
        self._caller = caller
        self._auth = (client_id, secret)
        self._token = "none"

    async def call(self, method: str, path: str, **options: Any) -> Answer:
        """`path` behind `/internal/v1`."""
        headers = options.pop("headers", {})
        for _ in range(10):  # a replica whose clock is astray refuses what others signed, for a moment
            auth = {"Authorization": f"Bearer {self._token}"}
            answer = await self._caller.call(method, f"/internal/v1{path}", headers={**headers, **auth}, **options)
            if answer.status != 401:
                break
            await asyncio.sleep(0.5)
            await self._renew()
        return answer

    async def _renew(self) -> None:
        data = {"grant_type": "client_credentials"}
        answer = await self._caller.call("POST", "/oauth/token", data=data, auth=self._auth)
        self._token = answer.expect(200).body["access_token"]
