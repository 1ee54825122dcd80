"""How well the energy of a use is known: the error class of the profile or the meter that it came from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("energy_uses", sa.Column("error_class", sa.Text))


def downgrade() -> None:
    op.drop_column("energy_uses", "error_class")
