"""The tables of the queue. The migrations build the same ones, and a test compares the two."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, MetaData, Table, Text, UniqueConstraint

METADATA = MetaData()

# SQLite numbers rows by itself only in a column that is called INTEGER to the letter.
_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")

JOBS = Table(
    "jobs",
    METADATA,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("job", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("body_sha256", Text),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("lost_attempts", Integer, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("holder", Text),
    Column("lease_expires_at_s", Double),
    Column("region", Text),
    Column("started_at_s", Double),
    Column("ended_at_s", Double),
    Column("done_s", Double, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_at_s", Double, nullable=False),
    Column("result", Text),
    Column("gpus", Integer),
    Column("on_hold_at_s", Double),
    UniqueConstraint("id", name="uq_jobs_id"),
    UniqueConstraint("tenant", "idempotency_key", name="uq_jobs_tenant_key"),
    Index("ix_jobs_state_sequence", "state", "sequence"),
    Index("ix_jobs_tenant_sequence", "tenant", "sequence"),
    Index("ix_jobs_ended", "ended_at_s"),
    sqlite_autoincrement=True,
)

LAUNCHED_PERIODS = Table(
    "launched_periods",
    METADATA,
    Column("launch", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("job_id", Text, nullable=False),
)

ENERGY_USES = Table(
    "energy_uses",
    METADATA,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("subject", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("started_at_s", Double, nullable=False),
    Column("ended_at_s", Double, nullable=False),
    Column("energy_kwh", Double, nullable=False),
    Column("basis", Text, nullable=False),
    Column("pue", Double, nullable=False),
    Column("at_once_at_s", Double, nullable=False),
    Column("at_once_zone", Text, nullable=False),
    Column("at_once_pue", Double, nullable=False),
    Column("model", Text, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("at_once_energy_kwh", Double),
    Column("at_once_lasted_s", Double),
    Column("error_class", Text),
    Index("ix_energy_uses_started", "started_at_s"),
    Index("ix_energy_uses_subject", "subject_id"),
)

FILES = Table(
    "files",
    METADATA,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at_s", Double, nullable=False),
    Column("expires_at_s", Double),
    UniqueConstraint("id", name="uq_files_id"),
    Index("ix_files_expires", "expires_at_s"),
    sqlite_autoincrement=True,
)

BATCHES = Table(
    "batches",
    METADATA,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("batch", Text, nullable=False),
    UniqueConstraint("id", name="uq_batches_id"),
    Index("ix_batches_status_sequence", "status", "sequence"),
    sqlite_autoincrement=True,
)

KEYS = Table(
    "keys",
    METADATA,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("tenant", Text),
    Column("scopes", Text, nullable=False),
    Column("key_sha256", Text, nullable=False),
    Column("created_at_s", Double, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("expires_at_s", Double),
    Column("revoked_at_s", Double),
    Column("replaced_by", Text),
    UniqueConstraint("id", name="uq_keys_id"),
    sqlite_autoincrement=True,
)

AUDIT = Table(
    "audit",
    METADATA,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("at_s", Double, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("tenant", Text),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("code", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Index("ix_audit_tenant_sequence", "tenant", "sequence"),
    sqlite_autoincrement=True,
)

TENANT_USE = Table(
    "tenant_use",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("month", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("energy_kwh", Double, nullable=False),
    Column("emissions_gco2e", Double, nullable=False),
    Column("energy_usd", Double, nullable=False),
    Column("unpriced_kwh", Double, nullable=False),
)

FIRST_PLANS = Table(
    "first_plans",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("planned_at_s", Double, nullable=False),
    Column("emissions_gco2e", Double, nullable=False),
    Column("at_once_emissions_gco2e", Double, nullable=False),
)

TENANT_QUOTAS = Table(
    "tenant_quotas",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("what", Text, primary_key=True),
    Column("per", Text, primary_key=True),
    Column("most_cost", Double, nullable=False),
)

META = Table("meta", METADATA, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))
