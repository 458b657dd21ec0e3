"""Indexes that a million rows ask for: what the worker forgets and catches up with, what staff looks through, and
the codes of an account that are open. Indexes of what is open serve only the statements that they are for: see
`app.models.base.index_where`.

On PostgreSQL they are built beside the writes of replicas that go on. One that is replaced keeps its name, and what it
holds unique is held so throughout. What a run that is broken off leaves behind (an index that is not valid, or one that
was replaced) the next run drops.

Revises: 2026_11_23_cloud_accounts
Made: 2026-11-23
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import sqlalchemy as sa
from alembic import op

revision: str = "2026_11_23_plans"
down_revision: str | Sequence[str] | None = "2026_11_23_cloud_accounts"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


class _Index(NamedTuple):
    name: str
    table: str
    columns: list[str]
    where: str | None = None
    unique: bool = False


_ADDED = [
    _Index("ix_challenges_open", "challenges", ["account_id"], "closed_at IS NULL AND account_id IS NOT NULL"),
    _Index("ix_credential_changes_expires_at", "credential_changes", ["expires_at"]),
    _Index("ix_cloud_notices_open", "cloud_notices", ["id"], "state IN ('received', 'waiting')"),
    _Index("ix_real_name_submissions_status", "real_name_submissions", ["status", "id"]),
]
_CHANGE = "state IN ('verify_current', 'propose', 'verify_new', 'waiting')"
# And the column that only the statements pick rows by which the index is for.
_NARROWED = [
    (_Index("uq_challenges_slot_live", "challenges", ["slot"], "closed_at IS NULL", unique=True), "slot"),
    (
        _Index("uq_credential_changes_open", "credential_changes", ["account_id", "credential"], _CHANGE, unique=True),
        "account_id",
    ),
    (_Index("ix_credential_changes_session_id_open", "credential_changes", ["session_id"], _CHANGE), "session_id"),
    (
        _Index(
            "uq_real_name_submissions_pending",
            "real_name_submissions",
            ["account_id"],
            "status = 'pending'",
            unique=True,
        ),
        "account_id",
    ),
    (
        _Index("ix_workspaces_account_id_bound", "workspaces", ["account_id", "id"], "dissolved_at IS NULL"),
        "account_id",
    ),
]


def upgrade() -> None:
    with _beside_writes() as concurrently:
        for index in _ADDED:
            _build(index, concurrently)
    _replace([index._replace(where=f"{index.where} AND {column} IS NOT NULL") for index, column in _NARROWED])


def downgrade() -> None:
    _replace([index for index, _ in reversed(_NARROWED)])
    with _beside_writes() as concurrently:
        for index in reversed(_ADDED):
            op.drop_index(index.name, index.table, postgresql_concurrently=concurrently)


def _build(index: _Index, concurrently: bool) -> None:
    if concurrently:
        op.drop_index(index.name, index.table, if_exists=True, postgresql_concurrently=True)
    where = None if index.where is None else sa.text(index.where)
    op.create_index(
        index.name,
        index.table,
        index.columns,
        unique=index.unique,
        postgresql_where=where,
        sqlite_where=where,
        postgresql_concurrently=concurrently,
    )


def _replace(indexes: list[_Index]) -> None:
    """Each by the one of its name."""
    with _beside_writes() as concurrently:
        for index in indexes:
            if concurrently:
                op.drop_index(f"{index.name}_old", index.table, if_exists=True, postgresql_concurrently=True)
                _build(index._replace(name=f"{index.name}_new"), concurrently)
            else:
                op.drop_index(index.name, index.table)
                _build(index, concurrently)
    if not concurrently:
        return
    for index in indexes:
        op.execute(f"ALTER INDEX {index.name} RENAME TO {index.name}_old")
        op.execute(f"ALTER INDEX {index.name}_new RENAME TO {index.name}")
    with _beside_writes():
        for index in indexes:
            op.drop_index(f"{index.name}_old", index.table, postgresql_concurrently=True)


@contextmanager
def _beside_writes() -> Iterator[bool]:
    """Whether the engine can: SQLite has one writer, and the run's transaction is its lock."""
    if op.get_bind().dialect.name != "postgresql":
        yield False
        return
    with op.get_context().autocommit_block():
        yield True
