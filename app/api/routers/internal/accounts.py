"""Accounts: other services make, read and find them; staff suspends and restores them."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from app.api.answers import CALLED_BY_SERVICE, WITH_BODY, problems
from app.api.routes import IdempotentRoute, Route
from app.api.schemas.activity import AuditEntryOut, AuditOut
from app.api.schemas.base import AccountPath, Typed
from app.api.schemas.directory import (
    ArbitrarySettlementIn,
    DirectoryEntryOut,
    FoundOut,
    LookupIn,
    LookupOut,
    NewAccountIn,
    StatusIn,
)
from app.api.service_deps import Audit, Directory, ServicePage, StaffActs, acts, has, reads
from app.core.callers import Service, Staff
from app.core.contacts import Kind
from app.core.errors import (
    AccountClosed,
    Busy,
    EmailTaken,
    FieldProblem,
    Invalid,
    MethodNotAllowed,
    NotFound,
    PasswordRefused,
    PhoneTaken,
    ReferenceTaken,
    UsernameTaken,
)
from app.core.scopes import Scope
from app.models.accounts import Status
from app.services.directory import Order

router = APIRouter(tags=["accounts"], route_class=IdempotentRoute)
looking = APIRouter(tags=["accounts"], route_class=Route)
staff = APIRouter(tags=["staff"], route_class=Route)
ROUTERS = (router, looking, staff)

_PROFILE = {"company_name", "industry", "region", "company_description", "contact_name", "locale"}
_OWN = {"username", "email", "phone", "password_hash", "reference", "time_zone"}
AccountId = Annotated[AccountPath, Path(description="`id` of the account.")]
Wanted = Annotated[Typed | None, Query(description="Exactly one of the three.", examples=[None])]


@router.post(
    "/internal/v1/accounts",
    status_code=201,
    summary="Make an account",
    description="For Guance's registration: the contacts count as verified, and a password may come as its hash. "
    "200 instead of 201 for an account that was made before under the same `reference`.",
    responses=problems(
        *CALLED_BY_SERVICE, *WITH_BODY, UsernameTaken, EmailTaken, PhoneTaken, PasswordRefused, ReferenceTaken, Busy
    )
    | {200: {"model": DirectoryEntryOut, "description": "Made before, under the same reference."}},
)
async def create_account(
    body: NewAccountIn,
    service: Annotated[Service, has(Scope.ACCOUNTS_CREATE)],
    directory: Directory,
    response: Response,
) -> DirectoryEntryOut:
    order = Order(**body.model_dump(include=_OWN), profile=body.model_dump(include=_PROFILE))
    created = await directory.create(service=service, order=order, password=body.password)
    response.status_code = 201 if created.fresh else 200
    return DirectoryEntryOut.model_validate(created.entry, from_attributes=True)


@looking.get(
    "/internal/v1/accounts",
    summary="Find an account",
    description="By username, email or phone, as its holder would log in; 404 when nobody has it.",
    responses=problems(*CALLED_BY_SERVICE, NotFound),
)
async def find_account(
    service: Annotated[Service, reads(Scope.ACCOUNTS_READ)],
    directory: Directory,
    username: Wanted = None,
    email: Wanted = None,
    phone: Wanted = None,
) -> DirectoryEntryOut:
    kind, text = _only(username=username, email=email, phone=phone)
    found = await directory.find(service=service, kind=kind, text=text)
    return DirectoryEntryOut.model_validate(found, from_attributes=True)


@looking.get("/internal/v1/accounts/lookup", include_in_schema=False)
async def refuse_to_read_lookup() -> None:
    """`lookup` is no id: without this the route below would take it for one."""
    raise MethodNotAllowed


@looking.get(
    "/internal/v1/accounts/{id}",
    summary="Read an account",
    description="Closed ones too, of which little is left. May be some moments old where look-ups have a replica.",
    responses=problems(*CALLED_BY_SERVICE, NotFound),
)
async def read_account(
    id: AccountId, service: Annotated[Service, reads(Scope.ACCOUNTS_READ)], directory: Directory
) -> DirectoryEntryOut:
    found = await directory.get(service=service, account_id=id)
    return DirectoryEntryOut.model_validate(found, from_attributes=True)


@looking.post(
    "/internal/v1/accounts/lookup",
    summary="Look up many accounts",
    description="Up to 1,000 ids in one statement; an answer for each, in the order asked for. "
    "May be some moments old where look-ups have a replica.",
    responses=problems(*CALLED_BY_SERVICE, *WITH_BODY),
)
async def look_up_accounts(
    body: LookupIn, service: Annotated[Service, reads(Scope.ACCOUNTS_READ)], directory: Directory
) -> LookupOut:
    found = await directory.look_up(service=service, shown_ids=body.ids)
    accounts = [one and DirectoryEntryOut.model_validate(one, from_attributes=True) for one in found]
    pairs = zip(body.ids, accounts, strict=True)
    return LookupOut(items=[FoundOut(id=asked, found=one is not None, account=one) for asked, one in pairs])


@staff.put(
    "/internal/v1/accounts/{id}/status",
    summary="Suspend or restore an account",
    description="Suspending ends every session, code and open credential change; the holder is told by mail.",
    responses=problems(*CALLED_BY_SERVICE, *WITH_BODY, NotFound, AccountClosed),
)
async def set_account_status(
    id: AccountId, body: StatusIn, staff: Annotated[Staff, acts(Scope.STAFF_ACCOUNTS)], acting: StaffActs
) -> DirectoryEntryOut:
    account = await acting.set_status(staff=staff, account_id=id, status=Status(body.status))
    return DirectoryEntryOut.model_validate(account, from_attributes=True)


@staff.put(
    "/internal/v1/accounts/{id}/arbitrary-settlement",
    summary="Switch arbitrary settlement",
    description="Whether the account's workspaces may settle through any cloud, whatever their site.",
    responses=problems(*CALLED_BY_SERVICE, *WITH_BODY, NotFound, AccountClosed),
)
async def set_arbitrary_settlement(
    id: AccountId, body: ArbitrarySettlementIn, staff: Annotated[Staff, acts(Scope.STAFF_ACCOUNTS)], acting: StaffActs
) -> DirectoryEntryOut:
    account = await acting.set_arbitrary_settlement(staff=staff, account_id=id, enabled=body.enabled)
    return DirectoryEntryOut.model_validate(account, from_attributes=True)


@staff.delete(
    "/internal/v1/accounts/{id}/sessions",
    status_code=204,
    summary="End all sessions of an account",
    description="The holder has to log in again.",
    responses=problems(*CALLED_BY_SERVICE, NotFound, AccountClosed),
)
async def end_account_sessions(
    id: AccountId, staff: Annotated[Staff, acts(Scope.STAFF_ACCOUNTS)], acting: StaffActs
) -> None:
    await acting.end_sessions(staff=staff, account_id=id)


@staff.get(
    "/internal/v1/accounts/{id}/activity",
    summary="What happened to an account?",
    description="The trail that its holder sees, newest first, and the service through which each was done.",
    responses=problems(*CALLED_BY_SERVICE, NotFound),
)
async def audit_account(
    id: AccountId, _: Annotated[Service, has(Scope.STAFF_AUDIT)], audit: Audit, page: ServicePage
) -> AuditOut:
    found = await audit.audit(account_id=id, cursor=page.after, limit=page.limit)
    items = [AuditEntryOut.model_validate(one, from_attributes=True) for one in found[: page.limit]]
    return AuditOut(items=items, next_cursor=page.next_cursor([one.id for one in found]))


def _only(**given: str | None) -> tuple[Kind, str]:
    named = [(Kind(name), text) for name, text in given.items() if text is not None]
    if len(named) != 1:
        raise Invalid(FieldProblem("username", "exactly_one_parameter"))
    return named[0]
