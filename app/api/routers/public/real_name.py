"""Real-name authentication."""

from typing import Annotated

from fastapi import APIRouter, Body, Path, Request
from fastapi.openapi.models import Example

from app.api.answers import LOGGED_IN, WITH_BODY, problems
from app.api.deps import Caller, Page, RealNames
from app.api.routes import IdempotentRoute, Route
from app.api.schemas.base import SubmissionPath
from app.api.schemas.real_name import RealNameOut, SubmissionIn, SubmissionOut, SubmissionsOut
from app.api.texts import choose_locale, reason_text
from app.core.errors import DocumentUsedUp, NotFound, NotReady, SubmissionPending, TooManyMismatches, WrongState
from app.services.real_name import RealName, SubmissionView

router = APIRouter(tags=["real name"], route_class=IdempotentRoute)
reading = APIRouter(tags=["real name"], route_class=Route)
ROUTERS = (router, reading)

_PATH = "/v1/account/real-name"


_EXAMPLES: dict[str, Example] = {
    "enterprise": {
        "value": {"type": "enterprise", "name": "Acme Observability Ltd.", "registration_number": "91350100M000100Y43"}
    },
    "individual": {"value": {"type": "individual", "name": "张三", "id_number": "11010519491231002X"}},
}


@reading.get(
    _PATH,
    summary="How far is real-name authentication?",
    description="What is in force, what invoices still need, and the newest submission with why it was rejected.",
    responses=problems(*LOGGED_IN),
)
async def get_real_name(request: Request, caller: Caller, real_names: RealNames) -> RealNameOut:
    return _status(await real_names.status(caller=caller), _locale(request))


@router.post(
    f"{_PATH}/submissions",
    status_code=201,
    summary="Submit a document",
    description="An enterprise, which invoices need, or an individual. It is `pending` until a provider or staff has "
    "decided, mostly within seconds. What is in force stays so until a new one is verified.",
    responses=problems(
        *WITH_BODY, *LOGGED_IN, SubmissionPending, DocumentUsedUp, TooManyMismatches, NotReady, WrongState
    ),
)
async def submit_real_name(
    request: Request,
    body: Annotated[SubmissionIn, Body(openapi_examples=_EXAMPLES)],
    caller: Caller,
    real_names: RealNames,
) -> SubmissionOut:
    return _shown(await real_names.submit(caller=caller, kind=body.type, **body.claim()), _locale(request))


@reading.get(
    f"{_PATH}/submissions",
    summary="List the submissions",
    description="Newest first. What they said is erased some time after they came to nothing.",
    responses=problems(*LOGGED_IN),
)
async def list_submissions(request: Request, caller: Caller, real_names: RealNames, page: Page) -> SubmissionsOut:
    found = await real_names.page(caller=caller, cursor=page.after, limit=page.limit)
    items = [_shown(one, _locale(request)) for one in found[: page.limit]]
    return SubmissionsOut(items=items, next_cursor=page.next_cursor([one.id for one in found]))


@reading.delete(
    f"{_PATH}/submissions/{{id}}",
    status_code=204,
    summary="Withdraw a submission",
    description="While it is pending.",
    responses=problems(*LOGGED_IN, NotFound, WrongState),
)
async def withdraw_submission(
    id: Annotated[SubmissionPath, Path(description="`id` of the submission.")], caller: Caller, real_names: RealNames
) -> None:
    await real_names.withdraw(caller=caller, submission_id=id)


def _locale(request: Request) -> str:
    return choose_locale(request.headers.get("accept-language"))


def _shown(view: SubmissionView, locale: str) -> SubmissionOut:
    members = {name: getattr(view, name) for name in SubmissionView.__slots__}
    return SubmissionOut(**members, reason_text=reason_text(view.reason, locale) if view.reason else None)


def _status(found: RealName, locale: str) -> RealNameOut:
    members = {name: getattr(found, name) for name in RealName.__slots__ if name != "latest"}
    return RealNameOut(**members, latest=_shown(found.latest, locale) if found.latest else None)
