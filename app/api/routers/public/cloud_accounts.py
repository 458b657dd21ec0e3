"""Cloud accounts, and the claims with which they come from a marketplace."""

from typing import Annotated

from fastapi import APIRouter, Path

from app.api.answers import LIMITED, LOGGED_IN, WITH_BODY, problems
from app.api.deps import Anonymous, Caller, Claims, CloudAccounts, Origin, Page, Settlements
from app.api.routes import IdempotentRoute, Route
from app.api.schemas.base import CloudAccountPath, Token
from app.api.schemas.cloud_accounts import (
    AcceptedOut,
    BindingsIn,
    ClaimCodeIn,
    ClaimCodeOut,
    ClaimOut,
    ClaimWithCodeIn,
    CloudAccountIn,
    CloudAccountOut,
    CloudAccountsOut,
)
from app.api.schemas.settlement import BindingsOut, WorkspaceSettlementOut
from app.core.errors import (
    AccountSuspended,
    ClaimGone,
    CloudAccountEnded,
    CloudAccountTaken,
    CloudAccountUnproven,
    CodeExpired,
    CodeUsed,
    MarketplaceUnavailable,
    NotFound,
    ResendTooSoon,
    SettlementRefused,
    TooManySends,
    TooManyTries,
    WrongCode,
)

router = APIRouter(tags=["cloud accounts"], route_class=IdempotentRoute)
reading = APIRouter(tags=["cloud accounts"], route_class=Route)
claims = APIRouter(tags=["marketplace claims"], route_class=IdempotentRoute)
anonymous = APIRouter(tags=["marketplace claims"], route_class=Route, dependencies=[Anonymous])
coded = APIRouter(tags=["marketplace claims"], route_class=IdempotentRoute, dependencies=[Anonymous])
ROUTERS = (router, reading, claims, anonymous, coded)

_PATH = "/v1/account/cloud-accounts"
_CLAIM = "/v1/marketplace-claims/{token}"
Id = Annotated[CloudAccountPath, Path(description="`id` of the cloud account.")]
ClaimToken = Annotated[Token, Path(description="`claim` of the address that the marketplace's customer was sent to.")]


@reading.get(
    _PATH,
    summary="List the cloud accounts",
    description="Newest first, each with the workspaces that settle by it.",
    responses=problems(*LOGGED_IN),
)
async def list_cloud_accounts(caller: Caller, cloud_accounts: CloudAccounts, page: Page) -> CloudAccountsOut:
    found = await cloud_accounts.page(caller=caller, cursor=page.after, limit=page.limit)
    items = [CloudAccountOut.model_validate(one, from_attributes=True) for one in found[: page.limit]]
    return CloudAccountsOut(items=items, next_cursor=page.next_cursor([one.id for one in found]))


@reading.get(
    f"{_PATH}/{{id}}",
    summary="A cloud account",
    description="With the workspaces that settle by it.",
    responses=problems(*LOGGED_IN, NotFound),
)
async def get_cloud_account(id: Id, caller: Caller, cloud_accounts: CloudAccounts) -> CloudAccountOut:
    found = await cloud_accounts.get(caller=caller, cloud_account_id=id)
    return CloudAccountOut.model_validate(found, from_attributes=True)


@router.post(
    _PATH,
    status_code=201,
    summary="Add a cloud account",
    description="By the buyer's account and the instance, which must belong together by the provider's word. "
    "The same again changes nothing.",
    responses=problems(
        *WITH_BODY,
        *LOGGED_IN,
        CloudAccountUnproven,
        CloudAccountEnded,
        CloudAccountTaken,
        TooManyTries,
        MarketplaceUnavailable,
    ),
)
async def add_cloud_account(body: CloudAccountIn, caller: Caller, cloud_accounts: CloudAccounts) -> CloudAccountOut:
    added = await cloud_accounts.add(
        caller=caller, provider=body.provider, number=body.account_id, instance_id=body.instance_id
    )
    return CloudAccountOut.model_validate(added, from_attributes=True)


@router.post(
    f"{_PATH}/{{id}}/bindings",
    summary="Settle workspaces by the cloud account",
    description="All of them or none; each that cannot is named with every reason. What is so already stays so.",
    responses=problems(*WITH_BODY, *LOGGED_IN, NotFound, SettlementRefused),
)
async def bind_workspaces(id: Id, body: BindingsIn, caller: Caller, settlements: Settlements) -> BindingsOut:
    bound = await settlements.bind(caller=caller, cloud_account_id=id, workspace_ids=body.workspace_ids)
    return BindingsOut(bindings=[WorkspaceSettlementOut.model_validate(one, from_attributes=True) for one in bound])


@anonymous.get(
    _CLAIM,
    summary="A purchase to be taken",
    description="What was brought from the marketplace.",
    responses=problems(*LIMITED, ClaimGone),
)
async def get_claim(token: ClaimToken, claims: Claims) -> ClaimOut:
    return ClaimOut.model_validate(await claims.view(token=token), from_attributes=True)


@claims.post(
    f"{_CLAIM}/accept",
    summary="Take the purchase",
    description="For the account of who is logged in.",
    responses=problems(*LOGGED_IN, ClaimGone, CloudAccountTaken),
)
async def accept_claim(token: ClaimToken, caller: Caller, claims: Claims) -> AcceptedOut:
    return AcceptedOut.model_validate(await claims.accept(caller=caller, token=token), from_attributes=True)


@anonymous.post(
    f"{_CLAIM}/account-codes",
    status_code=202,
    summary="Ask for a code to take the purchase without a login",
    description="Sent to the email of the account. A username that nobody has is answered alike.",
    responses=problems(*WITH_BODY, *LIMITED, ClaimGone, ResendTooSoon, TooManySends),
)
async def request_claim_code(token: ClaimToken, body: ClaimCodeIn, claims: Claims, origin: Origin) -> ClaimCodeOut:
    sent = await claims.ask(token=token, username=body.username, origin=origin)
    return ClaimCodeOut(challenge_id=sent.id, expires_at=sent.expires_at, resend_at=sent.resend_at)


@coded.post(
    f"{_CLAIM}/accept-with-code",
    summary="Take the purchase with a code",
    description="For the account that the code was sent to.",
    responses=problems(
        *WITH_BODY,
        *LIMITED,
        ClaimGone,
        CloudAccountTaken,
        AccountSuspended,
        WrongCode,
        TooManyTries,
        CodeExpired,
        CodeUsed,
    ),
)
async def accept_claim_with_code(
    token: ClaimToken, body: ClaimWithCodeIn, claims: Claims, origin: Origin
) -> AcceptedOut:
    accepted = await claims.accept_with_code(token=token, challenge_id=body.challenge_id, code=body.code, origin=origin)
    return AcceptedOut.model_validate(accepted, from_attributes=True)
