"""The activity trail: what happened to an account, by whom, from where."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.models.base import Base, Keyed, index_where


class Action(StrEnum):
    REGISTERED = "account.registered"
    LOGGED_IN = "session.started"
    LOGIN_FAILED = "session.failed"
    LOGGED_OUT = "session.ended"
    OTHERS_LOGGED_OUT = "session.others_ended"
    TOKEN_REUSED = "session.token_reused"
    PROFILE_EDITED = "profile.edited"
    CHANGE_STARTED = "credential_change.started"
    CHANGE_PROVEN = "credential_change.proven"
    CHANGE_WAITING = "credential_change.waiting"
    CHANGE_CANCELLED = "credential_change.cancelled"
    CHANGE_UNDONE = "credential_change.undone"
    EMAIL_CHANGED = "email.changed"
    PHONE_CHANGED = "phone.changed"
    PASSWORD_CHANGED = "password.changed"
    PASSWORD_SET = "password.set"
    PASSWORD_RESET = "password.reset"
    TICKET_ISSUED = "login_ticket.issued"
    SUSPENDED = "account.suspended"
    RESTORED = "account.restored"
    SESSIONS_ENDED = "sessions.ended"
    ARBITRARY_SETTLEMENT = "arbitrary_settlement.set"
    CLOSED = "account.closed"
    REAL_NAME_SUBMITTED = "real_name.submitted"
    REAL_NAME_CANCELLED = "real_name.cancelled"
    REAL_NAME_REVIEWED = "real_name.in_review"
    REAL_NAME_PROPOSED = "real_name.override_proposed"
    REAL_NAME_VERIFIED = "real_name.verified"
    REAL_NAME_REJECTED = "real_name.rejected"
    CLOUD_ACCOUNT_ADDED = "cloud_account.added"
    CLOUD_ACCOUNT_STATUS = "cloud_account.status"
    CLOUD_NOTICE_REAPPLIED = "cloud_notice.reapplied"
    SETTLEMENT_CHANGED = "workspace.settlement_changed"
    WORKSPACE_LOCKED = "workspace.locked"
    WORKSPACE_UNLOCKED = "workspace.unlocked"


class Actor(StrEnum):
    HOLDER = "holder"
    SYSTEM = "system"
    SERVICE = "service"  # another service of Guance
    STAFF = "staff"
    UNKNOWN = "unknown"  # nobody who proved anything: a failed login


class Activity(Keyed, Base):
    """One act, written in the transaction of its effect. Values are masked before they come here.

    A failed login for an identifier that nobody has is nobody's (account_id NULL): it costs the same write, and goes
    with the clean-up. No foreign key: its check would tell the two apart by time.
    """

    __tablename__ = "activity"
    __table_args__ = (
        Index("ix_activity_account_id", "account_id", "id"),
        index_where("ix_activity_created_at_nobody", "created_at", where="account_id IS NULL"),
    )

    account_id: Mapped[UUID | None]
    action: Mapped[str] = mapped_column(String(32))
    actor: Mapped[str] = mapped_column(String(128))
    actor_name: Mapped[str | None] = mapped_column(String(128))  # the person, by the word of the client
    reason: Mapped[str | None] = mapped_column(String(500))
    client_id: Mapped[UUID | None]  # the service through which it was done
    session_id: Mapped[UUID | None]
    ip: Mapped[str | None] = mapped_column(String(45))
    user_agent: Mapped[str | None] = mapped_column(String(256))
    request_id: Mapped[str | None] = mapped_column(String(128))
    old_value: Mapped[str | None] = mapped_column(String(1000))
    new_value: Mapped[str | None] = mapped_column(String(1000))
    created_at: Mapped[datetime] = mapped_column(default=now)
