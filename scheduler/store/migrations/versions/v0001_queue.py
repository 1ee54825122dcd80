"""The queue: jobs, launched periods, uses of energy, notes of the daemon."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("body_sha256", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("lost_attempts", sa.Integer, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("lease_expires_at_s", sa.Double),
        sa.Column("region", sa.Text),
        sa.Column("started_at_s", sa.Double),
        sa.Column("ended_at_s", sa.Double),
        sa.Column("done_s", sa.Double, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("changed_at_s", sa.Double, nullable=False),
        sa.Column("result", sa.Text),
        sa.UniqueConstraint("id", name="uq_jobs_id"),
        sa.UniqueConstraint("tenant", "idempotency_key", name="uq_jobs_tenant_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_state_sequence", "jobs", ["state", "sequence"])
    op.create_index("ix_jobs_tenant_sequence", "jobs", ["tenant", "sequence"])
    op.create_table(
        "launched_periods",
        sa.Column("launch", sa.Text, primary_key=True),
        sa.Column("period", sa.Text, primary_key=True),
        sa.Column("job_id", sa.Text, nullable=False),
    )
    op.create_table(
        "energy_uses",
        sa.Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("subject_id", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("started_at_s", sa.Double, nullable=False),
        sa.Column("ended_at_s", sa.Double, nullable=False),
        sa.Column("energy_kwh", sa.Double, nullable=False),
        sa.Column("basis", sa.Text, nullable=False),
        sa.Column("pue", sa.Double, nullable=False),
        sa.Column("at_once_at_s", sa.Double, nullable=False),
        sa.Column("at_once_zone", sa.Text, nullable=False),
        sa.Column("at_once_pue", sa.Double, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_energy_uses_started", "energy_uses", ["started_at_s"])
    op.create_table("meta", sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False))


def downgrade() -> None:
    for table in ("meta", "energy_uses", "launched_periods", "jobs"):
        op.drop_table(table)
