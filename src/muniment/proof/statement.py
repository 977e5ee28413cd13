"""The statement: what is said of one file, as the bytes that become a leaf of the tree.

It never holds a file's name. Its salt hides it from its neighbours: who knows the tree cannot guess a document. Digests
are multihashes (multiformats), CIDs are CIDv1 in base32 and stand beside the import profile that gave them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from muniment.proof import canonical
from muniment.proof.canonical import MalformedError, take
from muniment.proof.unixfs import CHUNK_BYTES, MAX_LINKS, cid_binary

TAG: Final = "notary-leaf/1"
MAX_BYTES: Final = 4096
"""Longest statement that is read."""

SALT_BYTES: Final = 32
MAX_NUMBER: Final = 2**63 - 1
MAX_NAME: Final = 64
"""Characters in the name of a network or member."""

_SHA256_MULTIHASH: Final = b"\x12\x20"
_SHA256_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class CidProfile:
    """How a file is cut into blocks: another profile gives the same file another CID."""

    chunker: str
    raw_leaves: bool
    max_links: int
    hash: str


PROFILE: Final = CidProfile(chunker=f"size-{CHUNK_BYTES}", raw_leaves=True, max_links=MAX_LINKS, hash="sha2-256")
"""The one profile of this version."""

_ENCODED_PROFILE: Final = {
    "chunker": PROFILE.chunker,
    "raw_leaves": PROFILE.raw_leaves,
    "max_links": PROFILE.max_links,
    "hash": PROFILE.hash,
}


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said of one file. `digest` is a multihash; `received_at` is in milliseconds since 1970, UTC.

    `received_at` is the notary's own claim; what is proved of the time comes from the chain.
    """

    digest: bytes
    size: int
    cid: str
    salt: bytes = field(repr=False)
    received_at: int
    network: str
    member: str

    def encode(self) -> bytes:
        """The leaf: deterministic CBOR. Raises `MalformedError` when a value is out of its bounds."""
        _check(self)
        return canonical.encode(
            TAG,
            {
                "cid": self.cid,
                "cid_profile": _ENCODED_PROFILE,
                "digest": self.digest,
                "member": self.member,
                "network": self.network,
                "received_at": self.received_at,
                "salt": self.salt,
                "size": self.size,
            },
        )


def decode(data: bytes) -> Statement:
    """Read a leaf strictly; whatever is accepted encodes to the same bytes. Raises `MalformedError`."""
    fields = canonical.decode(TAG, data, limit=MAX_BYTES)
    if take(fields, "cid_profile", dict) != _ENCODED_PROFILE:
        raise MalformedError("the statement's CID has an import profile that this version of muniment does not know")
    statement = Statement(
        digest=take(fields, "digest", bytes),
        size=take(fields, "size", int),
        cid=take(fields, "cid", str),
        salt=take(fields, "salt", bytes),
        received_at=take(fields, "received_at", int),
        network=take(fields, "network", str),
        member=take(fields, "member", str),
    )
    canonical.done(fields)
    _check(statement)
    return statement


def multihash(digest: bytes) -> bytes:
    """A SHA-256 as multihash (code 0x12, length 0x20). Raises `ValueError` for another length."""
    if len(digest) != _SHA256_BYTES:
        raise ValueError(f"a SHA-256 has {_SHA256_BYTES} bytes, this one {len(digest)}")
    return _SHA256_MULTIHASH + digest


def _check(statement: Statement) -> None:
    for name, problem in _problems(statement).items():
        if problem:
            raise MalformedError(f"field {name} of the statement is out of its bounds: get it again from its origin")


def _problems(statement: Statement) -> dict[str, bool]:
    return {
        "digest": len(statement.digest) != 34 or not statement.digest.startswith(_SHA256_MULTIHASH),
        "size": not 0 <= statement.size <= MAX_NUMBER,
        "cid": not _is_cid(statement.cid),
        "salt": len(statement.salt) != SALT_BYTES,
        "received_at": not 0 <= statement.received_at <= MAX_NUMBER,
        "network": not 1 <= len(statement.network) <= MAX_NAME,
        "member": not 1 <= len(statement.member) <= MAX_NAME,
    }


def _is_cid(text: str) -> bool:
    try:
        cid_binary(text)
    except ValueError:
        return False
    return True
