"""The invoicing gate, and staff's review of real-name submissions."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from app.api.answers import CALLED_BY_SERVICE, WITH_BODY, problems
from app.api.routes import IdempotentRoute, Route
from app.api.schemas.base import AccountPath, SubmissionPath
from app.api.schemas.real_name import DecisionIn, InvoicingOut, ReviewOut, ReviewsOut, State, Type
from app.api.service_deps import Invoices, Reviews, ServicePage, acts, has, reads
from app.core.callers import Service, Staff
from app.core.errors import DocumentUsedUp, NotFound, NotReady, SecondActorNeeded, WrongState
from app.core.scopes import Scope
from app.models.real_name import Reason, SubmissionStatus, SubmissionType
from app.services.real_name_review import Wanted

router = APIRouter(tags=["real name"], route_class=Route)
deciding = APIRouter(tags=["real name"], route_class=IdempotentRoute)
ROUTERS = (router, deciding)

_PATH = "/internal/v1/real-name/submissions"


async def _wanted(
    status: Annotated[State | None, Query(description="Only these.", examples=[None])] = None,
    type: Annotated[Type | None, Query(description="Only these.", examples=[None])] = None,
    in_review: Annotated[bool | None, Query(description="Only these.", examples=[None])] = None,
) -> Wanted:
    return Wanted(SubmissionStatus(status) if status else None, SubmissionType(type) if type else None, in_review)


@router.get(
    "/internal/v1/accounts/{id}/invoicing",
    summary="May the account have invoices?",
    description="Only with a verified enterprise, whose name the invoice header must be. One statement.",
    responses=problems(*CALLED_BY_SERVICE, NotFound, NotReady),
)
async def ask_invoicing(
    id: Annotated[AccountPath, Path(description="`id` of the account.")],
    service: Annotated[Service, reads(Scope.INVOICING)],
    invoices: Invoices,
) -> InvoicingOut:
    return InvoicingOut.model_validate(await invoices.ask(service=service, account_id=id), from_attributes=True)


@router.get(
    _PATH,
    summary="The queue of submissions",
    description="Newest first, in clear; `in_review=true` are those that wait for a decision.",
    responses=problems(*CALLED_BY_SERVICE),
)
async def list_reviews(
    _: Annotated[Service, has(Scope.STAFF_REAL_NAME)],
    reviews: Reviews,
    page: ServicePage,
    wanted: Annotated[Wanted, Depends(_wanted)],
) -> ReviewsOut:
    found = await reviews.queue(wanted=wanted, cursor=page.after, limit=page.limit)
    items = [ReviewOut.model_validate(one, from_attributes=True) for one in found[: page.limit]]
    return ReviewsOut(items=items, next_cursor=page.next_cursor([one.id for one in found]))


@deciding.post(
    f"{_PATH}/{{id}}/decision",
    summary="Decide a submission",
    description="One that is in review; or, to approve what a provider refused, two people one after the other.",
    responses=problems(
        *CALLED_BY_SERVICE, *WITH_BODY, NotFound, WrongState, SecondActorNeeded, DocumentUsedUp, NotReady
    ),
)
async def decide_submission(
    id: Annotated[SubmissionPath, Path(description="`id` of the submission.")],
    body: DecisionIn,
    staff: Annotated[Staff, acts(Scope.STAFF_REAL_NAME)],
    reviews: Reviews,
) -> ReviewOut:
    reason = Reason(body.reason) if body.reason else None
    decided = await reviews.decide(staff=staff, submission_id=id, approve=body.decision == "approve", reason=reason)
    return ReviewOut.model_validate(decided, from_attributes=True)
