"""The route classes of the API: what holds for every operation and that FastAPI leaves open."""

import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute

from app.api.answers import problems, together
from app.api.deps import caller_of, container_of, count_request, holder
from app.api.errors import problem
from app.api.service_deps import named_service, require_scopes, service_of
from app.core.errors import (
    AppError,
    FieldProblem,
    Forbidden,
    IdempotencyKeyReused,
    Invalid,
    RequestRunning,
    TooMany,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)
from app.services.idempotency import Answer

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

log = structlog.get_logger()

_MERGE_PATCH = "application/merge-patch+json"  # RFC 7396 §4
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS = ("content-type", "content-language", "location")
_NOT_KEPT = (Forbidden, TooMany, Unauthenticated, Unavailable)  # nothing was done; the next try may fare better


_KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Chosen by the client. The same request with the same key within 24 hours gets the same answer.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
}


class Route(APIRoute):
    """Refuses unknown and repeated query parameters and bodies that are not JSON.

    No parameter is a list: of two values a proxy and this service might take different ones (ASVS 5.0 15.3.7).
    """

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        known = {field.alias for field in get_flat_params(self.dependant) if isinstance(field.field_info, Query)}

        async def checked(request: Request) -> Response:
            if unknown := sorted(set(request.query_params) - known):
                raise Invalid(*(FieldProblem(name[:64], "unknown_parameter") for name in unknown[:10]))
            if len(request.query_params.multi_items()) > len(request.query_params):
                raise Invalid(*(FieldProblem(name, "repeated_parameter") for name in _repeated(request)))
            if self.body_field is not None and _has_body(request):
                _require_json(request)
            return await handle(request)

        return checked


def _repeated(request: Request) -> list[str]:
    return sorted(name for name in request.query_params if len(request.query_params.getlist(name)) > 1)


class IdempotentRoute(Route):
    """A route whose POST would hurt when repeated: with `Idempotency-Key` the same request gets the same answer."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        if set(options.get("methods") or ()) == {"POST"}:
            options["openapi_extra"] = {"parameters": [_KEY_PARAMETER]}
            options["responses"] = together(options["responses"], problems(IdempotencyKeyReused, RequestRunning))
        super().__init__(*arguments, **options)

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        if self.methods != {"POST"}:
            return handle

        async def once(request: Request) -> Response:
            if (key := request.headers.get("idempotency-key")) is None:
                return await handle(request)
            if not _KEY.fullmatch(key):
                raise Invalid(FieldProblem("Idempotency-Key", "string_pattern_mismatch"))
            return await _answer_once(request, handle, key, await self._admit(request))

        return once

    async def _admit(self, request: Request) -> "_Caller":
        """What the handler would ask first is asked before a key is claimed: login, or the limit of those without."""
        if _part(self.dependant, holder):
            caller = await caller_of(request)
            await container_of(request).sessions.require_live(caller=caller)
            return _Caller(caller.account_id.hex)
        if asked := _part(self.dependant, named_service):
            service = await service_of(request)
            require_scopes(service, [*(asked.parent_oauth_scopes or []), *(asked.own_oauth_scopes or [])])
            await container_of(request).clients.require_live(service=service)
            return _Caller(service.client_id.hex, " ".join(sorted(service.scopes)))
        await count_request(request)
        return _Caller("anonymous")


@dataclass(frozen=True, slots=True)
class _Caller:
    """Whose key it is; and the caller's rights, which decide what an answer shows."""

    name: str
    rights: str = ""


async def _answer_once(request: Request, handle: Handler, key: str, caller: _Caller) -> Response:
    """Replay the answer given before, or compute and keep it. Refusals for want of a budget or login are not kept."""
    service, whose = container_of(request).idempotency, caller.name
    what = f"{request.method}\n{request.url.path}\n{caller.rights}\n"
    content = what.encode() + await request.body()
    if kept := await service.claim(caller=whose, key=key, request=content):
        return Response(kept.body, kept.status, {**kept.headers, "Idempotency-Replayed": "true"})
    try:
        response = await _run(request, handle)
    except BaseException:
        await service.release(caller=whose, key=key)
        raise
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    answer = Answer(response.status_code, headers, bytes(response.body))
    try:
        await service.keep(caller=whose, key=key, answer=answer)
    except Unavailable:  # it is done and must not be said to have failed; until its lock runs out the key says "running"
        log.warning("answer_not_kept")
    return response


async def _run(request: Request, handle: Handler) -> Response:
    try:
        return await handle(request)
    except _NOT_KEPT:
        raise
    except AppError as error:
        return problem(error, request.headers, request.state.trace_id)


def _part(dependant: Dependant, who: Callable[..., Any]) -> Dependant | None:
    """The part of a route that asks who calls in this way, if it does."""
    parts = (part if part.call is who else _part(part, who) for part in dependant.dependencies)
    return next((part for part in parts if part), None)


def _has_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


def _require_json(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json" or (request.method == "PATCH" and media_type == _MERGE_PATCH):
        return
    raise UnsupportedMediaType
