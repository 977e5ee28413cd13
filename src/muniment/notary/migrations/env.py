"""Run by alembic: applies the revisions on the connection that `database.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from muniment.notary.store_tables import metadata

# The caller owns the transaction, so that all revisions are applied or none.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
