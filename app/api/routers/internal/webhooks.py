"""Webhook endpoints of the calling service."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query

from app.api.answers import CALLED_BY_SERVICE, WITH_BODY, problems
from app.api.routes import IdempotentRoute, Route
from app.api.schemas.base import EndpointPath
from app.api.schemas.events import (
    AttemptOut,
    AttemptsOut,
    EndpointIn,
    EndpointOut,
    EndpointsOut,
    EndpointStatusIn,
    EndpointWithSecretOut,
    RedeliveryIn,
    RedeliveryOut,
)
from app.api.service_deps import ServicePage, Webhooks, has
from app.core.callers import Service
from app.core.errors import NotFound, TooManyEndpoints
from app.core.scopes import Scope
from app.models.webhooks import EndpointStatus, Outcome
from app.services.webhooks import Wish, WithSecret

router = APIRouter(tags=["webhooks"], route_class=IdempotentRoute)
managing = APIRouter(tags=["webhooks"], route_class=Route)
ROUTERS = (router, managing)

_PATH = "/internal/v1/webhook-endpoints"
Id = Annotated[EndpointPath, Path(description="`id` of the endpoint.")]
Owner = Annotated[Service, has(Scope.WEBHOOKS)]


@router.post(
    _PATH,
    status_code=201,
    summary="Add an endpoint",
    description="It is sent the events that happen from now on, signed by Standard Webhooks with the secret that the "
    "answer shows.",
    responses=problems(*CALLED_BY_SERVICE, *WITH_BODY, TooManyEndpoints),
)
async def create_endpoint(body: EndpointIn, service: Owner, webhooks: Webhooks) -> EndpointWithSecretOut:
    return _with_secret(await webhooks.create(service=service, wish=_wish(body)))


@managing.get(
    _PATH,
    summary="List the endpoints",
    description="The client's own, newest first.",
    responses=problems(*CALLED_BY_SERVICE),
)
async def list_endpoints(service: Owner, webhooks: Webhooks, page: ServicePage) -> EndpointsOut:
    found = await webhooks.page(service=service, cursor=page.after, limit=page.limit)
    items = [EndpointOut.model_validate(one, from_attributes=True) for one in found[: page.limit]]
    return EndpointsOut(items=items, next_cursor=page.next_cursor([one.id for one in found]))


@managing.get(
    f"{_PATH}/{{id}}",
    summary="Read an endpoint",
    description="Whether it takes what it is sent.",
    responses=problems(*CALLED_BY_SERVICE, NotFound),
)
async def read_endpoint(id: Id, service: Owner, webhooks: Webhooks) -> EndpointOut:
    return EndpointOut.model_validate(await webhooks.get(service=service, endpoint_id=id), from_attributes=True)


@managing.put(
    f"{_PATH}/{{id}}",
    summary="Change an endpoint",
    description="URL, event types and description; what waits for it goes to the new URL.",
    responses=problems(*CALLED_BY_SERVICE, *WITH_BODY, NotFound),
)
async def replace_endpoint(id: Id, body: EndpointIn, service: Owner, webhooks: Webhooks) -> EndpointOut:
    changed = await webhooks.replace(service=service, endpoint_id=id, wish=_wish(body))
    return EndpointOut.model_validate(changed, from_attributes=True)


@managing.delete(
    f"{_PATH}/{{id}}",
    status_code=204,
    summary="Remove an endpoint",
    description="And what waits for it.",
    responses=problems(*CALLED_BY_SERVICE, NotFound),
)
async def delete_endpoint(id: Id, service: Owner, webhooks: Webhooks) -> None:
    await webhooks.delete(service=service, endpoint_id=id)


@managing.put(
    f"{_PATH}/{{id}}/status",
    summary="Pause or resume an endpoint",
    description="While it is paused events are kept for it; when it is resumed all of them are due at once.",
    responses=problems(*CALLED_BY_SERVICE, *WITH_BODY, NotFound),
)
async def set_endpoint_status(id: Id, body: EndpointStatusIn, service: Owner, webhooks: Webhooks) -> EndpointOut:
    status = EndpointStatus(body.status)
    changed = await webhooks.set_status(service=service, endpoint_id=id, status=status)
    return EndpointOut.model_validate(changed, from_attributes=True)


@router.post(
    f"{_PATH}/{{id}}/secret",
    summary="Rotate the secret",
    description="The answer shows the new one. For 24 hours what is sent carries a signature by each.",
    responses=problems(*CALLED_BY_SERVICE, NotFound),
)
async def rotate_endpoint_secret(id: Id, service: Owner, webhooks: Webhooks) -> EndpointWithSecretOut:
    return _with_secret(await webhooks.rotate_secret(service=service, endpoint_id=id))


@router.post(
    f"{_PATH}/{{id}}/redeliveries",
    status_code=202,
    summary="Send events again",
    description="One, or those of a span of time that the endpoint wants, under their own ids.",
    responses=problems(*CALLED_BY_SERVICE, *WITH_BODY, NotFound),
)
async def redeliver_events(id: Id, body: RedeliveryIn, service: Owner, webhooks: Webhooks) -> RedeliveryOut:
    queued = await webhooks.redeliver(
        service=service, endpoint_id=id, event_id=body.event_id, since=body.since, until=body.until
    )
    return RedeliveryOut(queued=queued)


@managing.get(
    f"{_PATH}/{{id}}/attempts",
    summary="What was sent, and how was it taken?",
    description="Every request to the endpoint, newest first.",
    responses=problems(*CALLED_BY_SERVICE, NotFound),
)
async def list_attempts(
    id: Id,
    service: Owner,
    webhooks: Webhooks,
    page: ServicePage,
    outcome: Annotated[
        Literal["delivered", "retrying", "failed"] | None, Query(description="Only these.", examples=[None])
    ] = None,
) -> AttemptsOut:
    wanted = Outcome(outcome) if outcome else None
    found = await webhooks.attempts(
        service=service, endpoint_id=id, outcome=wanted, cursor=page.after, limit=page.limit
    )
    items = [AttemptOut.model_validate(one, from_attributes=True) for one in found[: page.limit]]
    return AttemptsOut(items=items, next_cursor=page.next_cursor([one.id for one in found]))


def _wish(body: EndpointIn) -> Wish:
    return Wish(body.url, body.event_types, body.description)


def _with_secret(made: WithSecret) -> EndpointWithSecretOut:
    shown = EndpointOut.model_validate(made.endpoint, from_attributes=True)
    return EndpointWithSecretOut(**dict(shown), secret=made.secret)
