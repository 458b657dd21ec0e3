"""Challenges (one-time codes), and the budgets that bound them."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.models.base import Base, Keyed, index_where, one_of, unique_where


class Purpose(StrEnum):
    """What a code is good for; it is good for nothing else."""

    REGISTER = "register"
    LOGIN = "login"
    PASSWORD_RESET = "password_reset"
    FIRST_PASSWORD = "first_password"
    CHANGE_CURRENT = "change_current"
    CHANGE_NEW = "change_new"
    CLOUD_CLAIM = "cloud_claim"


class Lane(StrEnum):
    """Whose doing a code is. Budgets are kept by lane, so that strangers cannot use up the holder's."""

    OPEN = "open"  # anybody who typed an identifier
    KNOWN = "known"  # the same, from an address that the account has logged in from
    SESSION = "session"  # the logged-in holder, to a contact of the account
    CLAIM = "claim"  # somebody who says that a contact is theirs: registration, a new value


class Channel(StrEnum):
    EMAIL = "email"
    SMS = "sms"
    NONE = "none"  # nobody: the decoy behind an unknown identifier


class Challenge(Keyed, Base):
    """One question "what code did we send you?" through its re-sends. Only an HMAC of the code is kept.

    account_id is no foreign key: the check would tell by time whether an identifier is anybody's.
    """

    __tablename__ = "challenges"
    __table_args__ = (
        # "One live per purpose": a new challenge closes the one before it in its slot.
        unique_where("uq_challenges_slot_live", "slot", where="closed_at IS NULL AND slot IS NOT NULL"),
        Index("ix_challenges_account_id", "account_id"),
        index_where("ix_challenges_open", "account_id", where="closed_at IS NULL AND account_id IS NOT NULL"),
        Index("ix_challenges_expires_at", "expires_at"),
        one_of("purpose", Purpose),
        one_of("lane", Lane),
        one_of("channel", Channel),
    )

    purpose: Mapped[str] = mapped_column(String(16))
    lane: Mapped[str] = mapped_column(String(8))
    slot: Mapped[bytes] = mapped_column(LargeBinary(32))
    account_id: Mapped[UUID | None]
    channel: Mapped[str] = mapped_column(String(8))
    target: Mapped[str] = mapped_column(String(254))
    code_mac: Mapped[bytes] = mapped_column(LargeBinary(32))
    code_sent_at: Mapped[datetime]
    code_expires_at: Mapped[datetime]
    code_tries: Mapped[int] = mapped_column(default=0)
    tries: Mapped[int] = mapped_column(default=0)  # over the whole flow: carried into its next challenge
    sends: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class Budget(Base):
    """How often something happened in a window of time. `key` is an HMAC: it tells nothing of whom."""

    __tablename__ = "budgets"
    __table_args__ = (Index("ix_budgets_expires_at", "expires_at"),)

    key: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    used: Mapped[int]
    expires_at: Mapped[datetime]
