"""Which service calls, with which scopes, for whom, and what a handler of the internal surface is given."""

from collections.abc import Iterable
from typing import Annotated, Any

import structlog
from fastapi import Depends, Header, Request, Security
from fastapi.security import OAuth2, SecurityScopes

from app.api.deps import Cursor, Limit, Pager, bearer_of, container_of, origin_of
from app.api.schemas.base import ActorName, Reason
from app.core import ids
from app.core.callers import Service as ServiceOf
from app.core.callers import Staff as StaffOf
from app.core.errors import InsufficientScope, InvalidToken
from app.core.scopes import MEANINGS, Scope
from app.core.tokens import BadToken
from app.services.activity import ActivityService
from app.services.clients import ClientService
from app.services.directory import DirectoryService
from app.services.events import Events
from app.services.invoicing import InvoicingGate
from app.services.marketplace import MarketplaceService
from app.services.real_name_review import RealNameReviews
from app.services.settlement import SettlementService
from app.services.staff import StaffService
from app.services.tickets import TicketService
from app.services.webhooks import WebhookService
from app.services.workspaces import WorkspaceService

TOKEN_PATH = "/oauth/token"

log = structlog.get_logger()

_scheme = OAuth2(
    flows={"clientCredentials": {"tokenUrl": TOKEN_PATH, "scopes": {str(one): MEANINGS[one] for one in Scope}}},
    scheme_name="client",
    description="A service client; `python -m app clients create` makes one.",
    auto_error=False,
)


async def service_of(request: Request) -> ServiceOf:
    """The service behind the access token. Raises Unauthenticated and InvalidToken."""
    try:
        claims = await container_of(request).keys.verify_service(bearer_of(request))
    except BadToken:
        raise InvalidToken from None
    return ServiceOf(claims.client_id, claims.secret_id, claims.scopes, origin_of(request))


async def named_service(
    request: Request, scopes: SecurityScopes, _: Annotated[str | None, Depends(_scheme)]
) -> ServiceOf:
    """Raises InsufficientScope as well."""
    service = await service_of(request)
    require_scopes(service, scopes.scopes)
    return service


def require_scopes(service: ServiceOf, scopes: Iterable[str]) -> None:
    """Raises InsufficientScope."""
    for scope in scopes:
        if scope not in service.scopes:
            log.warning("scope_missing", client=ids.show(ids.CLIENT, service.client_id), scope=scope)
            raise InsufficientScope(scope)


async def _live_service(request: Request, service: Annotated[ServiceOf, Depends(named_service)]) -> ServiceOf:
    await container_of(request).clients.require_live(service=service)
    return service


async def _staff(
    service: Annotated[ServiceOf, Depends(_live_service)],
    actor: Annotated[ActorName, Header(alias="X-Actor", description="Who: the person at the staff tool. UTF-8.")],
    reason: Annotated[Reason, Header(alias="X-Reason", description="Why. UTF-8; the holder sees it too.")],
) -> StaffOf:
    return StaffOf(service, actor, reason)


def has(scope: Scope) -> Any:
    """The route needs the scope, and its client must live: asked before the handler runs."""
    return Security(_live_service, scopes=[scope])


def reads(scope: Scope) -> Any:
    """The same for a hot read, whose own statement asks whether the client lives (repositories/directory.py)."""
    return Security(named_service, scopes=[scope])


def acts(scope: Scope) -> Any:
    """The same for staff, who say who they are and why."""
    return Security(_staff, scopes=[scope])


async def _page(request: Request, limit: Limit = 20, cursor: Cursor = None) -> Pager:
    return Pager(request, (await service_of(request)).client_id, limit, cursor)


ServicePage = Annotated[Pager, Depends(_page)]


async def _audit(request: Request) -> ActivityService:
    return container_of(request).activity


async def _clients(request: Request) -> ClientService:
    return container_of(request).clients


async def _directory(request: Request) -> DirectoryService:
    return container_of(request).directory


async def _events(request: Request) -> Events:
    return container_of(request).events


async def _invoices(request: Request) -> InvoicingGate:
    return container_of(request).invoicing


async def _notices(request: Request) -> MarketplaceService:
    return container_of(request).marketplace


async def _paid_by(request: Request) -> SettlementService:
    return container_of(request).settlement


async def _reviews(request: Request) -> RealNameReviews:
    return container_of(request).reviews


async def _staff_acts(request: Request) -> StaffService:
    return container_of(request).staff


async def _tickets(request: Request) -> TicketService:
    return container_of(request).tickets


async def _webhooks(request: Request) -> WebhookService:
    return container_of(request).webhooks


async def _workspaces(request: Request) -> WorkspaceService:
    return container_of(request).workspaces


Audit = Annotated[ActivityService, Depends(_audit)]
Clients = Annotated[ClientService, Depends(_clients)]
Directory = Annotated[DirectoryService, Depends(_directory)]
Feed = Annotated[Events, Depends(_events)]
Invoices = Annotated[InvoicingGate, Depends(_invoices)]
Notices = Annotated[MarketplaceService, Depends(_notices)]
PaidBy = Annotated[SettlementService, Depends(_paid_by)]
Reviews = Annotated[RealNameReviews, Depends(_reviews)]
StaffActs = Annotated[StaffService, Depends(_staff_acts)]
Tickets = Annotated[TicketService, Depends(_tickets)]
Webhooks = Annotated[WebhookService, Depends(_webhooks)]
Workspaces = Annotated[WorkspaceService, Depends(_workspaces)]
