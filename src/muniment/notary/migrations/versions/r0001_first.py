"""The first tables: requests, batches, files."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from muniment.database.revising import make_index, make_table

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    """Make the tables."""
    make_table(
        "requests",
        sa.Column("key_digest", sa.String(64), primary_key=True),
        sa.Column("request", sa.String(32), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
    )
    make_table(
        "batches",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("content_bytes", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("header", sa.LargeBinary(2048), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("previous", sa.LargeBinary(32), nullable=False),
        sa.Column("directory", sa.String(128), nullable=False),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("closed_at", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("retry_at", sa.BigInteger, nullable=False),
        sa.Column("cause", sa.String(1000), nullable=False),
        sa.Column("holders", sa.String(4096), nullable=False),
        sa.Column("outbox_raw", sa.LargeBinary(8192)),
        sa.Column("outbox_hash", sa.String(66)),
        sa.Column("outbox_nonce", sa.BigInteger),
        sa.Column("anchor_transaction", sa.String(66)),
        sa.Column("anchor_block", sa.BigInteger),
        sa.Column("anchor_block_hash", sa.String(66)),
        sa.Column("anchor_block_time", sa.BigInteger),
        sa.Column("anchor_log_index", sa.Integer),
        sa.Column("anchor_seq", sa.BigInteger),
    )
    make_index("batches_state", "batches", ["state", "number"])
    make_table(
        "files",
        sa.Column("id", sa.String(37), primary_key=True),
        sa.Column("name", sa.String(1024), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("cid", sa.String(128), nullable=False),
        sa.Column("dag_size", sa.BigInteger, nullable=False),
        sa.Column("statement", sa.LargeBinary(2048), nullable=False),
        sa.Column("segment", sa.BigInteger, nullable=False),
        sa.Column("segment_offset", sa.BigInteger, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("batch", sa.BigInteger, sa.ForeignKey("batches.number")),
    )
    make_index("files_batch", "files", ["batch", "id"])


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("files")
    op.drop_table("batches")
    op.drop_table("requests")
