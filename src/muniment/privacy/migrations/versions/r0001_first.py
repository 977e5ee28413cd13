"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision: str | None = None


def _fixed(length: int) -> sa.types.TypeEngine[bytes]:
    return sa.LargeBinary(length).with_variant(mysql.BINARY(length), "mysql", "mariadb")


def _large() -> sa.types.TypeEngine[bytes]:
    return sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def _hash() -> sa.Column[bytes]:
    return sa.Column("hash", _fixed(64), primary_key=True)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "privacy_payload",
        _hash(),
        sa.Column("sender", _fixed(32), nullable=False),
        sa.Column("flag", sa.SmallInteger, nullable=False),
        sa.Column("ciphertext", _large(), nullable=False),
        sa.Column("nonce", _fixed(24), nullable=False),
        sa.Column("recipient_nonce", _fixed(24), nullable=False),
        sa.Column("exec_hash", sa.LargeBinary(128), nullable=False),
        sa.Column("mandatory", _large(), nullable=False),
        sa.Column("group_id", sa.LargeBinary(64), nullable=False),
        sa.Column("kept_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "privacy_recipient",
        _hash(),
        sa.Column("public_key", _fixed(32), primary_key=True),
        sa.Column("box", _fixed(48)),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Index("privacy_recipient_key", "public_key", "hash"),
    )
    op.create_table(
        "privacy_affected",
        _hash(),
        sa.Column("affected", _fixed(64), primary_key=True),
        sa.Column("security_hash", _fixed(64), nullable=False),
    )
    op.create_table(
        "privacy_raw",
        _hash(),
        sa.Column("sender", _fixed(32), nullable=False),
        sa.Column("ciphertext", _large(), nullable=False),
        sa.Column("encrypted_key", _fixed(48), nullable=False),
        sa.Column("nonce", _fixed(24), nullable=False),
        sa.Column("kept_at", sa.BigInteger, nullable=False),
    )
    op.create_table("privacy_wrapped", _hash(), sa.Column("encoded", _large(), nullable=False))
    op.create_table("privacy_staged", _hash(), sa.Column("encoded", _large(), nullable=False))
    op.create_table(
        "privacy_peer",
        sa.Column("digest", _fixed(32), primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("versions", sa.String(255), nullable=False),
        sa.Column("heard_at", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
    )
    op.create_table(
        "privacy_peer_key",
        sa.Column("public_key", _fixed(32), primary_key=True),
        sa.Column("peer", _fixed(32), nullable=False),
        sa.Column("heard_at", sa.BigInteger, nullable=False),
        sa.Index("privacy_peer_key_peer", "peer"),
    )
    op.create_table(
        "privacy_lease",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "privacy_member",
        sa.Column("one", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("instance", sa.String(64), nullable=False),
        sa.Column("recovering", sa.SmallInteger, nullable=False),
        sa.Column("checked_at", sa.BigInteger, nullable=False),
    )
    op.create_table("privacy_own_key", sa.Column("public_key", _fixed(32), primary_key=True))
