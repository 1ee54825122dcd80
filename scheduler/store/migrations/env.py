"""Run by Alembic, never imported: migrates over the connection, and in the transaction, that the store passes in."""

from __future__ import annotations

from alembic import context

from scheduler.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
