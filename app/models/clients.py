"""Service clients: the other services of Guance, and the staff tools, that call the internal surface."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.core.database import JsonDoc
from app.models.base import Base, Keyed


class ServiceClient(Keyed, Base):
    """An OAuth 2.0 client. Its name stands in the trail of what it did."""

    __tablename__ = "service_clients"
    __table_args__ = (Index("uq_service_clients_name", "name", unique=True),)

    name: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(JsonDoc)
    created_at: Mapped[datetime] = mapped_column(default=now)
    disabled_at: Mapped[datetime | None]


class ClientSecret(Keyed, Base):
    """A secret of a client, as its hash. Two may live, so that one can replace the other without a gap."""

    __tablename__ = "client_secrets"
    __table_args__ = (Index("ix_client_secrets_client_id", "client_id"),)

    client_id: Mapped[UUID] = mapped_column(ForeignKey("service_clients.id", ondelete="CASCADE"))
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    created_at: Mapped[datetime] = mapped_column(default=now)
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
