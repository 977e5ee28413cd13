"""The alembic environment of the notary's database."""
