"""Jobs that somebody has put on hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("on_hold_at_s", sa.Double))


def downgrade() -> None:
    op.drop_column("jobs", "on_hold_at_s")
