"""The application: what surrounds it, what it answers with, what it is made of."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from app.api import errors, openapi
from app.api.middleware import Surroundings
from app.api.routers import internal, marketplace, public
from app.api.routers.public import dev, operations
from app.api.wiring import Container, build
from app.core import tracing
from app.core.config import Settings
from app.core.errors import AppError
from app.core.telemetry import begin

MAX_BODY = 64 * 1024  # bytes
_KEYS_EVERY = 30  # seconds between looks at the signing keys

log = structlog.get_logger()


def create_app(settings: Settings) -> FastAPI:
    """The application, connected to nothing until its lifespan begins."""
    exporting = tracing.prepare(settings, version=openapi.VERSION)
    app = FastAPIOffline(
        title=openapi.TITLE,
        version=openapi.VERSION,
        lifespan=_lifespan,
        generate_unique_id_function=openapi.operation_id,
        swagger_ui_parameters={"persistAuthorization": True, "displayRequestDuration": True},
        telemetry={
            "tracing": exporting is not None,
            "tracer_provider": exporting.provider if exporting else None,
            "operation_spans": False,  # a span each for dependencies, handler and answer; SQL and calls tell more
            "metrics": False,
            "logs": False,
            "auto_configure": False,
        },
        redirect_slashes=False,  # an unknown path is 404; a redirect would name the host that the caller named
    )
    app.state.container, app.state.exporting = build(settings), exporting
    app.state.documents = cache(documents)
    app.openapi = lambda: app.state.documents()["public"]  # type: ignore[method-assign]
    for router in (*public.ROUTERS, *internal.ROUTERS, *marketplace.ROUTERS):
        _include(app, router)
    if settings.is_development:
        _include(app, dev.router)
        _include(app, operations.metrics)
    errors.install(app)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_credentials=True,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "If-Match", "Idempotency-Key", "X-Request-Id", "traceparent"],
        expose_headers=["ETag", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-Id", "Idempotency-Replayed"],
        max_age=600,
    )
    app.add_middleware(
        Surroundings,
        max_body=MAX_BODY,
        receive_seconds=settings.receive_seconds,
        max_requests=settings.max_requests,
    )
    return app


def _include(app: FastAPI, router: APIRouter) -> None:
    """Flat: `include_router` would look for the route of a call twice, in every router before the right one."""
    app.router.routes.extend(router.routes)


def documents() -> dict[str, dict[str, Any]]:
    """The OpenAPI documents by the name of their surface, the same whatever the settings."""
    surfaces = {"public": openapi.public(public.ROUTERS), "internal": openapi.internal(internal.ROUTERS)}
    return {name: surface.document() for name, surface in surfaces.items()}


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    container: Container = app.state.container
    exporting = app.state.exporting
    if exporting:
        exporting.start()
    begin(openapi.VERSION)
    await _load_keys(container)
    stopping = asyncio.Event()
    following = asyncio.create_task(_follow_keys(container, stopping))
    if container.settings.worker_in_server:
        container.runner.start()
    yield
    stopping.set()
    await following
    if container.settings.worker_in_server:
        await container.runner.stop()
    await container.close()
    if exporting:
        await asyncio.to_thread(exporting.stop)


async def _load_keys(container: Container) -> None:
    """A database that is away now does not keep the server from starting: it is not ready until it has keys.

    In development it makes its first key itself. The signing keys come last: with them all keys are there, and no
    more are looked for in haste.
    """
    try:
        await container.data_keys.ensure()
        await (container.keys.ensure() if container.settings.is_development else container.keys.reload())
    except AppError:
        log.warning("keys_not_loaded", why="database unavailable")


async def _follow_keys(container: Container, stopping: asyncio.Event) -> None:
    """Take the keys that another process makes, and the change of the signing one.

    Ends between two looks, never within one: a cancelled query would leave its connection open. Whether a key signs
    is asked each second, since the clock may be set back before the one that did.
    """
    looked = time.monotonic()
    while not stopping.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), 1)
        due = not container.tokens.ready or time.monotonic() - looked >= _KEYS_EVERY
        if due and not stopping.is_set():
            await _load_keys(container)
            looked = time.monotonic()
