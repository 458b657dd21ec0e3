"""Answers kept for `Idempotency-Key`."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import JsonDoc
from app.models.base import Base


class IdempotentAnswer(Base):
    """The answer given to a key, or (status NULL) the claim of the request that is computing it."""

    __tablename__ = "idempotent_answers"
    __table_args__ = (Index("ix_idempotent_answers_expires_at", "expires_at"),)

    key: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)  # hash of caller and key
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary(32))  # of method, path and body
    status: Mapped[int | None]
    headers: Mapped[dict[str, str] | None] = mapped_column(JsonDoc)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    locked_until: Mapped[datetime]
    expires_at: Mapped[datetime]
