"""Calls to other people's services: clients that keep what they send out of the log, and follow no redirect."""

import logging
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

_CONNECTING = 5.0  # seconds; there may be another address to try


def quiet_client(timeout: float, *, direct: bool = False) -> httpx.AsyncClient:
    """A client whose requests stay out of the log: httpx writes each URL at INFO, and ours hold numbers and codes.

    Nobody's cookies are kept. `direct`: through no proxy, and no connection is used twice.
    """
    logging.getLogger("httpx").addFilter(_only_warnings)
    return httpx.AsyncClient(
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
