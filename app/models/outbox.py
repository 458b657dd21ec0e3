"""Messages on their way to a holder: written with the change that they tell of, delivered afterwards."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.core.database import JsonDoc
from app.models.base import Base, Keyed, index_where, one_of
from app.models.verification import Channel


class Delivery(StrEnum):
    QUEUED = "queued"
    SENT = "sent"
    ABANDONED = "abandoned"  # the receiver refused it for good, or every attempt failed
    EXPIRED = "expired"  # the code in it was past its time before it could be sent


class OutboxMessage(Keyed, Base):
    """One message; its id is the same in every attempt, so that a repeat can be told.

    `params` is shown to operators; `sealed` holds what must not be (codes, tokens) and is erased when the message is
    delivered or given up.
    """

    __tablename__ = "outbox_messages"
    __table_args__ = (
        index_where("ix_outbox_messages_due", "channel", "due_at", where="state = 'queued'"),
        Index("ix_outbox_messages_finished_at", "finished_at"),
        one_of("state", Delivery),
        one_of("channel", Channel),
    )

    channel: Mapped[str] = mapped_column(String(8))
    to: Mapped[str] = mapped_column(String(254))
    template: Mapped[str] = mapped_column(String(48))
    locale: Mapped[str] = mapped_column(String(8))
    params: Mapped[dict[str, str]] = mapped_column(JsonDoc)
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(16), default=Delivery.QUEUED)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(default=now)  # moved ahead while a worker has it (its lease)
    expires_at: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]
