# ruff: noqa: E501 - lists of values do not break
"""Cloud accounts.

Revises: 2026_11_23_real_name
Made: 2026-11-23
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "2026_11_23_cloud_accounts"
down_revision: str | Sequence[str] | None = "2026_11_23_real_name"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_PURPOSES = ("register", "login", "password_reset", "first_password", "change_current", "change_new")


def upgrade() -> None:
    op.create_table(
        "marketplace_nonces",
        sa.Column("nonce", sa.LargeBinary(length=32), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("nonce", name=op.f("pk_marketplace_nonces")),
    )
    op.create_index("ix_marketplace_nonces_expires_at", "marketplace_nonces", ["expires_at"], unique=False)

    op.create_table(
        "cloud_accounts",
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("provider", sa.String(length=16), nullable=False),
        sa.Column("account_number", sa.String(length=255), nullable=True),
        sa.Column("instance_id", sa.String(length=255), nullable=False),
        sa.Column("product", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ask_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'active', 'frozen', 'ended')", name=op.f("ck_cloud_accounts_status_known")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_cloud_accounts_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cloud_accounts")),
    )
    op.create_index("ix_cloud_accounts_account_id", "cloud_accounts", ["account_id", "id"], unique=False)
    op.create_index(
        "ix_cloud_accounts_ask_at",
        "cloud_accounts",
        ["ask_at"],
        unique=False,
        postgresql_where=sa.text("ask_at IS NOT NULL"),
        sqlite_where=sa.text("ask_at IS NOT NULL"),
    )

    op.create_table(
        "cloud_account_keys",
        sa.Column("provider", sa.String(length=16), nullable=False),
        sa.Column("key", sa.String(length=600), nullable=False),
        sa.Column("cloud_account_id", sa.Uuid(), nullable=False),
        sa.Column("strong", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cloud_account_id"],
            ["cloud_accounts.id"],
            name=op.f("fk_cloud_account_keys_cloud_account_id_cloud_accounts"),
        ),
        sa.PrimaryKeyConstraint("provider", "key", "cloud_account_id", name=op.f("pk_cloud_account_keys")),
    )
    op.create_index("ix_cloud_account_keys_cloud_account_id", "cloud_account_keys", ["cloud_account_id"], unique=False)
    op.create_index(
        "uq_cloud_account_keys_strong",
        "cloud_account_keys",
        ["provider", "key"],
        unique=True,
        postgresql_where=sa.text("strong"),
        sqlite_where=sa.text("strong"),
    )

    op.create_table(
        "cloud_notices",
        sa.Column("provider", sa.String(length=16), nullable=False),
        sa.Column("channel", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=128), nullable=False),
        sa.Column("effect", sa.String(length=16), nullable=False),
        sa.Column("strand", sa.String(length=255), nullable=False),
        sa.Column("dedup", sa.LargeBinary(length=32), nullable=False),
        sa.Column("event_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("cloud_account_id", sa.Uuid(), nullable=True),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "effect IN ('registered', 'activated', 'changed', 'frozen', 'unfrozen', 'ending', 'superseded', 'closed', 'released', 'failed', 'none', 'unknown')",
            name=op.f("ck_cloud_notices_effect_known"),
        ),
        sa.CheckConstraint(
            "state IN ('received', 'applied', 'waiting', 'ambiguous', 'ignored', 'doubtful')",
            name=op.f("ck_cloud_notices_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["cloud_account_id"], ["cloud_accounts.id"], name=op.f("fk_cloud_notices_cloud_account_id_cloud_accounts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cloud_notices")),
    )
    op.create_index("ix_cloud_notices_cloud_account_id", "cloud_notices", ["cloud_account_id"], unique=False)
    op.create_index(
        "ix_cloud_notices_state",
        "cloud_notices",
        ["state", "id"],
        unique=False,
        postgresql_where=sa.text("state <> 'applied'"),
        sqlite_where=sa.text("state <> 'applied'"),
    )
    op.create_index("uq_cloud_notices_dedup", "cloud_notices", ["provider", "dedup"], unique=True)

    op.create_table(
        "marketplace_claims",
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("cloud_account_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["cloud_account_id"],
            ["cloud_accounts.id"],
            name=op.f("fk_marketplace_claims_cloud_account_id_cloud_accounts"),
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_marketplace_claims")),
    )
    op.create_index("ix_marketplace_claims_cloud_account_id", "marketplace_claims", ["cloud_account_id"], unique=False)
    op.create_index("ix_marketplace_claims_expires_at", "marketplace_claims", ["expires_at"], unique=False)

    op.create_table(
        "settlements",
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("follows", sa.DateTime(timezone=True), nullable=True),
        sa.Column("method", sa.String(length=16), nullable=False),
        sa.Column("cloud_account_id", sa.Uuid(), nullable=True),
        sa.Column("cause", sa.String(length=16), nullable=False),
        sa.Column("lock_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "(cause = 'locked') = (lock_ends_at IS NOT NULL)", name=op.f("ck_settlements_lock_has_an_end")
        ),
        sa.CheckConstraint(
            "(method = 'cloud_account') = (cloud_account_id IS NOT NULL)",
            name=op.f("ck_settlements_names_its_cloud_account"),
        ),
        sa.CheckConstraint(
            "cause IN ('created', 'chosen', 'unlocked', 'locked', 'fell_back', 'resumed', 'resubscribed')",
            name=op.f("ck_settlements_cause_known"),
        ),
        sa.CheckConstraint("method IN ('billing_center', 'cloud_account')", name=op.f("ck_settlements_method_known")),
        sa.CheckConstraint("follows < effective_from", name=op.f("ck_settlements_in_order")),
        sa.ForeignKeyConstraint(
            ["cloud_account_id"], ["cloud_accounts.id"], name=op.f("fk_settlements_cloud_account_id_cloud_accounts")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "follows"],
            ["settlements.workspace_id", "settlements.effective_from"],
            name=op.f("fk_settlements_workspace_id_follows_settlements"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settlements")),
        sa.UniqueConstraint("workspace_id", "effective_from", name=op.f("uq_settlements_workspace_id_effective_from")),
        sa.UniqueConstraint("workspace_id", "follows", name=op.f("uq_settlements_workspace_id_follows")),
    )
    op.create_index(
        "ix_settlements_cloud_account_id",
        "settlements",
        ["cloud_account_id"],
        unique=False,
        postgresql_where=sa.text("cloud_account_id IS NOT NULL"),
        sqlite_where=sa.text("cloud_account_id IS NOT NULL"),
    )
    op.create_index(
        "uq_settlements_first",
        "settlements",
        ["workspace_id"],
        unique=True,
        postgresql_where=sa.text("follows IS NULL"),
        sqlite_where=sa.text("follows IS NULL"),
    )

    op.create_table(
        "cloud_notice_keys",
        sa.Column("notice_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=600), nullable=False),
        sa.Column("provider", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["notice_id"],
            ["cloud_notices.id"],
            name=op.f("fk_cloud_notice_keys_notice_id_cloud_notices"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("notice_id", "key", name=op.f("pk_cloud_notice_keys")),
    )
    op.create_index("ix_cloud_notice_keys_key", "cloud_notice_keys", ["provider", "key"], unique=False)

    _settle_workspaces()
    _know_purposes(*_PURPOSES, "cloud_claim")


def _settle_workspaces() -> None:
    """Each was paid for by the Billing Center since it became known: until now there was nothing else."""
    random, began = "lower(hex(randomblob(16)))", "substr(created_at, 1, 23) || '000'"  # whole milliseconds
    if op.get_bind().dialect.name == "postgresql":
        random, began = "gen_random_uuid()", "date_trunc('milliseconds', created_at)"
    op.execute(
        "INSERT INTO settlements (id, workspace_id, effective_from, method, cause) "  # noqa: S608 - no values
        f"SELECT {random}, id, {began}, 'billing_center', 'created' FROM workspaces"
    )
    with op.batch_alter_table("workspaces", schema=None) as batch_op:
        batch_op.add_column(sa.Column("settled_from", sa.DateTime(timezone=True), nullable=True))
    op.execute(f"UPDATE workspaces SET settled_from = {began}")  # noqa: S608 - no values
    with op.batch_alter_table("workspaces", schema=None) as batch_op:
        batch_op.alter_column("settled_from", existing_type=sa.DateTime(timezone=True), nullable=False)
        batch_op.create_foreign_key(
            batch_op.f("fk_workspaces_id_settled_from_settlements"),
            "settlements",
            ["id", "settled_from"],
            ["workspace_id", "effective_from"],
        )


def _know_purposes(*purposes: str) -> None:
    listed = ", ".join(f"'{purpose}'" for purpose in purposes)
    with op.batch_alter_table("challenges", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_challenges_purpose_known"), type_="check")
        batch_op.create_check_constraint(batch_op.f("ck_challenges_purpose_known"), f"purpose IN ({listed})")


def downgrade() -> None:
    op.execute("DELETE FROM challenges WHERE purpose = 'cloud_claim'")
    _know_purposes(*_PURPOSES)
    with op.batch_alter_table("workspaces", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_workspaces_id_settled_from_settlements"), type_="foreignkey")
        batch_op.drop_column("settled_from")

    op.drop_table("cloud_notice_keys")
    op.drop_table("settlements")
    op.drop_table("marketplace_claims")
    op.drop_table("cloud_notices")
    op.drop_table("cloud_account_keys")
    op.drop_table("cloud_accounts")
    op.drop_table("marketplace_nonces")
