"""Health, keys and metrics."""

from fastapi import APIRouter, Request, Response

from app.api.answers import problems
from app.api.deps import container_of
from app.api.routes import Route
from app.api.schemas.operations import KeyOut, KeySetOut, LiveOut, ReadyOut
from app.core import telemetry
from app.core.errors import NotReady

router = APIRouter(tags=["operations"], route_class=Route)
ROUTERS = (router,)
metrics = APIRouter(include_in_schema=False)


@router.get("/livez", summary="Is the process alive?", description="Asks nothing of others.", responses=problems())
async def get_liveness() -> LiveOut:
    return LiveOut(status="ok")


@router.get(
    "/readyz",
    summary="Can requests be served?",
    description="The database answers, its schema is at the code's revision or one to come, the clocks agree, a key "
    "signs and one seals.",
    responses=problems(NotReady),
)
async def get_readiness(request: Request) -> ReadyOut:
    return ReadyOut(ready=True, checks=await container_of(request).health.require_ready())


@router.get(
    "/.well-known/jwks.json",
    summary="Public keys of the access tokens",
    description="JSON Web Key Set (RFC 7517). A key is published before it signs, for as long as this may be cached.",
    responses=problems(),
)
async def get_key_set(request: Request, response: Response) -> KeySetOut:
    container = container_of(request)
    response.headers["Cache-Control"] = f"public, max-age={container.settings.jwks_ahead_seconds}"
    return KeySetOut(keys=[KeyOut.model_validate(key) for key in container.tokens.jwks()])


@metrics.get("/metrics")
async def get_metrics() -> Response:
    body, media_type = telemetry.exposition()
    return Response(body, media_type=media_type)
