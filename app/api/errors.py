"""Every failure becomes one shape: `application/problem+json` (RFC 9457), in the reader's language."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException  # noqa: TID251 - what routing raises
from starlette.routing import compile_path

from app.api.answers import MEDIA_TYPE
from app.api.oauth import refused
from app.api.texts import choose_locale, field_text, problem_text, settlement_text
from app.core.errors import (
    AppError,
    FieldProblem,
    Internal,
    Invalid,
    Malformed,
    MethodNotAllowed,
    NotFound,
    SettlementRefused,
    TokenRefused,
    TooMany,
    UnsupportedMediaType,
)
from app.core.telemetry import REFUSALS

_BY_STATUS: dict[int, type[AppError]] = {
    400: Malformed,
    404: NotFound,
    405: MethodNotAllowed,
    415: UnsupportedMediaType,
}
_UNION_TAGS = {
    "password",
    "code",
    "ticket",
    "current",
    "first",
    "enterprise",
    "individual",
    "billing_center",
    "cloud_account",
}  # which body of several it is


def problem_body(error: AppError, *, accept_language: str | None, trace_id: str) -> bytes:
    """The document. It never holds what was sent: a password in a wrong place must not come back."""
    locale = choose_locale(accept_language)
    title, detail = problem_text(error.code, locale, error.params)
    body: dict[str, Any] = {
        "type": f"urn:guance:problem:{error.code}",
        "title": title,
        "status": error.status,
        "detail": detail,
        "code": error.code,
        "trace_id": trace_id,
        **error.extensions,
    }
    if isinstance(error, Invalid):
        body["errors"] = [
            {"pointer": problem.pointer, "code": problem.code, "detail": field_text(problem.code, locale)}
            for problem in error.problems
        ]
    if isinstance(error, SettlementRefused):
        body["refusals"] = [_explained(refusal, locale) for refusal in error.refusals]
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _explained(refusal: Mapping[str, Any], locale: str) -> dict[str, Any]:
    reasons = [{**reason, "text": settlement_text(reason["code"], locale)} for reason in refusal["reasons"]]
    return {**refusal, "reasons": reasons}


def problem(error: AppError, headers: Mapping[str, str], trace_id: str) -> Response:
    accept_language = headers.get("accept-language")
    locale = choose_locale(accept_language)
    content = problem_body(error, accept_language=accept_language, trace_id=trace_id)
    return Response(
        content,
        status_code=error.status,
        media_type=MEDIA_TYPE,
        headers={**error.headers, "Content-Language": locale, "Vary": "Accept-Language"},
    )


def install(app: FastAPI) -> None:
    """Handlers for all that a route can raise. What is none of these is a bug: the middleware answers it."""

    async def handle(request: Request, error: Exception) -> Response:
        failure = _meaning(error)
        if isinstance(failure, MethodNotAllowed):
            failure.headers["Allow"] = ", ".join(_allowed(request))
        if isinstance(failure, TooMany):
            REFUSALS.labels(failure.policy, "yes").inc()
        return problem(failure, request.headers, request.scope["state"]["trace_id"])

    async def refuse_token(_: Request, error: Exception) -> Response:
        assert isinstance(error, TokenRefused)  # noqa: S101 - what it is registered for
        return refused(error)

    app.add_exception_handler(TokenRefused, refuse_token)
    for kind in (AppError, RequestValidationError, StarletteHTTPException):
        app.add_exception_handler(kind, handle)


def _meaning(error: Exception) -> AppError:
    if isinstance(error, AppError):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    assert isinstance(error, StarletteHTTPException)  # noqa: S101 - nothing else is registered
    if isinstance(error.__cause__, AppError):  # raised while FastAPI was reading the body
        return error.__cause__
    return _BY_STATUS.get(error.status_code, Internal)()


def _invalid(error: RequestValidationError) -> AppError:
    problems = error.errors()
    if any(one["type"] == "json_invalid" for one in problems):
        return Malformed()
    return Invalid(*(FieldProblem(_pointer(one["loc"]), one["type"]) for one in problems))


def _pointer(place: tuple[int | str, ...]) -> str:
    """`/phone` for a member (RFC 6901), `limit` for a parameter. The tag of a union is not part of the body."""
    kind, *path = place
    if kind != "body":
        return str(path[-1]) if path else str(kind)
    steps = path[1:] if len(path) > 1 and path[0] in _UNION_TAGS else path
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def _allowed(request: Request) -> list[str]:
    """RFC 9110 §15.5.6: every method of the path, which Starlette's first match does not know."""
    path = request.url.path
    documents = request.app.state.documents().values()
    paths = {template: item for one in documents for template, item in one["paths"].items()}
    templates = [path] if path in paths else [one for one in paths if compile_path(one)[0].match(path)]
    told = {method.upper() for template in templates for method in paths[template]}
    return sorted(told or getattr(request.scope.get("route"), "methods", None) or {"GET"})
