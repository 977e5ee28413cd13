"""Revisions of the privacy store's tables (alembic)."""
