"""Service surface.

Revises: 2026_11_23_account_core
Made: 2026-11-23
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "2026_11_23_service_surface"
down_revision: str | Sequence[str] | None = "2026_11_23_account_core"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ENDINGS = ("logout", "ended_by_holder", "credential_changed", "change_undone", "password_changed", "token_reused")


def _end_reasons(*reasons: str) -> None:
    listed = ", ".join(f"'{reason}'" for reason in reasons)
    with op.batch_alter_table("sessions") as sessions:
        sessions.drop_constraint(op.f("ck_sessions_end_reason_known"), type_="check")
        sessions.create_check_constraint(op.f("ck_sessions_end_reason_known"), f"end_reason IN ({listed})")


def upgrade() -> None:
    head = op.create_table(
        "event_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("forgotten", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_head")),
    )
    op.bulk_insert(head, [{"id": 1, "last": 0, "forgotten": 0}])
    op.create_table(
        "events",
        sa.Column(
            "written", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("type", sa.String(length=48), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("data", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("written", name=op.f("pk_events")),
    )
    op.create_index("ix_events_created_at", "events", ["created_at"], unique=False)
    op.create_index(
        "ix_events_written_unplaced",
        "events",
        ["written"],
        unique=False,
        postgresql_where=sa.text("position IS NULL"),
        sqlite_where=sa.text("position IS NULL"),
    )
    op.create_index("uq_events_id", "events", ["id"], unique=True)
    op.create_index("uq_events_position", "events", ["position"], unique=True)
    op.create_table(
        "service_clients",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_clients")),
    )
    op.create_index("uq_service_clients_name", "service_clients", ["name"], unique=True)
    op.create_table(
        "account_references",
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("reference", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_account_references_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["service_clients.id"],
            name=op.f("fk_account_references_client_id_service_clients"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("client_id", "reference", name=op.f("pk_account_references")),
    )
    op.create_index("ix_account_references_account_id", "account_references", ["account_id"], unique=False)
    op.create_table(
        "client_secrets",
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["service_clients.id"],
            name=op.f("fk_client_secrets_client_id_service_clients"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_secrets")),
    )
    op.create_index("ix_client_secrets_client_id", "client_secrets", ["client_id"], unique=False)
    op.create_table(
        "webhook_endpoints",
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("description", sa.String(length=200), nullable=True),
        sa.Column("event_types", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("previous_secret", sa.LargeBinary(), nullable=True),
        sa.Column("previous_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("pause_reason", sa.String(length=24), nullable=True),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "pause_reason IN ('requested', 'failing', 'gone', 'client_disabled')",
            name=op.f("ck_webhook_endpoints_pause_reason_known"),
        ),
        sa.CheckConstraint("status IN ('active', 'paused')", name=op.f("ck_webhook_endpoints_status_known")),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["service_clients.id"],
            name=op.f("fk_webhook_endpoints_client_id_service_clients"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
    )
    op.create_index("ix_webhook_endpoints_client_id", "webhook_endpoints", ["client_id"], unique=False)
    op.create_table(
        "workspaces",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("site", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dissolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_workspaces_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces")),
    )
    op.create_index(
        "ix_workspaces_account_id_bound",
        "workspaces",
        ["account_id", "id"],
        unique=False,
        postgresql_where=sa.text("dissolved_at IS NULL"),
        sqlite_where=sa.text("dissolved_at IS NULL"),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'delivered', 'failed')", name=op.f("ck_webhook_deliveries_state_known")
        ),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["webhook_endpoints.id"],
            name=op.f("fk_webhook_deliveries_endpoint_id_webhook_endpoints"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["position"], ["events.position"], name=op.f("fk_webhook_deliveries_position_events"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("endpoint_id", "position", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["endpoint_id", "due_at"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
        sqlite_where=sa.text("state = 'pending'"),
    )
    op.create_index("ix_webhook_deliveries_finished_at", "webhook_deliveries", ["finished_at"], unique=False)
    op.create_index("ix_webhook_deliveries_position", "webhook_deliveries", ["position"], unique=False)
    op.create_table(
        "webhook_attempts",
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(length=32), nullable=True),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('delivered', 'retrying', 'failed')", name=op.f("ck_webhook_attempts_outcome_known")
        ),
        sa.ForeignKeyConstraint(
            ["endpoint_id", "position"],
            ["webhook_deliveries.endpoint_id", "webhook_deliveries.position"],
            name="fk_webhook_attempts_delivery",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_attempts")),
    )
    op.create_index("ix_webhook_attempts_delivery", "webhook_attempts", ["endpoint_id", "position"], unique=False)
    op.create_index("ix_webhook_attempts_endpoint_id", "webhook_attempts", ["endpoint_id", "id"], unique=False)
    op.add_column(
        "accounts", sa.Column("arbitrary_settlement", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("accounts", sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("accounts", sa.Column("erase_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_accounts_erase_at",
        "accounts",
        ["erase_at"],
        unique=False,
        postgresql_where=sa.text("erase_at IS NOT NULL"),
        sqlite_where=sa.text("erase_at IS NOT NULL"),
    )
    op.add_column("activity", sa.Column("actor_name", sa.String(length=128), nullable=True))
    op.add_column("activity", sa.Column("reason", sa.String(length=500), nullable=True))
    op.add_column("activity", sa.Column("client_id", sa.Uuid(), nullable=True))
    op.add_column("login_tickets", sa.Column("client_id", sa.Uuid(), nullable=True))
    _end_reasons(*_ENDINGS, "ended_by_staff", "suspended", "closed")


def downgrade() -> None:
    op.execute(
        "UPDATE sessions SET end_reason = 'logout' WHERE end_reason IN ('ended_by_staff', 'suspended', 'closed')"
    )
    _end_reasons(*_ENDINGS)
    op.drop_column("login_tickets", "client_id")
    op.drop_column("activity", "client_id")
    op.drop_column("activity", "reason")
    op.drop_column("activity", "actor_name")
    op.drop_index(
        "ix_accounts_erase_at",
        table_name="accounts",
        postgresql_where=sa.text("erase_at IS NOT NULL"),
        sqlite_where=sa.text("erase_at IS NOT NULL"),
    )
    op.drop_column("accounts", "erase_at")
    op.drop_column("accounts", "closed_at")
    op.drop_column("accounts", "arbitrary_settlement")
    op.drop_table("webhook_attempts")
    op.drop_table("webhook_deliveries")
    op.drop_table("workspaces")
    op.drop_table("webhook_endpoints")
    op.drop_table("client_secrets")
    op.drop_table("account_references")
    op.drop_table("service_clients")
    op.drop_table("events")
    op.drop_table("event_head")
