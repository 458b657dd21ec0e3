"""The activity trail."""

from fastapi import APIRouter

from app.api.answers import LOGGED_IN, problems
from app.api.deps import Activity, Caller, Page
from app.api.routes import Route
from app.api.schemas.activity import ActivityOut, EntryOut

router = APIRouter(tags=["activity"], route_class=Route)
ROUTERS = (router,)


@router.get(
    "/v1/account/activity",
    summary="What happened to my account?",
    description="Logins, edits and changes of credentials, newest first, with where each came from. Values are masked.",
    responses=problems(*LOGGED_IN),
)
async def list_activity(caller: Caller, activity: Activity, page: Page) -> ActivityOut:
    found = await activity.page(caller=caller, cursor=page.after, limit=page.limit)
    items = [EntryOut.model_validate(entry, from_attributes=True) for entry in found[: page.limit]]
    return ActivityOut(items=items, next_cursor=page.next_cursor([entry.id for entry in found]))
