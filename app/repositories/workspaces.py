"""SQL for workspaces."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update

from app.models.workspaces import Workspace
from app.repositories.base import Repository


class WorkspaceRepository(Repository):
    async def get(self, workspace_id: str) -> Workspace | None:
        return await self._session.get(Workspace, workspace_id)

    async def hold(self, workspace_id: str) -> Workspace | None:
        """Nobody else's until the transaction ends."""
        statement = select(Workspace).where(Workspace.id == workspace_id).with_for_update()
        return await self._session.scalar(statement.execution_options(populate_existing=True))

    def add(self, workspace: Workspace) -> None:
        self._session.add(workspace)

    async def dissolve(self, workspace_id: str, at: datetime) -> None:
        statement = update(Workspace).where(Workspace.id == workspace_id, Workspace.dissolved_at.is_(None))
        await self._changed(statement.values(dissolved_at=at, updated_at=at))

    async def count_bound(self, account_id: UUID) -> int:
        """How many workspaces that were not dissolved the account pays for."""
        statement = select(func.count()).where(Workspace.account_id == account_id, Workspace.dissolved_at.is_(None))
        return int(await self._session.scalar(statement) or 0)
