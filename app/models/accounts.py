"""Accounts, and registrations that may become accounts."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.models.base import Base, Keyed, index_where, one_of


class Status(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class RealNameStatus(StrEnum):
    NONE = "none"
    PENDING = "pending"
    VERIFIED = "verified"
    REJECTED = "rejected"


class Locale(StrEnum):
    ZH_CN = "zh-CN"
    EN = "en"


class ProfileColumns:
    """What the holder tells of the company; the same in a registration and in the account that it becomes."""

    company_name: Mapped[str] = mapped_column(String(128))
    industry: Mapped[str | None] = mapped_column(String(8))
    region: Mapped[str | None] = mapped_column(String(8))
    company_description: Mapped[str | None] = mapped_column(String(1000))
    contact_name: Mapped[str | None] = mapped_column(String(64))
    locale: Mapped[str] = mapped_column(String(8), default=Locale.EN)


class Account(Keyed, ProfileColumns, Base):
    """A Billing Center account. `email_key` and `username_key` are what is compared; `phone` is E.164."""

    __tablename__ = "accounts"
    __table_args__ = (
        Index("uq_accounts_username_key", "username_key", unique=True),
        Index("uq_accounts_email_key", "email_key", unique=True),
        Index("uq_accounts_phone", "phone", unique=True),
        one_of("status", Status),
        one_of("real_name_status", RealNameStatus),
        one_of("locale", Locale),
        index_where("ix_accounts_erase_at", "erase_at", where="erase_at IS NOT NULL"),
    )

    username: Mapped[str] = mapped_column(String(32))
    username_key: Mapped[str] = mapped_column(String(32))
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(320))
    phone: Mapped[str | None] = mapped_column(String(16))
    password_hash: Mapped[str | None] = mapped_column(Text)
    # An undone credential change: whoever changed it may know the password. It stays to refuse its reuse.
    password_revoked: Mapped[bool] = mapped_column(default=False)
    password_changed_at: Mapped[datetime | None]
    # Moves with email, phone and password: a flow that began before does nothing at its end.
    credentials_version: Mapped[int] = mapped_column(default=1)
    status: Mapped[str] = mapped_column(String(16), default=Status.ACTIVE)
    real_name_status: Mapped[str] = mapped_column(String(16), default=RealNameStatus.NONE)
    # Staff's permission to settle workspaces through any cloud provider, whatever their site.
    arbitrary_settlement: Mapped[bool] = mapped_column(default=False, server_default=false())
    time_zone: Mapped[str] = mapped_column(String(64))
    profile_version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)
    closed_at: Mapped[datetime | None]
    erase_at: Mapped[datetime | None]  # when a closed account's trail is deleted; NULL once it is

    @property
    def has_password(self) -> bool:
        return logs_in(self.password_hash, revoked=self.password_revoked)


def logs_in(password_hash: str | None, *, revoked: bool) -> bool:
    """Whether there is a password to log in with."""
    return password_hash is not None and not revoked


class AccountReference(Base):
    """The own reference under which a service made an account: asked again, it gets the same one."""

    __tablename__ = "account_references"
    __table_args__ = (Index("ix_account_references_account_id", "account_id"),)

    client_id: Mapped[UUID] = mapped_column(ForeignKey("service_clients.id", ondelete="CASCADE"), primary_key=True)
    reference: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary(32))  # of what was asked for, less the password


class Registration(Keyed, ProfileColumns, Base):
    """Somebody who asked for an account and has not proven the email yet."""

    __tablename__ = "registrations"
    __table_args__ = (Index("ix_registrations_expires_at", "expires_at"),)

    challenge_id: Mapped[UUID] = mapped_column(ForeignKey("challenges.id", ondelete="CASCADE"), index=True)
    username: Mapped[str] = mapped_column(String(32))
    email: Mapped[str] = mapped_column(String(254))
    phone: Mapped[str | None] = mapped_column(String(16))
    password_hash: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
