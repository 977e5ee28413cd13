"""Several notaries on one database: whose a file and a batch are, and leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from muniment.database.revising import make_table

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    """Add the columns and the table. What is there already is an only notary's, whose name is empty."""
    for table in ("batches", "files"):
        columns = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
        if "replica" not in columns:
            op.add_column(table, sa.Column("replica", sa.String(32), nullable=False, server_default=""))
    make_table(
        "notary_leases",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("holder", sa.String(32), nullable=False),
        sa.Column("term", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
