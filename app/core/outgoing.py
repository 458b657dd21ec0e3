"""Calls to other people's services: clients that keep what they send out of the log, and follow no redirect."""

import logging
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from app.core import tracing

_CONNECTING = 5.0  # seconds; there may be another address to try


class _Client(httpx.AsyncClient):
    """Each request is a span, while one is being recorded that it is part of."""

    def __init__(self, *, ours: bool, **options: Any) -> None:
        super().__init__(**options)
        self._ours = ours

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        with tracing.call(request.method, request.url.host, request.url.port) as span:
            if self._ours:
                tracing.hand_on(request.headers)
            response = await super().send(request, **options)
            tracing.answered(span, response.status_code)
            return response


def quiet_client(timeout: float, *, direct: bool = False, ours: bool = False) -> httpx.AsyncClient:
    """A client whose requests stay out of the log: httpx writes each URL at INFO, and ours hold numbers and codes.

    Nobody's cookies are kept. `direct`: through no proxy, and no connection is used twice. `ours`: a service of our own
    is called, which is told the trace.
    """
    logging.getLogger("httpx").addFilter(_only_warnings)
    return _Client(
        ours=ours,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=httpx.Timeout(timeout, connect=min(timeout, _CONNECTING)),
        follow_redirects=False,
        trust_env=not direct,
        limits=httpx.Limits(max_keepalive_connections=0) if direct else httpx.Limits(),
        headers={"accept-encoding": "identity"},
    )


def _only_warnings(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


async def read_some(response: httpx.Response, limit: int) -> bytes:
    """The start of a body: reading stops at the chunk that passes `limit` bytes."""
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > limit:
            break
    return body


def hindrance(error: Exception) -> str:
    """A word for why a request did not go."""
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "timeout"
    return "connect" if isinstance(error, httpx.ConnectError) else "network"
