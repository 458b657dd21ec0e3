"""Webhooks: where events are sent to, what is on its way, and every attempt."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.core.database import JsonDoc
from app.models.base import Base, Keyed, index_where, one_of


class EndpointStatus(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"


class PauseReason(StrEnum):
    REQUESTED = "requested"
    FAILING = "failing"  # nothing was taken for longer than the setting says
    GONE = "gone"  # it answered 410
    CLIENT_DISABLED = "client_disabled"


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # the last attempt of the schedule failed


class Outcome(StrEnum):
    DELIVERED = "delivered"
    RETRYING = "retrying"
    FAILED = "failed"


class WebhookEndpoint(Keyed, Base):
    """A URL of a client that is sent events. `position` is up to where the feed was looked through for it.

    While `leased_until` is ahead one worker serves it; its secrets are sealed.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        Index("ix_webhook_endpoints_client_id", "client_id"),
        one_of("status", EndpointStatus),
        one_of("pause_reason", PauseReason),
    )

    client_id: Mapped[UUID] = mapped_column(ForeignKey("service_clients.id", ondelete="CASCADE"))
    url: Mapped[str] = mapped_column(String(2000))
    description: Mapped[str | None] = mapped_column(String(200))
    event_types: Mapped[list[str]] = mapped_column(JsonDoc)  # empty: all
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    previous_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_until: Mapped[datetime | None]  # the previous secret signs beside the new one until then
    status: Mapped[str] = mapped_column(String(16), default=EndpointStatus.ACTIVE)
    pause_reason: Mapped[str | None] = mapped_column(String(24))
    paused_at: Mapped[datetime | None]
    failing_since: Mapped[datetime | None]  # the first failure after the last success
    position: Mapped[int] = mapped_column(BigInteger)
    leased_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)


class WebhookDelivery(Base):
    """One event on its way to one endpoint."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        index_where("ix_webhook_deliveries_due", "endpoint_id", "due_at", where="state = 'pending'"),
        Index("ix_webhook_deliveries_position", "position"),
        Index("ix_webhook_deliveries_finished_at", "finished_at"),
        one_of("state", DeliveryState),
    )

    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("events.position", ondelete="CASCADE"), primary_key=True
    )
    state: Mapped[str] = mapped_column(String(16), default=DeliveryState.PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]


class WebhookAttempt(Keyed, Base):
    """One request to an endpoint: `status` of its answer, or in `error` a word for why there was none."""

    __tablename__ = "webhook_attempts"
    __table_args__ = (
        ForeignKeyConstraint(
            ["endpoint_id", "position"],
            ["webhook_deliveries.endpoint_id", "webhook_deliveries.position"],
            ondelete="CASCADE",
            name="fk_webhook_attempts_delivery",
        ),
        Index("ix_webhook_attempts_endpoint_id", "endpoint_id", "id"),
        Index("ix_webhook_attempts_delivery", "endpoint_id", "position"),
        one_of("outcome", Outcome),
    )

    endpoint_id: Mapped[UUID]
    position: Mapped[int] = mapped_column(BigInteger)
    number: Mapped[int]
    outcome: Mapped[str] = mapped_column(String(16))
    status: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(String(32))
    milliseconds: Mapped[int]
    next_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
