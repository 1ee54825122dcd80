"""What the plan expected of each job when it first started."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "first_plans",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("planned_at_s", sa.Double, nullable=False),
        sa.Column("emissions_gco2e", sa.Double, nullable=False),
        sa.Column("at_once_emissions_gco2e", sa.Double, nullable=False),
    )
    op.create_index("ix_jobs_ended", "jobs", ["ended_at_s"])


def downgrade() -> None:
    op.drop_index("ix_jobs_ended", "jobs")
    op.drop_table("first_plans")
