"""The values that the notary's parts hand to one another. Pure."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

POSITION_DIGITS = 5
"""Hexadecimal digits that a file's position in its request takes at the end of the file's identifier."""


class State(IntEnum):
    """How far a file, or its batch, has come; it only ever grows."""

    RECEIVED = 0
    BATCHED = 1
    STORED = 2
    ANCHORED = 3

    @property
    def word(self) -> str:
        """The state as the API writes it."""
        return self.name.lower()


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def new_request_id() -> str:
    """32 hexadecimal digits: milliseconds, so that identifiers grow with time, then 80 bits that nobody guesses."""
    return f"{now_ms():012x}{secrets.token_hex(10)}"


def file_id(request: str, position: int) -> str:
    """Identifier of the file at `position` of a request: all files of a request are neighbours in the key's order."""
    return f"{request}{position:0{POSITION_DIGITS}x}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where content lies in the spool."""

    segment: int
    offset: int


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file about to be accepted."""

    id: str
    name: str
    size: int
    sha256: bytes
    cid: str
    dag_size: int
    statement: bytes
    place: Place
    received_at: int


@dataclass(frozen=True, slots=True)
class NewRequest:
    """One upload about to be accepted, whole. `key` is the digest of its Idempotency-Key."""

    id: str
    key: str | None
    fingerprint: bytes
    files: Sequence[NewFile]


@dataclass(frozen=True, slots=True)
class FileView:
    """What the API says of a file. `batch` is `None` while it waits for one; `cause` says why its batch is stuck."""

    id: str
    name: str
    size: int
    sha256: bytes
    cid: str
    state: State
    batch: int | None = None
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """A file as its batch needs it."""

    id: str
    size: int
    sha256: bytes
    cid: str
    dag_size: int
    statement: bytes
    place: Place


@dataclass(frozen=True, slots=True)
class Outbox:
    """A signed anchoring transaction, kept before it is sent."""

    raw: bytes
    hash: str
    nonce: int


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where a batch stands in the chain, once that is final. `block_time` in Unix seconds."""

    transaction: str
    block_number: int
    block_hash: str
    block_time: int
    log_index: int
    seq: int


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch as it is fixed for ever when it is formed. Times in milliseconds since 1970."""

    number: int
    size: int
    content_bytes: int
    root: bytes
    header: bytes
    digest: bytes
    previous: bytes
    directory: str
    opened_at: int
    closed_at: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch with how far it has come. `holders` are the peers that held it pinned when it became stored."""

    fixed: NewBatch
    state: State
    attempts: int
    retry_at: int
    cause: str
    holders: tuple[str, ...]
    outbox: Outbox | None
    anchor: Anchor | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """Files that wait for a batch: how many, how many bytes of content, and since when (ms since 1970)."""

    files: int
    content_bytes: int
    since: int | None


@dataclass(frozen=True, slots=True)
class Counts:
    """Files by state, batches by state, and batches with a cause."""

    files: dict[State, int]
    batches: dict[State, int]
    stuck: int


class Repeated:
    """The answer to an upload whose key is known: `same` tells whether the files are those of the first time."""

    __slots__ = ("request", "same")

    def __init__(self, request: str, *, same: bool) -> None:
        self.request = request
        self.same = same
