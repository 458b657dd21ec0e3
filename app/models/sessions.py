"""Sessions, login tickets, and the keys that sign access tokens."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.models.base import Base, Keyed, index_where, one_of


class Method(StrEnum):
    PASSWORD = "password"
    CODE = "code"
    TICKET = "ticket"
    REGISTRATION = "registration"


class Delivery(StrEnum):
    """How the refresh token is handed over."""

    COOKIE = "cookie"
    BODY = "body"


class Ending(StrEnum):
    LOGOUT = "logout"
    ENDED_BY_HOLDER = "ended_by_holder"
    CREDENTIAL_CHANGED = "credential_changed"
    CHANGE_UNDONE = "change_undone"
    PASSWORD_CHANGED = "password_changed"
    TOKEN_REUSED = "token_reused"
    ENDED_BY_STAFF = "ended_by_staff"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class Session(Keyed, Base):
    """One login and the family of refresh tokens that came of it: only the newest one works."""

    __tablename__ = "sessions"
    __table_args__ = (
        index_where("ix_sessions_account_id_live", "account_id", "id", where="ended_at IS NULL"),
        Index("ix_sessions_account_id_ip", "account_id", "ip"),
        Index("ix_sessions_expires_at", "expires_at"),
        one_of("method", Method),
        one_of("delivery", Delivery),
        one_of("end_reason", Ending),
    )

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    method: Mapped[str] = mapped_column(String(16))
    delivery: Mapped[str] = mapped_column(String(8))
    ip: Mapped[str] = mapped_column(String(45))
    user_agent: Mapped[str | None] = mapped_column(String(256))
    auth_time: Mapped[datetime] = mapped_column(default=now)
    last_used_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]  # idle end: moves with each refresh, never past final_at
    final_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None] = mapped_column(String(24))
    refresh_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    previous_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    rotated_at: Mapped[datetime | None]
    # The token now in force, sealed for the holder of the previous one: repeats an answer that got lost.
    successor: Mapped[bytes | None] = mapped_column(LargeBinary)


class LoginTicket(Base):
    """A single use login for a workspace owner, asked for by another Guance service."""

    __tablename__ = "login_tickets"
    __table_args__ = (
        Index("ix_login_tickets_account_id", "account_id"),
        Index("ix_login_tickets_expires_at", "expires_at"),
    )

    ticket_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    workspace_id: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str] = mapped_column(String(128))
    client_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class StoredKey(Base):
    """A signing key; the private half is sealed with the service's secret."""

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(String(32), primary_key=True)
    sealed_pem: Mapped[bytes] = mapped_column(LargeBinary)
    active_from: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
