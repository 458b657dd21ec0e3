<%!
    def bare(steps):
        """Without alembic's remarks."""
        return "\n".join(line for line in steps.splitlines() if "# ###" not in line).strip()
%>\
# ruff: noqa: E501 - lists of values do not break
"""${message[:1].upper() + message[1:]}.

Revises: ${down_revision or "nothing" | comma,n}
Made: ${create_date.date()}
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision: str = ${repr(up_revision)}
down_revision: str | Sequence[str] | None = ${repr(down_revision)}
branch_labels: str | Sequence[str] | None = ${repr(branch_labels)}
depends_on: str | Sequence[str] | None = ${repr(depends_on)}


def upgrade() -> None:
    ${bare(upgrades) if upgrades else "pass"}


def downgrade() -> None:
    ${bare(downgrades) if downgrades else "pass"}
