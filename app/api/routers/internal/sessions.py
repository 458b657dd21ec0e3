"""Login tickets."""

from typing import Annotated

from fastapi import APIRouter

from app.api.answers import CALLED_BY_SERVICE, WITH_BODY, problems
from app.api.routes import IdempotentRoute
from app.api.schemas.directory import TicketIn, TicketOut
from app.api.service_deps import Tickets, has
from app.core.callers import Service
from app.core.errors import AccountClosed, AccountSuspended, NotFound, WorkspaceDissolved, WorkspaceElsewhere
from app.core.scopes import Scope

router = APIRouter(tags=["login tickets"], route_class=IdempotentRoute)
ROUTERS = (router,)


@router.post(
    "/internal/v1/login-tickets",
    status_code=201,
    summary="Let a workspace owner in",
    description="A ticket for one login within 60 seconds. Only for owners: by asking the caller says that `actor` "
    "owns the workspace.",
    responses=problems(
        *CALLED_BY_SERVICE,
        *WITH_BODY,
        NotFound,
        AccountSuspended,
        AccountClosed,
        WorkspaceElsewhere,
        WorkspaceDissolved,
    ),
)
async def issue_login_ticket(
    body: TicketIn, service: Annotated[Service, has(Scope.LOGIN_TICKETS)], tickets: Tickets
) -> TicketOut:
    ticket = await tickets.issue(
        service=service, account_id=body.account_id, workspace_id=body.workspace_id, actor=body.actor
    )
    return TicketOut.model_validate(ticket, from_attributes=True)
