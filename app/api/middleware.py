"""What surrounds every request: its ids, its log line, its limits and the headers of its answer. Pure ASGI."""

import asyncio
import re
import secrets
import time
from collections.abc import MutableMapping
from typing import Any

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import problem
from app.core import ids
from app.core.errors import BodyTooLarge, BodyTooSlow, Busy, Internal, NotFound
from app.core.logging import Lines
from app.core.telemetry import count_request
from app.core.tracing import current_ids

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context §3.2
_SECURITY = (  # OWASP Secure Headers Project; an API is never framed, sniffed or scripted
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_CSP = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_CSP_OF_DOCS = (  # Swagger UI and ReDoc, which come from this server and carry inline scripts
    b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"worker-src blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)

_ALWAYS_ANSWERED = ("/livez", "/readyz")  # however busy: a server that only has much to do is not to be restarted

log = structlog.get_logger()
_requests = Lines(__name__, "request")


class Surroundings:
    """Request and trace ids in and out, one access log line, security headers, `no-store`, the body limit, and an
    answer for a bug: 500 without a word of its cause."""

    def __init__(self, app: ASGIApp, *, max_body: int, receive_seconds: float, max_requests: int) -> None:
        self._app = app
        self._max_body, self._receive_seconds = max_body, receive_seconds
        self._max_requests = max_requests
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        state = scope.setdefault("state", {})
        ids_of_span = current_ids()
        state["request_id"] = _request_id(headers)
        state["trace_id"] = ids_of_span[0] if ids_of_span else _trace_id(headers)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=state["request_id"], trace_id=state["trace_id"])
        if ids_of_span:
            structlog.contextvars.bind_contextvars(span_id=ids_of_span[1])
        answer = _Answer(send, state["request_id"])
        began = time.perf_counter()
        self._running += 1
        try:
            if self._running > self._max_requests and scope["path"] not in _ALWAYS_ANSWERED:
                raise Busy(retry_after=1)
            if _is_disguised(scope.get("raw_path") or b""):
                raise NotFound
            if int(_digits(headers.get("content-length"))) > self._max_body:
                raise BodyTooLarge
            await self._app(scope, _limited(receive, self._max_body, self._receive_seconds), answer.send)
        except (Busy, BodyTooLarge, BodyTooSlow, NotFound) as error:
            await problem(error, headers, state["trace_id"])(scope, receive, answer.send)
        except Exception:
            log.exception("request_failed")
            if not answer.started:
                await problem(Internal(), headers, state["trace_id"])(scope, receive, answer.send)
        finally:
            self._running -= 1
            _report(scope, answer.status, time.perf_counter() - began)


class _Answer:
    """Adds the headers that every answer has, and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status = 0

    @property
    def started(self) -> bool:
        return self.status != 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            raw = message["headers"] = list(message["headers"])
            given = {name.lower(): value for name, value in raw}
            is_page = given.get(b"content-type", b"").startswith(b"text/html")
            raw += [(b"x-request-id", self._request_id.encode()), *_SECURITY]
            if b"content-security-policy" not in given:
                raw.append((b"content-security-policy", _CSP_OF_DOCS if is_page else _CSP))
            if b"cache-control" not in given:
                raw.append((b"cache-control", b"no-store"))
        await self._send(message)


def _limited(receive: Receive, limit: int, seconds: float) -> Receive:
    """Raises BodyTooLarge as soon as a body without a length grows past the limit, BodyTooSlow when it takes longer
    than `seconds` from now. What comes behind a body, the client's leaving, may take its time."""
    received, whole = 0, False
    deadline = asyncio.get_running_loop().time() + seconds

    async def counted() -> Message:
        nonlocal received, whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise BodyTooSlow from None
        whole = not message.get("more_body", False)
        received += len(message.get("body", b""))
        if received > limit:
            raise BodyTooLarge
        return message

    return counted


def _digits(text: str | None) -> str:
    return text if text and text.isascii() and text.isdigit() else "0"


def _is_disguised(raw_path: bytes) -> bool:
    """Whether a path is escaped where no operation of ours needs it: in its first two parts, or in a slash.

    A proxy that blocks `/internal` may compare the path as it was sent, and let `/%69nternal` pass.
    """
    if b"%" not in raw_path:
        return False
    return b"%2f" in raw_path.lower() or any(b"%" in part for part in raw_path.split(b"/")[:3])


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else ids.new().hex


def _trace_id(headers: Headers) -> str:
    match = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    return match[1] if match and int(match[1], 16) else secrets.token_hex(16)


def _report(scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
    """The route's template, never the path: a path may hold a username."""
    route = getattr(scope.get("route"), "path", "unmatched")
    count_request(scope["method"], route, status, seconds)
    _requests.write(method=scope["method"], route=route, status=status, ms=round(seconds * 1000, 1))
