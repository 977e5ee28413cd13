"""What a privacy manager handles, as frozen values. Pure.

A *payload* is what one private transaction carries, encrypted; its *hash* (SHA3-512 of the ciphertext, 64 bytes) stands
on the chain. A *box* is the payload's master key, encrypted for one recipient. Names of fields follow Tessera's
`EncodedPayload`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
HASH_BYTES: Final = 64
SEAL_BYTES: Final = 16
"""What NaCl's authenticator adds to a ciphertext (Poly1305)."""
BOX_BYTES: Final = KEY_BYTES + SEAL_BYTES


class PrivacyFlag(IntEnum):
    """How much the parties of a private contract are bound to one another (Tessera's `PrivacyMode`)."""

    STANDARD = 0
    PARTY_PROTECTION = 1
    MANDATORY_RECIPIENTS = 2
    PRIVATE_STATE_VALIDATION = 3


def payload_hash(ciphertext: bytes) -> bytes:
    """The hash of a payload: SHA3-512 (FIPS 202) of its ciphertext, 64 bytes."""
    return hashlib.sha3_512(ciphertext).digest()


@dataclass(frozen=True, slots=True)
class Payload:
    """An encrypted payload with the boxes of those who may open it.

    `boxes[i]` belongs to `recipients[i]`. There may be fewer boxes than recipients: with private state validation every
    party knows all recipients and holds the boxes of its own keys only, which come first.
    """

    sender: bytes
    """Public key, 32 bytes."""
    ciphertext: bytes
    nonce: bytes
    """Of the ciphertext, 24 bytes."""
    boxes: tuple[bytes, ...]
    """48 bytes each."""
    recipient_nonce: bytes
    """One for all boxes, 24 bytes."""
    recipients: tuple[bytes, ...] = ()
    """Public keys, 32 bytes each; empty in payloads of very old managers."""
    flag: PrivacyFlag = PrivacyFlag.STANDARD
    affected: Mapping[bytes, bytes] = field(default_factory=dict)
    """Hashes of the transactions that made the contracts which this one touches, each with its security hash."""
    exec_hash: bytes = b""
    """The ASCII text that GoQuorum gives for the Merkle root of the contracts' state; with flag 3 only."""
    mandatory: tuple[bytes, ...] = ()
    """Keys that must be recipients of everything that touches this contract; with flag 2 only."""
    group_id: bytes = b""
    """Privacy group of Besu; empty in GoQuorum."""

    @property
    def hash(self) -> bytes:
        """64 bytes; computed at every use."""
        return payload_hash(self.ciphertext)


@dataclass(frozen=True, slots=True)
class RawPayload:
    """A payload that was stored and not sent yet: its master key is sealed for the sender alone."""

    sender: bytes
    ciphertext: bytes
    encrypted_key: bytes
    """The master key sealed with `nonce`, 48 bytes."""
    nonce: bytes
    """Of the ciphertext and of the sealed key, 24 bytes."""

    @property
    def hash(self) -> bytes:
        """64 bytes; computed at every use."""
        return payload_hash(self.ciphertext)


@dataclass(frozen=True, slots=True)
class SendRequest:
    """What GoQuorum asks to be sent."""

    payload: bytes
    """Plain bytes."""
    sender: bytes | None = None
    """Public key; the default key when not given."""
    recipients: tuple[bytes, ...] = ()
    affected: tuple[bytes, ...] = ()
    """Hashes of affected transactions."""
    exec_hash: bytes = b""
    flag: PrivacyFlag = PrivacyFlag.STANDARD
    mandatory: tuple[bytes, ...] = ()
    group_id: bytes = b""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What is to be sent of a raw payload that was stored before: the transaction was signed outside the node."""

    hash: bytes
    recipients: tuple[bytes, ...] = ()
    affected: tuple[bytes, ...] = ()
    exec_hash: bytes = b""
    flag: PrivacyFlag = PrivacyFlag.STANDARD
    mandatory: tuple[bytes, ...] = ()
    group_id: bytes = b""


@dataclass(frozen=True, slots=True)
class Sent:
    """The answer to a sender."""

    hash: bytes
    sender: bytes
    managed: tuple[bytes, ...]
    """Those of sender and recipients whose secret keys are held here."""


@dataclass(frozen=True, slots=True)
class Received:
    """A payload, opened."""

    payload: bytes
    """Plain bytes."""
    sender: bytes
    managed: tuple[bytes, ...]
    flag: PrivacyFlag = PrivacyFlag.STANDARD
    affected: tuple[bytes, ...] = ()
    exec_hash: bytes = b""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another privacy manager, as the peer table knows it."""

    url: str
    """With a final slash where it has no path."""
    keys: frozenset[bytes] = frozenset()
    versions: frozenset[str] = frozenset()
    """API versions that it announced."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of the database found, besides that it could be read and written."""

    instance: str
    """Identifier of the database, made at its first use."""
    recovering: bool
    """Whether the member recovers its payloads now."""
