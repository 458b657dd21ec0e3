"""Which account pays for a workspace, by the word of the workspace service."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core.clock import instant, now
from app.core.errors import AccountClosed, NotFound, WorkspaceDissolved, WorkspaceElsewhere
from app.models.accounts import Status
from app.models.workspaces import Workspace
from app.repositories.unit_of_work import UnitOfWork, Work, retried
from app.services.settlement_effects import SettlementEffects


@dataclass(frozen=True, slots=True)
class WorkspaceView:
    """`fresh`: it was not known before."""

    id: str
    account_id: UUID
    site: str
    name: str
    created_at: datetime
    dissolved_at: datetime | None
    fresh: bool


class WorkspaceService:
    def __init__(self, uow: UnitOfWork, *, settlement: SettlementEffects) -> None:
        self.uow = uow
        self.settlement = settlement

    @retried
    async def put(self, *, workspace_id: str, account_id: UUID, site: str, name: str) -> WorkspaceView:
        """Make it known, or rename it; the same again changes nothing.

        Raises NotFound and AccountClosed for its account, WorkspaceElsewhere when another account pays for it or it
        stands on another site, and WorkspaceDissolved.
        """
        async with self.uow() as uow:
            await _require_open(uow, account_id)
            known = await uow.workspaces.hold(workspace_id)
            if known is None:
                at = instant()
                known = Workspace(
                    id=workspace_id, account_id=account_id, site=site, name=name, created_at=at, updated_at=at
                )
                await self.settlement.begin(uow, known)
                return _view(known, fresh=True)
            if (known.account_id, known.site) != (account_id, site):
                raise WorkspaceElsewhere
            if known.dissolved_at is not None:
                raise WorkspaceDissolved
            if known.name != name:
                known.name, known.updated_at = name, now()
            return _view(known, fresh=False)

    @retried
    async def dissolve(self, *, workspace_id: str) -> None:
        """It is no more; again changes nothing. Raises NotFound."""
        async with self.uow() as uow:
            found = await uow.workspaces.get(workspace_id)
            if found is None:
                raise NotFound
            await uow.accounts.hold(found.account_id)  # its settlement does not move meanwhile
            known = await uow.workspaces.hold(workspace_id) or found
            await uow.workspaces.dissolve(workspace_id, max(instant(), known.settled_from))


async def _require_open(uow: Work, account_id: UUID) -> None:
    """And hold it: it cannot be closed meanwhile."""
    account = await uow.accounts.hold(account_id)
    if account is None:
        raise NotFound
    if account.status == Status.CLOSED:
        raise AccountClosed


def _view(workspace: Workspace, *, fresh: bool) -> WorkspaceView:
    members = {name: getattr(workspace, name) for name in WorkspaceView.__slots__ if name != "fresh"}
    return WorkspaceView(**members, fresh=fresh)
