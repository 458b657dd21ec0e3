# ruff: noqa: E501 - lists of values do not break
"""Real name.

Revises: 2026_11_23_service_surface
Made: 2026-11-23
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "2026_11_23_real_name"
down_revision: str | Sequence[str] | None = "2026_11_23_service_surface"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "data_keys",
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_keys")),
    )
    op.create_table(
        "real_name_documents",
        sa.Column("document_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("document_hash", name=op.f("pk_real_name_documents")),
    )
    op.create_table(
        "real_name_submissions",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("document_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("holds_document", sa.Boolean(), nullable=False),
        sa.Column("in_review", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(length=24), nullable=True),
        sa.Column("field", sa.String(length=24), nullable=True),
        sa.Column("proposed_by", sa.String(length=128), nullable=True),
        sa.Column("attempt_id", sa.Uuid(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("erase_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "reason IN ('mismatched', 'invalid_document', 'not_operating', 'not_found', 'review_needed', 'unclear_document', 'forged_document', 'other')",
            name=op.f("ck_real_name_submissions_reason_known"),
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'verified', 'rejected', 'cancelled')",
            name=op.f("ck_real_name_submissions_status_known"),
        ),
        sa.CheckConstraint("type IN ('enterprise', 'individual')", name=op.f("ck_real_name_submissions_type_known")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_real_name_submissions_account_id_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_real_name_submissions")),
    )
    op.create_index("ix_real_name_submissions_account_id", "real_name_submissions", ["account_id", "id"], unique=False)
    op.create_index(
        "ix_real_name_submissions_due",
        "real_name_submissions",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("status = 'pending' AND NOT in_review"),
        sqlite_where=sa.text("status = 'pending' AND NOT in_review"),
    )
    op.create_index(
        "ix_real_name_submissions_erase_at",
        "real_name_submissions",
        ["erase_at"],
        unique=False,
        postgresql_where=sa.text("erase_at IS NOT NULL"),
        sqlite_where=sa.text("erase_at IS NOT NULL"),
    )
    op.create_index("ix_real_name_submissions_key_id", "real_name_submissions", ["key_id"], unique=False)
    op.create_index(
        "ix_real_name_submissions_review",
        "real_name_submissions",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status = 'pending' AND in_review"),
        sqlite_where=sa.text("status = 'pending' AND in_review"),
    )
    op.create_index(
        "uq_real_name_submissions_in_force",
        "real_name_submissions",
        ["account_id"],
        unique=True,
        postgresql_where=sa.text("status = 'verified' AND superseded_at IS NULL"),
        sqlite_where=sa.text("status = 'verified' AND superseded_at IS NULL"),
    )
    op.create_index(
        "uq_real_name_submissions_pending",
        "real_name_submissions",
        ["account_id"],
        unique=True,
        postgresql_where=sa.text("status = 'pending'"),
        sqlite_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "real_name_calls",
        sa.Column("submission_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.String(length=16), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("detail", sa.String(length=64), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["submission_id"],
            ["real_name_submissions.id"],
            name=op.f("fk_real_name_calls_submission_id_real_name_submissions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_real_name_calls")),
    )
    op.create_index("ix_real_name_calls_submission_id", "real_name_calls", ["submission_id", "id"], unique=False)


def downgrade() -> None:
    op.drop_table("real_name_calls")
    op.drop_table("real_name_submissions")
    op.drop_table("real_name_documents")
    op.drop_table("data_keys")
