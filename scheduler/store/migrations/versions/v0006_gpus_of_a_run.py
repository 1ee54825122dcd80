"""On how many GPUs the latest run of a job was started, and what its work would have used at once on its own number."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("gpus", sa.Integer))
    op.add_column("energy_uses", sa.Column("at_once_energy_kwh", sa.Double))
    op.add_column("energy_uses", sa.Column("at_once_lasted_s", sa.Double))


def downgrade() -> None:
    for column in ("at_once_lasted_s", "at_once_energy_kwh"):
        op.drop_column("energy_uses", column)
    op.drop_column("jobs", "gpus")
