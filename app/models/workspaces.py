"""Workspaces: which account pays for each, by the word of the workspace service, which owns them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, ForeignKeyConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.models.base import Base, index_where


class Workspace(Base):
    __tablename__ = "workspaces"
    __table_args__ = (
        index_where(
            "ix_workspaces_account_id_bound",
            "account_id",
            "id",
            where="dissolved_at IS NULL AND account_id IS NOT NULL",
        ),
        ForeignKeyConstraint(["id", "settled_from"], ["settlements.workspace_id", "settlements.effective_from"]),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)  # `wksp_…`, given by the workspace service
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    site: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(128))
    settled_from: Mapped[datetime]  # the current record of its settlement: there is always exactly one
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)
    dissolved_at: Mapped[datetime | None]
