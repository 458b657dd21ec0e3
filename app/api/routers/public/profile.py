"""The company profile, and the lists that it chooses from."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.answers import LOGGED_IN, WITH_BODY, Responses, problems
from app.api.deps import Caller, Profiles, Versions
from app.api.routes import Route
from app.api.schemas.profile import ProfileOut, ProfilePatchIn, ReferenceOut, ReferencesOut
from app.core import reference
from app.core.errors import PreconditionFailed, PreconditionRequired
from app.services.profile import Profile

router = APIRouter(tags=["profile"], route_class=Route)
ROUTERS = (router,)

_ETAG: Responses = {
    200: {"headers": {"ETag": {"description": "Version, for `If-Match`.", "schema": {"type": "string"}}}}
}
_A_DAY = "public, max-age=86400"

Limit = Annotated[int | None, Query(ge=1, le=1000, description="How many at most; all if absent.")]
After = Annotated[str | None, Query(alias="cursor", max_length=8, description="`next_cursor` of the page before.")]
Country = Annotated[str | None, Query(pattern="^[A-Z]{2}$", description="Its subdivisions only.", examples=["US"])]


@router.get(
    "/v1/account/profile",
    summary="Read the profile",
    description="Contacts are masked; they change by a credential change.",
    responses={**problems(*LOGGED_IN), **_ETAG},
)
async def get_profile(caller: Caller, profiles: Profiles, response: Response) -> ProfileOut:
    return _shown(await profiles.read(caller=caller), response)


@router.patch(
    "/v1/account/profile",
    summary="Edit the profile",
    description="JSON merge patch (RFC 7396): absent members stay, null clears. `If-Match` is demanded.",
    responses={**problems(*WITH_BODY, *LOGGED_IN, PreconditionFailed, PreconditionRequired), **_ETAG},
)
async def edit_profile(
    body: ProfilePatchIn, caller: Caller, profiles: Profiles, versions: Versions, response: Response
) -> ProfileOut:
    values = body.model_dump(exclude_unset=True)
    return _shown(await profiles.edit(caller=caller, versions=versions, values=values), response)


@router.get(
    "/v1/industries",
    summary="Industries to choose from",
    description="The sections of GB/T 4754-2017.",
    responses=problems(),
)
async def list_industries(response: Response, limit: Limit = None, cursor: After = None) -> ReferencesOut:
    response.headers["Cache-Control"] = _A_DAY
    return _page(reference.industries(), limit, cursor)


@router.get(
    "/v1/regions",
    summary="Regions to choose from",
    description="All countries (ISO 3166-1) and the subdivisions of China; with `country`, its subdivisions "
    "(ISO 3166-2). A profile may name any of them.",
    responses=problems(),
)
async def list_regions(
    response: Response, country: Country = None, limit: Limit = None, cursor: After = None
) -> ReferencesOut:
    response.headers["Cache-Control"] = _A_DAY
    return _page(reference.regions(country), limit, cursor)


def _shown(profile: Profile, response: Response) -> ProfileOut:
    response.headers["ETag"] = f'"{profile.version}"'
    return ProfileOut.model_validate(profile, from_attributes=True)


def _page(entries: tuple[reference.Reference, ...], limit: int | None, cursor: str | None) -> ReferencesOut:
    """These lists are short and public: they come whole unless a limit is asked for, and a code is the cursor."""
    rest = [entry for entry in entries if cursor is None or entry.code > cursor]
    page = rest[:limit]
    items = [ReferenceOut(code=entry.code, name_zh=entry.zh, name_en=entry.en, parent=entry.parent) for entry in page]
    return ReferencesOut(items=items, next_cursor=page[-1].code if len(page) < len(rest) else None)
