"""The doors to the outside: what the notary needs of its database, of IPFS and of the chain; tests stand in here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from muniment.notary.values import (
    Anchor,
    Backlog,
    Batch,
    Counts,
    FileView,
    Member,
    NewBatch,
    NewRequest,
    Outbox,
    Repeated,
    State,
)

Clock = Callable[[], int]
"""Milliseconds since 1970, UTC."""


class BatchStore(Protocol):
    """The durable steps; `store.Store` keeps them in a database. Raises `TemporaryError` while that is away."""

    async def migrate(self) -> None:
        """Make it usable by this version."""

    async def adopt(self, segments: Collection[int]) -> int:
        """Take over what the notary with these spool segments accepted while it was the only one; how many files."""

    async def lead(self, *, renew_only: bool = False) -> bool:
        """Ask for the lease to anchor, or renew it; whether this notary has it."""

    async def resign(self) -> None:
        """Let another notary have the lease at once."""

    async def ping(self) -> None:
        """Ask for a constant."""

    async def accept(self, group: Sequence[NewRequest]) -> dict[str, Repeated]:
        """Accept uploads in one transaction; returns those with a known key, by their identifier."""

    async def present(self, identifiers: Sequence[str]) -> set[str]:
        """Those of `identifiers` that are files."""

    async def views(self, identifiers: Sequence[str]) -> dict[str, FileView]:
        """What the API says of files."""

    async def views_of_request(self, request: str) -> list[FileView]:
        """The files of one request in their order."""

    async def backlog(self) -> Backlog:
        """What waits for a batch."""

    async def waiting(self, limit: int) -> list[Member]:
        """The oldest files without a batch."""

    async def members(self, batch: int) -> list[Member]:
        """The files of a batch in leaf order."""

    async def statements(self, batch: int) -> list[tuple[str, bytes]]:
        """Identifier and statement of every leaf of a batch."""

    async def statements_of(self, identifiers: Sequence[str]) -> dict[str, bytes]:
        """Statements by identifier."""

    async def unstored_by_segment(self) -> dict[int, int]:
        """How many files of each spool segment are not stored yet."""

    async def last_batch(self) -> tuple[int, bytes] | None:
        """Number and digest of the newest batch."""

    async def batch(self, number: int) -> Batch | None:
        """One batch."""

    async def batches_in(self, state: State) -> list[Batch]:
        """The batches of a state, oldest first: all, but of those that are not stored only this notary's."""

    async def counts(self) -> Counts:
        """Files and batches by state."""

    async def add_batch(self, batch: NewBatch, identifiers: Sequence[str]) -> None:
        """Fix a batch. Raises `NumberTakenError` when another notary fixed one with its number."""

    async def set_stored(self, number: int, holders: Sequence[str]) -> None:
        """The content of a batch is pinned."""

    async def set_outbox(self, number: int, outbox: Outbox) -> None:
        """Keep a signed transaction before it is sent. Raises `LostLeaseError`, as what follows does."""

    async def set_anchored(self, number: int, anchor: Anchor) -> None:
        """The chain holds the batch."""

    async def set_cause(self, number: int, *, attempts: int, retry_at: int, cause: str) -> None:
        """The batch is stuck."""


class ContentStore(Protocol):
    """Where content goes: IPFS peers."""

    async def store(self, number: int, members: Sequence[Member]) -> tuple[str, ...]:
        """Store the directory of a batch and return the peers that hold it pinned, at least the promised number.

        Repeatable. Raises `TemporaryError` when it must be tried again, `StuckBatchError` when the content is gone.
        """


class Ledger(Protocol):
    """The chain, through one submitting account."""

    async def next_nonce(self) -> int:
        """The nonce after the account's last mined transaction."""

    def sign(self, root: bytes, size: int, digest: bytes, nonce: int) -> Outbox:
        """The signed transaction that anchors a batch."""

    async def send(self, raw: bytes) -> None:
        """Submit signed bytes; repeatable, and no error when they are known or mined already."""

    async def confirmation(self, transaction: str, root: bytes) -> Anchor | None:
        """Where a transaction anchored `root`, once that is final.

        Raises `PermanentError` when it was mined and refused.
        """

    async def lookup(self, root: bytes, digest: bytes | None = None) -> Anchor | None:
        """The anchor of `root`, whichever transaction made it.

        Raises `PermanentError` when `digest` is given and the root was anchored with the header of another batch.
        """
