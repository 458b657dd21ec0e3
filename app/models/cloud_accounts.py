"""Cloud accounts: subscriptions to Guance on cloud marketplaces, and what the providers said of them."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.core.database import JsonDoc
from app.models.base import Base, Keyed, index_where, one_of, unique_where


class CloudStatus(StrEnum):
    PENDING = "pending"  # known, not paid for yet
    ACTIVE = "active"
    FROZEN = "frozen"  # arrears: it may come back
    ENDED = "ended"  # unsubscribed, released, or never paid


class Effect(StrEnum):
    """What a provider's message does to a subscription, in one vocabulary for all providers."""

    REGISTERED = "registered"  # its buyer, keys or product became known
    ACTIVATED = "activated"
    CHANGED = "changed"
    FROZEN = "frozen"
    UNFROZEN = "unfrozen"
    ENDING = "ending"  # the last hour or days
    SUPERSEDED = "superseded"  # the agreement was renewed or replaced by another: its own end ends nothing
    CLOSED = "closed"  # it ended, and may be subscribed to again
    RELEASED = "released"  # the instance is gone for good: another purchase is another one
    FAILED = "failed"  # the buyer's payment failed: it never began
    NONE = "none"  # nothing: a test, or news without consequence
    UNKNOWN = "unknown"  # a type that is not known here: kept and counted


class NoticeState(StrEnum):
    RECEIVED = "received"  # kept, not acted on yet
    APPLIED = "applied"
    WAITING = "waiting"  # its subscription is not known yet
    AMBIGUOUS = "ambiguous"  # several subscriptions could be meant: for staff
    IGNORED = "ignored"  # it says nothing about a subscription
    DOUBTFUL = "doubtful"  # the same words were acted on before, and the provider could not be asked: for staff


class CloudAccount(Keyed, Base):
    """One subscription. `account_id` is NULL until a holder claims it; it never moves on to another account.

    `instance_id` and `account_number` are the provider's names of the subscription and of its buyer. `status` follows
    from the messages (services/standing.py).
    """

    __tablename__ = "cloud_accounts"
    __table_args__ = (
        Index("ix_cloud_accounts_account_id", "account_id", "id"),
        index_where("ix_cloud_accounts_ask_at", "ask_at", where="ask_at IS NOT NULL"),
        one_of("status", CloudStatus),
    )

    account_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))
    provider: Mapped[str] = mapped_column(String(16))
    account_number: Mapped[str | None] = mapped_column(String(255))
    instance_id: Mapped[str] = mapped_column(String(255))
    product: Mapped[str | None] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(16), default=CloudStatus.PENDING)
    status_at: Mapped[datetime]  # since when, by the provider's word
    ask_at: Mapped[datetime | None]  # when the provider is asked next who bought it; NULL once that is known
    asked: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)
    claimed_at: Mapped[datetime | None]


class CloudAccountKey(Base):
    """A name under which messages speak of a subscription. A strong one names no other; a weak one may name several."""

    __tablename__ = "cloud_account_keys"
    __table_args__ = (
        unique_where("uq_cloud_account_keys_strong", "provider", "key", where="strong"),
        Index("ix_cloud_account_keys_cloud_account_id", "cloud_account_id"),
    )

    provider: Mapped[str] = mapped_column(String(16), primary_key=True)
    key: Mapped[str] = mapped_column(String(600), primary_key=True)
    cloud_account_id: Mapped[UUID] = mapped_column(ForeignKey("cloud_accounts.id"), primary_key=True)
    strong: Mapped[bool]


class CloudNotice(Keyed, Base):
    """A provider's message, kept before it is answered. `body` is what can be read again, secrets stripped."""

    __tablename__ = "cloud_notices"
    __table_args__ = (
        Index("uq_cloud_notices_dedup", "provider", "dedup", unique=True),
        Index("ix_cloud_notices_cloud_account_id", "cloud_account_id"),
        index_where("ix_cloud_notices_state", "state", "id", where="state <> 'applied'"),
        index_where("ix_cloud_notices_open", "id", where="state IN ('received', 'waiting')"),
        one_of("effect", Effect),
        one_of("state", NoticeState),
    )

    provider: Mapped[str] = mapped_column(String(16))
    channel: Mapped[str] = mapped_column(String(64))
    type: Mapped[str] = mapped_column(String(128))
    effect: Mapped[str] = mapped_column(String(16))
    strand: Mapped[str] = mapped_column(String(255))
    dedup: Mapped[bytes] = mapped_column(LargeBinary(32))  # SHA-256 of what makes it the same message
    event_at: Mapped[datetime]  # by the provider's word, else when it came
    body: Mapped[dict[str, Any]] = mapped_column(JsonDoc)
    state: Mapped[str] = mapped_column(String(16), default=NoticeState.RECEIVED)
    cloud_account_id: Mapped[UUID | None] = mapped_column(ForeignKey("cloud_accounts.id"))
    repeats: Mapped[int] = mapped_column(default=0)  # how often it came again
    created_at: Mapped[datetime] = mapped_column(default=now)
    applied_at: Mapped[datetime | None]


class CloudNoticeKey(Base):
    """Under which keys a message that waits can be found, once its subscription becomes known."""

    __tablename__ = "cloud_notice_keys"
    __table_args__ = (Index("ix_cloud_notice_keys_key", "provider", "key"),)

    notice_id: Mapped[UUID] = mapped_column(ForeignKey("cloud_notices.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(600), primary_key=True)
    provider: Mapped[str] = mapped_column(String(16))


class MarketplaceNonce(Base):
    """A signed call that was accepted: once and never again. Kept for as long as its signature would be good."""

    __tablename__ = "marketplace_nonces"
    __table_args__ = (Index("ix_marketplace_nonces_expires_at", "expires_at"),)

    nonce: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)  # SHA-256 of provider and nonce
    expires_at: Mapped[datetime]


class MarketplaceClaim(Base):
    """A customer who came from a marketplace: whoever holds the token may take the subscription, once."""

    __tablename__ = "marketplace_claims"
    __table_args__ = (
        Index("ix_marketplace_claims_cloud_account_id", "cloud_account_id"),
        Index("ix_marketplace_claims_expires_at", "expires_at"),
    )

    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    cloud_account_id: Mapped[UUID] = mapped_column(ForeignKey("cloud_accounts.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
