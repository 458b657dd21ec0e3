"""What marketplaces sent, for staff: look at it, have it applied again."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from app.api.answers import CALLED_BY_SERVICE, problems
from app.api.routes import IdempotentRoute, Route
from app.api.schemas.base import CloudAccountPath, NoticePath
from app.api.schemas.marketplace import NoticeOut, NoticesOut, State
from app.api.service_deps import Notices, ServicePage, acts, has
from app.core.callers import Service, Staff
from app.core.errors import NotFound, NoticeUnreadable
from app.core.scopes import Scope
from app.models.cloud_accounts import NoticeState
from app.services.marketplace import Wanted

router = APIRouter(tags=["marketplace"], route_class=Route)
applying = APIRouter(tags=["marketplace"], route_class=IdempotentRoute)
ROUTERS = (router, applying)

_PATH = "/internal/v1/marketplace/notices"


async def _wanted(
    provider: Annotated[
        str | None, Query(pattern="^[a-z]{1,16}$", description="Only of this one.", examples=[None])
    ] = None,
    state: Annotated[State | None, Query(description="Only these.", examples=[None])] = None,
    cloud_account_id: Annotated[
        CloudAccountPath | None, Query(description="Only those applied to it.", examples=[None])
    ] = None,
) -> Wanted:
    return Wanted(provider, NoticeState(state) if state else None, cloud_account_id)


@router.get(
    _PATH,
    summary="What marketplaces sent",
    description="Newest first; every message that was genuine, whatever became of it.",
    responses=problems(*CALLED_BY_SERVICE, NotFound),
)
async def list_notices(
    _: Annotated[Service, has(Scope.STAFF_MARKETPLACE)],
    notices: Notices,
    page: ServicePage,
    wanted: Annotated[Wanted, Depends(_wanted)],
) -> NoticesOut:
    found = await notices.page(wanted=wanted, cursor=page.after, limit=page.limit)
    items = [NoticeOut.model_validate(one, from_attributes=True) for one in found[: page.limit]]
    return NoticesOut(items=items, next_cursor=page.next_cursor([one.id for one in found]))


@applying.post(
    f"{_PATH}/{{id}}/apply",
    summary="Apply a message again",
    description="It is read anew and acted on; what was applied before changes nothing. A `doubtful` one is taken for "
    "news by this.",
    responses=problems(*CALLED_BY_SERVICE, NotFound, NoticeUnreadable),
)
async def apply_notice(
    id: Annotated[NoticePath, Path(description="`id` of the message.")],
    staff: Annotated[Staff, acts(Scope.STAFF_MARKETPLACE)],
    notices: Notices,
) -> NoticeOut:
    return NoticeOut.model_validate(await notices.reapply(staff=staff, notice_id=id), from_attributes=True)
