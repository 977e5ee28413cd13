"""The header of a batch: what is anchored beside the root, and what chains a notary's batches together."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from muniment.proof import canonical
from muniment.proof.canonical import MalformedError, take
from muniment.proof.merkle import HASH_BYTES
from muniment.proof.statement import MAX_NAME, MAX_NUMBER

TAG: Final = "notary-batch/1"
MAX_BYTES: Final = 1024
"""Longest header that is read."""

MAX_ORIGIN: Final = 2 * MAX_NAME + 1


@dataclass(frozen=True, slots=True)
class BatchHeader:
    """What is said of one batch. Times are in milliseconds since 1970, UTC, and are the notary's own claim.

    `previous` is the digest of the header of the notary's batch before this one, 32 zero bytes for the first.
    """

    origin: str
    """Whose batch it is: `network/member`."""
    number: int
    """1 for the first batch of an origin."""
    previous: bytes
    size: int
    """Number of leaves."""
    root: bytes
    opened_at: int
    closed_at: int

    def encode(self) -> bytes:
        """Deterministic CBOR. Raises `MalformedError` when a value is out of its bounds."""
        _check(self)
        return canonical.encode(
            TAG,
            {
                "origin": self.origin,
                "number": self.number,
                "previous": self.previous,
                "size": self.size,
                "root": self.root,
                "opened_at": self.opened_at,
                "closed_at": self.closed_at,
            },
        )

    def digest(self) -> bytes:
        """SHA-256 of the encoding: the value that goes on the chain."""
        return header_digest(self.encode())


def decode(data: bytes) -> BatchHeader:
    """Read a header strictly; whatever is accepted encodes to the same bytes. Raises `MalformedError`."""
    fields = canonical.decode(TAG, data, limit=MAX_BYTES)
    header = BatchHeader(
        origin=take(fields, "origin", str),
        number=take(fields, "number", int),
        previous=take(fields, "previous", bytes),
        size=take(fields, "size", int),
        root=take(fields, "root", bytes),
        opened_at=take(fields, "opened_at", int),
        closed_at=take(fields, "closed_at", int),
    )
    canonical.done(fields)
    _check(header)
    return header


def header_digest(encoded: bytes) -> bytes:
    """SHA-256 of an encoded header, of the very bytes that were received."""
    return sha256(encoded).digest()


def origin_of(network: str, member: str) -> str:
    """The origin of the batches of a member's notary."""
    return f"{network}/{member}"


def _check(header: BatchHeader) -> None:
    out_of_bounds = {
        "origin": not 1 <= len(header.origin) <= MAX_ORIGIN,
        "number": not 1 <= header.number <= MAX_NUMBER,
        "previous": len(header.previous) != HASH_BYTES,
        "size": not 1 <= header.size <= MAX_NUMBER,
        "root": len(header.root) != HASH_BYTES,
        "opened_at": not 0 <= header.opened_at <= MAX_NUMBER,
        "closed_at": not 0 <= header.closed_at <= MAX_NUMBER,
    }
    for name, wrong in out_of_bounds.items():
        if wrong:
            raise MalformedError(f"field {name} of the batch header is out of its bounds: get it again from its origin")
