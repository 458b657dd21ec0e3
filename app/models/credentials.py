"""Credential changes: one row a flow, from its start to its undoing."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.models.base import Base, Keyed, index_where, one_of, unique_where


class Credential(StrEnum):
    EMAIL = "email"
    PHONE = "phone"

    @property
    def other(self) -> "Credential":
        return Credential.PHONE if self is Credential.EMAIL else Credential.EMAIL


class Proof(StrEnum):
    """What proves the holder: the credential's current value, or (lost contact) the other credential."""

    CURRENT = "current"
    OTHER = "other"


class State(StrEnum):
    VERIFY_CURRENT = "verify_current"
    PROPOSE = "propose"
    VERIFY_NEW = "verify_new"
    WAITING = "waiting"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    UNDONE = "undone"


OPEN = (State.VERIFY_CURRENT, State.PROPOSE, State.VERIFY_NEW, State.WAITING)
_OPEN_SQL = "state IN ('verify_current', 'propose', 'verify_new', 'waiting')"


class CredentialChange(Keyed, Base):
    """verify_current -> propose -> verify_new -> completed, or -> waiting -> completed for a lost contact."""

    __tablename__ = "credential_changes"
    __table_args__ = (
        unique_where(
            "uq_credential_changes_open", "account_id", "credential", where=f"{_OPEN_SQL} AND account_id IS NOT NULL"
        ),
        Index("ix_credential_changes_account_id", "account_id", "credential", "completed_at"),
        index_where(
            "ix_credential_changes_session_id_open", "session_id", where=f"{_OPEN_SQL} AND session_id IS NOT NULL"
        ),
        Index("ix_credential_changes_expires_at", "expires_at"),
        index_where("ix_credential_changes_effective_at", "effective_at", where="state = 'waiting'"),
        Index("uq_credential_changes_undo_hash", "undo_hash", unique=True),
        one_of("credential", Credential),
        one_of("proof", Proof),
        one_of("state", State),
    )

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    session_id: Mapped[UUID]  # the one that started it; its end ends the flow
    credential: Mapped[str] = mapped_column(String(8))
    proof: Mapped[str] = mapped_column(String(8))
    state: Mapped[str] = mapped_column(String(16))
    base_version: Mapped[int]  # of the account's credentials at the start
    old_value: Mapped[str | None] = mapped_column(String(254))
    new_value: Mapped[str | None] = mapped_column(String(254))
    challenge_id: Mapped[UUID] = mapped_column(ForeignKey("challenges.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]  # of the step that it is in
    proven_at: Mapped[datetime | None]  # the current contact; a proof is good for some minutes
    effective_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    undo_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    undo_expires_at: Mapped[datetime | None]
