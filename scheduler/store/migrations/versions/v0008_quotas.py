"""Quotas of tenants that are set while the daemon runs, a row for each limit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "tenant_quotas",
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("what", sa.Text, primary_key=True),
        sa.Column("per", sa.Text, primary_key=True),
        sa.Column("most_cost", sa.Double, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("tenant_quotas")
