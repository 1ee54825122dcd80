"""What one request or one job used, without a look at everything that was ever used."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_index("ix_energy_uses_subject", "energy_uses", ["subject_id"])


def downgrade() -> None:
    op.drop_index("ix_energy_uses_subject", "energy_uses")
