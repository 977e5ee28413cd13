"""The notary's tables. Types are portable between SQLite, MySQL/MariaDB and PostgreSQL.

A file's state is that of its batch (or `received` while it has none), so that a step of a batch is one changed row,
however many files it holds.
"""

from __future__ import annotations

import sqlalchemy as sa

ID_LENGTH = 37
NAME_LENGTH = 1024
CAUSE_LENGTH = 1000
REPLICA_LENGTH = 32

metadata = sa.MetaData()

requests = sa.Table(
    "requests",
    metadata,
    sa.Column("key_digest", sa.String(64), primary_key=True),
    sa.Column("request", sa.String(32), nullable=False),
    sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
    sa.Column("received_at", sa.BigInteger, nullable=False),
)

batches = sa.Table(
    "batches",
    metadata,
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
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("retry_at", sa.BigInteger, nullable=False, default=0),
    sa.Column("cause", sa.String(CAUSE_LENGTH), nullable=False, default=""),
    sa.Column("holders", sa.String(4096), nullable=False, default=""),
    sa.Column("outbox_raw", sa.LargeBinary(8192)),
    sa.Column("outbox_hash", sa.String(66)),
    sa.Column("outbox_nonce", sa.BigInteger),
    sa.Column("anchor_transaction", sa.String(66)),
    sa.Column("anchor_block", sa.BigInteger),
    sa.Column("anchor_block_hash", sa.String(66)),
    sa.Column("anchor_block_time", sa.BigInteger),
    sa.Column("anchor_log_index", sa.Integer),
    sa.Column("anchor_seq", sa.BigInteger),
    sa.Column("replica", sa.String(REPLICA_LENGTH), nullable=False, default=""),
    sa.Index("batches_state", "state", "number"),
)

files = sa.Table(
    "files",
    metadata,
    sa.Column("id", sa.String(ID_LENGTH), primary_key=True),
    sa.Column("name", sa.String(NAME_LENGTH), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.LargeBinary(32), nullable=False),
    sa.Column("cid", sa.String(128), nullable=False),
    sa.Column("dag_size", sa.BigInteger, nullable=False),
    sa.Column("statement", sa.LargeBinary(2048), nullable=False),
    sa.Column("segment", sa.BigInteger, nullable=False),
    sa.Column("segment_offset", sa.BigInteger, nullable=False),
    sa.Column("received_at", sa.BigInteger, nullable=False),
    sa.Column("batch", sa.BigInteger, sa.ForeignKey("batches.number")),
    # Whose spool holds its content; empty where there is one notary only.
    sa.Column("replica", sa.String(REPLICA_LENGTH), nullable=False, default=""),
    # Both the files without a batch and the leaves of one, in leaf order, are a stretch of this index.
    sa.Index("files_batch", "batch", "id"),
)

leases = sa.Table(
    "notary_leases",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("holder", sa.String(REPLICA_LENGTH), nullable=False),
    # Grows whenever the lease passes to somebody (see `leasing`).
    sa.Column("term", sa.BigInteger, nullable=False),
    # Milliseconds since 1970 by the database's clock.
    sa.Column("until", sa.BigInteger, nullable=False),
)
