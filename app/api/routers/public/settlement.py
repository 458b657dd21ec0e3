"""A holder's workspaces and how each settles."""

from typing import Annotated

from fastapi import APIRouter, Body, Path, Request
from fastapi.openapi.models import Example

from app.api.answers import LOGGED_IN, WITH_BODY, problems
from app.api.deps import Caller, NamePage, Page, Settlements
from app.api.routes import Route
from app.api.schemas.base import WorkspaceId
from app.api.schemas.settlement import (
    ByCloudAccountIn,
    HistoryOut,
    OptionOut,
    OptionsOut,
    ReasonOut,
    SettledOut,
    SettlementIn,
    SpanOut,
    WorkspaceSettlementOut,
    WorkspacesOut,
)
from app.api.texts import choose_locale, settlement_text
from app.core.errors import NotFound, SettlementRefused
from app.services.settlement_views import Option

router = APIRouter(tags=["workspaces"], route_class=Route)
ROUTERS = (router,)

_PATH = "/v1/account/workspaces"
Id = Annotated[WorkspaceId, Path(description="As given by the workspace service.")]
_EXAMPLES: dict[str, Example] = {
    "cloud_account": {
        "value": {"method": "cloud_account", "cloud_account_id": "clda_0193b5c27d3e7a41b4d2c9f1e8a60b57"}
    },
    "billing_center": {"value": {"method": "billing_center"}},
}


@router.get(
    _PATH,
    summary="List the workspaces",
    description="Those that the account pays for, by their ids, each with how it settles.",
    responses=problems(*LOGGED_IN),
)
async def list_workspaces(caller: Caller, settlements: Settlements, page: NamePage) -> WorkspacesOut:
    found = await settlements.page(caller=caller, cursor=page.after, limit=page.limit)
    items = [WorkspaceSettlementOut.model_validate(one, from_attributes=True) for one in found[: page.limit]]
    return WorkspacesOut(items=items, next_cursor=page.next_cursor([one.id for one in found]))


@router.get(
    f"{_PATH}/{{id}}/settlement-options",
    summary="How may a workspace settle?",
    description="The Billing Center and every cloud account, each with every reason against it.",
    responses=problems(*LOGGED_IN, NotFound),
)
async def list_settlement_options(id: Id, request: Request, caller: Caller, settlements: Settlements) -> OptionsOut:
    locale = choose_locale(request.headers.get("accept-language"))
    options = await settlements.options(caller=caller, workspace_id=id)
    return OptionsOut(workspace_id=id, items=[_option(one, locale) for one in options])


@router.put(
    f"{_PATH}/{{id}}/settlement",
    summary="Choose how a workspace settles",
    description="Once in a calendar month. What is so already stays so; a locked workspace is unlocked at once.",
    responses=problems(*WITH_BODY, *LOGGED_IN, NotFound, SettlementRefused),
)
async def choose_settlement(
    id: Id,
    body: Annotated[SettlementIn, Body(openapi_examples=_EXAMPLES)],
    caller: Caller,
    settlements: Settlements,
) -> SettledOut:
    by = body.cloud_account_id if isinstance(body, ByCloudAccountIn) else None
    settled = await settlements.choose(caller=caller, workspace_id=id, cloud_account_id=by)
    return SettledOut(
        workspace_id=settled.id,
        method=settled.method,
        cloud_account_id=settled.cloud_account_id,
        effective_from=settled.effective_from,
    )


@router.get(
    f"{_PATH}/{{id}}/settlement-history",
    summary="How a workspace was settled",
    description="Newest first; each record ends where the next one begins.",
    responses=problems(*LOGGED_IN, NotFound),
)
async def list_settlement_history(id: Id, caller: Caller, settlements: Settlements, page: Page) -> HistoryOut:
    found = await settlements.history(caller=caller, workspace_id=id, cursor=page.after, limit=page.limit)
    items = [SpanOut.model_validate(one, from_attributes=True) for one in found[: page.limit]]
    return HistoryOut(items=items, next_cursor=page.next_cursor([one.id for one in found]))


def _option(option: Option, locale: str) -> OptionOut:
    members = {name: getattr(option, name) for name in Option.__slots__ if name != "reasons"}
    reasons = [
        ReasonOut(code=one.code.value, until=one.until, text=settlement_text(one.code, locale))
        for one in option.reasons
    ]
    return OptionOut(**members, allowed=not reasons, reasons=reasons)
