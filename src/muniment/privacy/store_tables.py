"""The tables of the privacy store. Their names begin with `privacy_`: the notary may share the database."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from muniment.privacy.values import BOX_BYTES, HASH_BYTES, KEY_BYTES, NONCE_BYTES

metadata = sa.MetaData()


def fixed(length: int) -> sa.types.TypeEngine[bytes]:
    """So many bytes, which may be a key of a table."""
    return sa.LargeBinary(length).with_variant(mysql.BINARY(length), "mysql", "mariadb")


def large() -> sa.types.TypeEngine[bytes]:
    """Bytes of any length. MySQL's BLOB ends at 65,535, too small for the code of large contracts."""
    return sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def _hash(**options: Any) -> sa.Column[bytes]:
    return sa.Column("hash", fixed(HASH_BYTES), **options)


payloads = sa.Table(
    "privacy_payload",
    metadata,
    _hash(primary_key=True),
    sa.Column("sender", fixed(KEY_BYTES), nullable=False),
    sa.Column("flag", sa.SmallInteger, nullable=False),
    sa.Column("ciphertext", large(), nullable=False),
    sa.Column("nonce", fixed(NONCE_BYTES), nullable=False),
    sa.Column("recipient_nonce", fixed(NONCE_BYTES), nullable=False),
    sa.Column("exec_hash", sa.LargeBinary(128), nullable=False),
    sa.Column("mandatory", large(), nullable=False),
    sa.Column("group_id", sa.LargeBinary(64), nullable=False),
    sa.Column("kept_at", sa.BigInteger, nullable=False),
)

recipients = sa.Table(
    "privacy_recipient",
    metadata,
    _hash(primary_key=True),
    sa.Column("public_key", fixed(KEY_BYTES), primary_key=True),
    sa.Column("box", fixed(BOX_BYTES)),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Index("privacy_recipient_key", "public_key", "hash"),
)

affected = sa.Table(
    "privacy_affected",
    metadata,
    _hash(primary_key=True),
    sa.Column("affected", fixed(HASH_BYTES), primary_key=True),
    sa.Column("security_hash", fixed(HASH_BYTES), nullable=False),
)

raw = sa.Table(
    "privacy_raw",
    metadata,
    _hash(primary_key=True),
    sa.Column("sender", fixed(KEY_BYTES), nullable=False),
    sa.Column("ciphertext", large(), nullable=False),
    sa.Column("encrypted_key", fixed(BOX_BYTES), nullable=False),
    sa.Column("nonce", fixed(NONCE_BYTES), nullable=False),
    sa.Column("kept_at", sa.BigInteger, nullable=False),
)

wrapped = sa.Table("privacy_wrapped", metadata, _hash(primary_key=True), sa.Column("encoded", large(), nullable=False))

staged = sa.Table("privacy_staged", metadata, _hash(primary_key=True), sa.Column("encoded", large(), nullable=False))

peers = sa.Table(
    "privacy_peer",
    metadata,
    sa.Column("digest", fixed(32), primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("versions", sa.String(255), nullable=False),
    sa.Column("heard_at", sa.BigInteger, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
)

peer_keys = sa.Table(
    "privacy_peer_key",
    metadata,
    sa.Column("public_key", fixed(KEY_BYTES), primary_key=True),
    sa.Column("peer", fixed(32), nullable=False),
    sa.Column("heard_at", sa.BigInteger, nullable=False),
    sa.Index("privacy_peer_key_peer", "peer"),
)

leases = sa.Table(
    "privacy_lease",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("holder", sa.String(64), nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
)

member = sa.Table(
    "privacy_member",
    metadata,
    sa.Column("one", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("instance", sa.String(64), nullable=False),
    sa.Column("recovering", sa.SmallInteger, nullable=False),
    sa.Column("checked_at", sa.BigInteger, nullable=False),
)

own_keys = sa.Table("privacy_own_key", metadata, sa.Column("public_key", fixed(KEY_BYTES), primary_key=True))
