"""What an operation says of its answers in the OpenAPI document."""

from collections.abc import Mapping
from typing import Any

from app.api.texts import problem_text
from app.core.errors import (
    AppError,
    BodyTooLarge,
    BodyTooSlow,
    Busy,
    ClientDisabled,
    DatabaseUnavailable,
    InsufficientScope,
    Internal,
    Invalid,
    InvalidToken,
    Malformed,
    SessionEnded,
    TooMany,
    TransactionConflict,
    Unauthenticated,
    UnsupportedMediaType,
)

Responses = dict[int | str, dict[str, Any]]
MEDIA_TYPE = "application/problem+json"

_ALWAYS: tuple[type[AppError], ...] = (Invalid, Internal, Busy, DatabaseUnavailable, TransactionConflict)
WITH_BODY = (Malformed, BodyTooSlow, BodyTooLarge, UnsupportedMediaType, Invalid)
LOGGED_IN = (Unauthenticated, InvalidToken, SessionEnded)
CALLED_BY_SERVICE = (Unauthenticated, InvalidToken, ClientDisabled, InsufficientScope)
LIMITED = (TooMany,)
_PARAMS: Mapping[str, object] = {"tries_left": 4, "retry_after": 42, "reason": "common", "scope": "accounts:read"}


def problems(*errors: type[AppError]) -> Responses:
    """The failures of an operation, one example each, grouped by status; those of every operation come with them."""
    kinds: tuple[type[AppError], ...] = (*errors, *_ALWAYS)
    by_status: dict[int, list[str]] = {}
    for kind in dict.fromkeys(kinds):
        by_status.setdefault(kind.status, []).append(kind.code)
    return {status: _response(status, codes) for status, codes in sorted(by_status.items())}


def together(*parts: Responses) -> Responses:
    """Failures declared in several places: one entry a status, with the codes of all."""
    merged: Responses = {}
    for part in parts:
        for status, response in part.items():
            before = _codes(merged.get(status, {}))
            codes = list(dict.fromkeys([*before, *_codes(response)]))
            merged[status] = _response(int(status), codes) if codes else response
    return merged


def _codes(response: dict[str, Any]) -> list[str]:
    return list(response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {}))


def _response(status: int, codes: list[str]) -> dict[str, Any]:
    return {
        "description": f"Problem: {', '.join(f'`{code}`' for code in codes)}.",
        "headers": _headers(status),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
            }
        },
    }


def example(kind: type[AppError]) -> dict[str, Any]:
    title, detail = problem_text(kind.code, "en", _PARAMS)
    body: dict[str, Any] = {
        "type": f"urn:guance:problem:{kind.code}",
        "title": title,
        "status": kind.status,
        "detail": detail,
        "code": kind.code,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    }
    if kind is Invalid:
        body["errors"] = [{"pointer": "/email", "code": "invalid_email", "detail": "This is not an email address."}]
    return body


def _headers(status: int) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if status in (429, 503):
        headers["Retry-After"] = {"description": "Seconds until it may be tried again.", "schema": {"type": "integer"}}
    if status == 429:
        for name in ("RateLimit", "RateLimit-Policy"):
            headers[name] = {
                "description": "draft-ietf-httpapi-ratelimit-headers.",
                "schema": {"type": "string"},
            }
    return headers
