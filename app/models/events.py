"""Events: what happened to accounts, for the other services."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.core.database import JsonDoc
from app.models.base import Base, index_where

_Big = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts by itself in INTEGER keys only


class EventType(StrEnum):
    ACCOUNT_CREATED = "account.created"
    PROFILE_UPDATED = "account.profile_updated"
    EMAIL_CHANGED = "account.email_changed"
    PHONE_CHANGED = "account.phone_changed"
    PASSWORD_CHANGED = "account.password_changed"
    SUSPENDED = "account.suspended"
    RESTORED = "account.restored"
    CLOSED = "account.closed"
    REAL_NAME_SUBMITTED = "real_name.submitted"
    REAL_NAME_VERIFIED = "real_name.verified"
    REAL_NAME_REJECTED = "real_name.rejected"
    REAL_NAME_CANCELLED = "real_name.cancelled"
    CLOUD_ACTIVATED = "cloud_account.activated"
    CLOUD_FROZEN = "cloud_account.frozen"
    CLOUD_UNFROZEN = "cloud_account.unfrozen"
    CLOUD_CLOSED = "cloud_account.closed"
    SETTLEMENT_CHANGED = "workspace.settlement_changed"
    LOCK_REQUESTED = "workspace.lock_requested"
    UNLOCK_REQUESTED = "workspace.unlock_requested"
    ENDPOINT_PAUSED = "webhook_endpoint.paused"


class Event(Base):
    """One event, written in the transaction of its effect.

    `written` is given at the INSERT, while the account is held: so it grows with the commits of one account.
    `position` is given once the event is committed and seen (repositories/events.py): so it grows with visibility, and
    a reader who has seen one position has seen all before it.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("uq_events_id", "id", unique=True),
        Index("uq_events_position", "position", unique=True),
        index_where("ix_events_written_unplaced", "written", where="position IS NULL"),
        Index("ix_events_created_at", "created_at"),
    )

    written: Mapped[int] = mapped_column(_Big, Identity(), primary_key=True)
    id: Mapped[UUID]
    position: Mapped[int | None] = mapped_column(BigInteger)
    type: Mapped[str] = mapped_column(String(48))
    subject: Mapped[str] = mapped_column(String(64))
    data: Mapped[dict[str, Any]] = mapped_column(JsonDoc)
    created_at: Mapped[datetime] = mapped_column(default=now)


class EventHead(Base):
    """The one row that says how far positions are given, and up to which one events were forgotten."""

    __tablename__ = "event_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last: Mapped[int] = mapped_column(BigInteger, default=0)
    forgotten: Mapped[int] = mapped_column(BigInteger, default=0)
