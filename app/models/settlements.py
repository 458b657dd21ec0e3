"""How each workspace is paid for, now and at any past instant: a chain of records for each."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Keyed, index_where, one_of, unique_where


class Method(StrEnum):
    BILLING_CENTER = "billing_center"
    CLOUD_ACCOUNT = "cloud_account"


class Cause(StrEnum):
    """Why a record began."""

    CREATED = "created"  # the workspace became known
    CHOSEN = "chosen"  # by the holder: once a month
    UNLOCKED = "unlocked"  # by the holder, out of a lock
    LOCKED = "locked"  # the cloud account stopped
    FELL_BACK = "fell_back"  # the cloud account stopped: the Billing Center pays
    RESUMED = "resumed"  # the frozen cloud account is paid again
    RESUBSCRIBED = "resubscribed"  # a new subscription ended the lock


class Settlement(Keyed, Base):
    """One span of time in which a workspace was paid for in one way: from `effective_from` up to the next one's.

    A chain held by plain constraints: each record but the first names the start of the one before it (`follows`),
    which exists, is earlier, and is named by nobody else. So there are no gaps and no overlaps to be written, and a
    record can only be put at the end. The end of a record is stored nowhere: it is the start of the one that follows.

    `workspace_id` is no foreign key: workspaces refer to their current record.
    """

    __tablename__ = "settlements"
    __table_args__ = (
        UniqueConstraint("workspace_id", "effective_from"),
        UniqueConstraint("workspace_id", "follows"),
        unique_where("uq_settlements_first", "workspace_id", where="follows IS NULL"),
        ForeignKeyConstraint(["workspace_id", "follows"], ["settlements.workspace_id", "settlements.effective_from"]),
        CheckConstraint("follows < effective_from", name="in_order"),
        CheckConstraint("(method = 'cloud_account') = (cloud_account_id IS NOT NULL)", name="names_its_cloud_account"),
        CheckConstraint("(cause = 'locked') = (lock_ends_at IS NOT NULL)", name="lock_has_an_end"),
        index_where("ix_settlements_cloud_account_id", "cloud_account_id", where="cloud_account_id IS NOT NULL"),
        one_of("method", Method),
        one_of("cause", Cause),
    )

    workspace_id: Mapped[str] = mapped_column(String(64))
    effective_from: Mapped[datetime]
    follows: Mapped[datetime | None]
    method: Mapped[str] = mapped_column(String(16))
    cloud_account_id: Mapped[UUID | None] = mapped_column(ForeignKey("cloud_accounts.id"))
    cause: Mapped[str] = mapped_column(String(16))
    lock_ends_at: Mapped[datetime | None]  # the workspace is locked in this span, and may be unlocked until then
