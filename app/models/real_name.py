"""Real-name authentication: what was submitted, what became of it, and who was asked."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.models.base import Base, Keyed, index_where, one_of, unique_where


class SubmissionType(StrEnum):
    ENTERPRISE = "enterprise"
    INDIVIDUAL = "individual"


class SubmissionStatus(StrEnum):
    PENDING = "pending"
    VERIFIED = "verified"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


class Reason(StrEnum):
    """Why it was rejected, or (while it is pending) why staff looks at it."""

    MISMATCHED = "mismatched"
    INVALID_DOCUMENT = "invalid_document"
    NOT_OPERATING = "not_operating"
    NOT_FOUND = "not_found"
    REVIEW_NEEDED = "review_needed"  # nobody but staff can tell: abroad, or by setting
    UNCLEAR_DOCUMENT = "unclear_document"  # staff's own reasons from here on
    FORGED_DOCUMENT = "forged_document"
    OTHER = "other"


class DataKeyRow(Keyed, Base):
    """A key that seals personal data, itself sealed with the service's secret."""

    __tablename__ = "data_keys"

    sealed_secret: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Submission(Keyed, Base):
    """One submission. Names and numbers lie in `sealed`; `document_hash` finds the same document again.

    The verified one that no later one took the place of is in force. `holds_document`: it is counted against how many
    accounts the document may verify.
    """

    __tablename__ = "real_name_submissions"
    __table_args__ = (
        unique_where(
            "uq_real_name_submissions_pending", "account_id", where="status = 'pending' AND account_id IS NOT NULL"
        ),
        unique_where(
            "uq_real_name_submissions_in_force", "account_id", where="status = 'verified' AND superseded_at IS NULL"
        ),
        Index("ix_real_name_submissions_account_id", "account_id", "id"),
        index_where("ix_real_name_submissions_due", "due_at", where="status = 'pending' AND NOT in_review"),
        index_where("ix_real_name_submissions_review", "id", where="status = 'pending' AND in_review"),
        Index("ix_real_name_submissions_status", "status", "id"),
        Index("ix_real_name_submissions_key_id", "key_id"),
        index_where("ix_real_name_submissions_erase_at", "erase_at", where="erase_at IS NOT NULL"),
        one_of("type", SubmissionType),
        one_of("status", SubmissionStatus),
        one_of("reason", Reason),
    )

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String(16))
    country: Mapped[str] = mapped_column(String(2))
    status: Mapped[str] = mapped_column(String(16), default=SubmissionStatus.PENDING)
    key_id: Mapped[UUID]
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    document_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    holds_document: Mapped[bool]
    in_review: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[str | None] = mapped_column(String(24))
    field: Mapped[str | None] = mapped_column(String(24))
    proposed_by: Mapped[str | None] = mapped_column(String(128))  # the first of two who override a mismatch
    attempt_id: Mapped[UUID | None]  # the call that may write its verdict
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(default=now)  # moved ahead while a worker has it
    created_at: Mapped[datetime] = mapped_column(default=now)
    decided_at: Mapped[datetime | None]
    superseded_at: Mapped[datetime | None]
    erase_at: Mapped[datetime | None]  # when `sealed` is erased; NULL while it is needed, and once it is done


class ProviderCall(Keyed, Base):
    """One call to a provider, written before it is made: each may be billed, and none is made twice under one id."""

    __tablename__ = "real_name_calls"
    __table_args__ = (Index("ix_real_name_calls_submission_id", "submission_id", "id"),)

    submission_id: Mapped[UUID] = mapped_column(ForeignKey("real_name_submissions.id", ondelete="CASCADE"))
    provider: Mapped[str] = mapped_column(String(16))
    outcome: Mapped[str | None] = mapped_column(String(16))  # NULL: under way, or who made it died
    detail: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]


class DocumentUse(Base):
    """How many accounts a document stands for, verified or about to be."""

    __tablename__ = "real_name_documents"

    document_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    used: Mapped[int]
