"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from muniment.database.revising import make_index, make_table

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
    make_table(
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
    make_table(
        "privacy_recipient",
        _hash(),
        sa.Column("public_key", _fixed(32), primary_key=True),
        sa.Column("box", _fixed(48)),
        sa.Column("place", sa.Integer, nullable=False),
    )
    make_index("privacy_recipient_key", "privacy_recipient", ["public_key", "hash"])
    make_table(
        "privacy_affected",
        _hash(),
        sa.Column("affected", _fixed(64), primary_key=True),
        sa.Column("security_hash", _fixed(64), nullable=False),
    )
    make_table(
        "privacy_raw",
        _hash(),
        sa.Column("sender", _fixed(32), nullable=False),
        sa.Column("ciphertext", _large(), nullable=False),
        sa.Column("encrypted_key", _fixed(48), nullable=False),
        sa.Column("nonce", _fixed(24), nullable=False),
        sa.Column("kept_at", sa.BigInteger, nullable=False),
    )
    make_table("privacy_wrapped", _hash(), sa.Column("encoded", _large(), nullable=False))
    make_table("privacy_staged", _hash(), sa.Column("encoded", _large(), nullable=False))
    make_table(
        "privacy_peer",
        sa.Column("digest", _fixed(32), primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("versions", sa.String(255), nullable=False),
        sa.Column("heard_at", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
    )
    make_table(
        "privacy_peer_key",
        sa.Column("public_key", _fixed(32), primary_key=True),
        sa.Column("peer", _fixed(32), nullable=False),
        sa.Column("heard_at", sa.BigInteger, nullable=False),
    )
    make_index("privacy_peer_key_peer", "privacy_peer_key", ["peer"])
    make_table(
        "privacy_lease",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
    make_table(
        "privacy_member",
        sa.Column("one", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("instance", sa.String(64), nullable=False),
        sa.Column("recovering", sa.SmallInteger, nullable=False),
        sa.Column("checked_at", sa.BigInteger, nullable=False),
    )
    make_table("privacy_own_key", sa.Column("public_key", _fixed(32), primary_key=True))
