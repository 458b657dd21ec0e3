"""The event feed."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from app.api.answers import CALLED_BY_SERVICE, problems
from app.api.deps import container_of
from app.api.routes import Route
from app.api.schemas.events import EventOut, FeedOut
from app.api.service_deps import Clients, Feed, has
from app.core.callers import Service
from app.core.cursors import Cursors
from app.core.errors import CursorExpired, FieldProblem, Invalid
from app.core.scopes import Scope
from app.services.events import Place

router = APIRouter(tags=["events"], route_class=Route)
ROUTERS = (router,)

_LISTING = "events"


@router.get(
    "/internal/v1/events",
    summary="What happened since?",
    description="Events in their order, from the oldest that is kept or behind `after`. Each page says where to go on; "
    "no event is ever skipped, and those of one account come in the order in which they happened. With `wait` an "
    "empty page is answered when something happens or the time is over.",
    responses=problems(*CALLED_BY_SERVICE, CursorExpired),
)
async def read_events(
    request: Request,
    service: Annotated[Service, has(Scope.EVENTS)],
    feed: Feed,
    clients: Clients,
    *,
    after: Annotated[
        str | None, Query(max_length=100, description="`next_cursor` of the page before.", examples=[None])
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many at most.")] = 100,
    wait: Annotated[int, Query(ge=0, le=20, description="Seconds to wait for an event when there is none.")] = 0,
) -> FeedOut:
    cursors = container_of(request).cursors
    start = _place(cursors, after) if after is not None else None
    page = await feed.read(after=start, limit=limit, wait=wait)
    if wait:
        await clients.require_live(service=service)  # which it was when it began to wait
    items = [EventOut.model_validate(event, from_attributes=True) for event in page.events]
    return FeedOut(items=items, next_cursor=cursors.write_place(_LISTING, bytes(page.end)))


def _place(cursors: Cursors, after: str) -> Place:
    raw = cursors.read_place(_LISTING, after)
    if raw is None:
        raise Invalid(FieldProblem("after", "invalid_cursor"))
    return Place.of(raw)
