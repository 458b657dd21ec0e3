"""Indexes that a million rows ask for: what the worker forgets and catches up with, what staff looks through, and
the codes of an account that are open.

Only adds. On PostgreSQL they are built beside the writes of replicas that go on; a run that is broken off leaves an
index behind that is not valid, which the next run drops and builds anew.

Revises: 2026_11_23_cloud_accounts
Made: 2026-11-23
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

revision: str = "2026_11_23_plans"
down_revision: str | Sequence[str] | None = "2026_11_23_cloud_accounts"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_OPEN = sa.text("state IN ('received', 'waiting')")
_LIVE = sa.text("closed_at IS NULL")
_INDEXES = {
    "ix_challenges_open": ("challenges", ["account_id"], _LIVE),
    "ix_credential_changes_expires_at": ("credential_changes", ["expires_at"], None),
    "ix_cloud_notices_open": ("cloud_notices", ["id"], _OPEN),
    "ix_real_name_submissions_status": ("real_name_submissions", ["status", "id"], None),
}


def upgrade() -> None:
    with _beside_writes() as concurrently:
        for name, (table, columns, where) in _INDEXES.items():
            if concurrently:
                op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
            op.create_index(
                name,
                table,
                columns,
                postgresql_where=where,
                sqlite_where=where,
                postgresql_concurrently=concurrently,
            )


def downgrade() -> None:
    with _beside_writes() as concurrently:
        for name, (table, _, _) in reversed(_INDEXES.items()):
            op.drop_index(name, table, postgresql_concurrently=concurrently)


@contextmanager
def _beside_writes() -> Iterator[bool]:
    """Whether the engine can: SQLite has one writer, and the run's transaction is its lock."""
    if op.get_bind().dialect.name != "postgresql":
        yield False
        return
    with op.get_context().autocommit_block():
        yield True
