"""Login tickets: how the owner of a workspace comes from the studio into the Billing Center without credentials."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.core.callers import Service
from app.core.clock import now
from app.core.crypto import digest, random_token
from app.core.errors import AccountClosed, AccountSuspended, NotFound, WorkspaceDissolved, WorkspaceElsewhere
from app.core.limits import Limits
from app.models.accounts import Account, Status
from app.models.activity import Action
from app.models.sessions import LoginTicket
from app.repositories.unit_of_work import UnitOfWork, Work, retried
from app.services.activity import record_service


@dataclass(frozen=True, slots=True)
class Ticket:
    """Good for one login before `expires_at`; `ticket` is kept as its hash only."""

    ticket: str
    expires_at: datetime


class TicketService:
    def __init__(self, uow: UnitOfWork, *, limits: Limits) -> None:
        self.uow = uow
        self._life = timedelta(seconds=limits.login_ticket_seconds)

    @retried
    async def issue(self, *, service: Service, account_id: UUID, workspace_id: str, actor: str) -> Ticket:
        """For `actor`, of whom the service says by asking that they own the workspace; the trail keeps who.

        Raises NotFound, AccountSuspended, AccountClosed, and for a workspace that another account pays for or that is
        no more WorkspaceElsewhere and WorkspaceDissolved.
        """
        at, ticket = now(), random_token()
        async with self.uow() as uow:
            account = await uow.accounts.hold(account_id)  # it is not closed before the ticket is written
            await _refuse(uow, account, workspace_id)
            uow.sessions.add_ticket(
                LoginTicket(
                    ticket_hash=digest(ticket),
                    account_id=account_id,
                    workspace_id=workspace_id,
                    actor=actor,
                    client_id=service.client_id,
                    expires_at=at + self._life,
                )
            )
            record_service(uow, Action.TICKET_ISSUED, account_id, service, name=actor, new=workspace_id)
        return Ticket(ticket, at + self._life)


async def _refuse(uow: Work, account: Account | None, workspace_id: str) -> None:
    if account is None:
        raise NotFound
    if account.status == Status.SUSPENDED:
        raise AccountSuspended
    if account.status == Status.CLOSED:
        raise AccountClosed
    workspace = await uow.workspaces.get(workspace_id)
    if workspace is not None and workspace.account_id != account.id:
        raise WorkspaceElsewhere
    if workspace is not None and workspace.dissolved_at is not None:
        raise WorkspaceDissolved
