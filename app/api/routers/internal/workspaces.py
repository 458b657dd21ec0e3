"""Workspaces: which account pays for each, and by what it is settled."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from app.api.answers import CALLED_BY_SERVICE, WITH_BODY, problems
from app.api.routes import Route
from app.api.schemas.base import Instant, WorkspaceId
from app.api.schemas.directory import WorkspaceIn, WorkspaceOut
from app.api.schemas.settlement import FoundSettlementOut, PaidOut, SettlementsIn, SettlementsOut
from app.api.service_deps import PaidBy, Workspaces, has, reads
from app.core.callers import Service
from app.core.errors import AccountClosed, NotFound, WorkspaceDissolved, WorkspaceElsewhere
from app.core.scopes import Scope
from app.services.settlement_views import Paid

router = APIRouter(tags=["workspaces"], route_class=Route)
ROUTERS = (router,)

Id = Annotated[WorkspaceId, Path(description="As given by the workspace service.")]
Caller = Annotated[Service, has(Scope.WORKSPACES)]


@router.put(
    "/internal/v1/workspaces/{id}",
    status_code=201,
    summary="Say which account pays for a workspace",
    description="201 when it is new, 200 when it was known; the same again changes nothing, another name renames it.",
    responses=problems(*CALLED_BY_SERVICE, *WITH_BODY, NotFound, AccountClosed, WorkspaceElsewhere, WorkspaceDissolved)
    | {200: {"model": WorkspaceOut, "description": "Known before."}},
)
async def put_workspace(
    id: Id, body: WorkspaceIn, _: Caller, workspaces: Workspaces, response: Response
) -> WorkspaceOut:
    workspace = await workspaces.put(workspace_id=id, account_id=body.account_id, site=body.site, name=body.name)
    response.status_code = 201 if workspace.fresh else 200
    return WorkspaceOut.model_validate(workspace, from_attributes=True)


@router.delete(
    "/internal/v1/workspaces/{id}",
    status_code=204,
    summary="Say that a workspace is dissolved",
    description="It is final, and the same again changes nothing.",
    responses=problems(*CALLED_BY_SERVICE, NotFound),
)
async def dissolve_workspace(id: Id, _: Caller, workspaces: Workspaces) -> None:
    await workspaces.dissolve(workspace_id=id)


@router.get(
    "/internal/v1/workspaces/{id}/settlement",
    summary="What pays for a workspace?",
    description="Now, or at any past instant; with the span of time in which that was so.",
    responses=problems(*CALLED_BY_SERVICE, NotFound),
)
async def get_settlement(
    id: Id,
    service: Annotated[Service, reads(Scope.SETTLEMENTS)],
    paid_by: PaidBy,
    at: Annotated[Instant | None, Query(description="Any instant up to now; now if absent.", examples=[None])] = None,
) -> PaidOut:
    return PaidOut.model_validate(await paid_by.at(service=service, workspace_id=id, moment=at), from_attributes=True)


@router.post(
    "/internal/v1/settlements/lookup",
    summary="What pays for many workspaces?",
    description="Up to 1,000, at one instant; one statement. May be some moments old where look-ups have a replica.",
    responses=problems(*CALLED_BY_SERVICE, *WITH_BODY),
)
async def look_up_settlements(
    body: SettlementsIn, service: Annotated[Service, reads(Scope.SETTLEMENTS)], paid_by: PaidBy
) -> SettlementsOut:
    found = await paid_by.look_up(service=service, workspace_ids=body.workspace_ids, moment=body.at)
    pairs = zip(body.workspace_ids, found, strict=True)
    return SettlementsOut(items=[_found(asked, one) for asked, one in pairs])


def _found(asked: str, one: Paid | None) -> FoundSettlementOut:
    settlement = PaidOut.model_validate(one, from_attributes=True) if one else None
    return FoundSettlementOut(workspace_id=asked, found=one is not None, settlement=settlement)
