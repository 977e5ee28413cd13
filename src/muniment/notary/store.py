"""The store: every durable step of the notary, each in one transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from muniment.database.engine import Database, open_database, ping
from muniment.database.migration import Revisions, migrate
from muniment.notary import store_batches, store_files, store_leases
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

SQLITE_FILE: Final = "notary.sqlite"
REVISIONS: Final = Revisions("notary", Path(__file__).parent / "migrations", "0002", "alembic_version")


LEASE_SECONDS: Final = 6.0
"""A replica that did not renew its lease for so long has lost it."""

ANCHORING: Final = "anchoring"


class Store:
    """The notary's database. Every method raises `TemporaryError` while it is away and `DiskFullError` without room.

    Several notaries of a member may share it, each with a `replica` name of its own: a file is batched and stored by
    the one whose spool holds it, and batches are anchored by the one that has the lease, whoever formed them. An
    empty name is that of an only notary, which needs no lease.
    """

    def __init__(self, database: Database, replica: str = "") -> None:
        self._database = database
        self._replica = replica
        self._leads_until = 0.0

    async def migrate(self) -> None:
        """Bring the tables to this version's form; repeatable, and safe when two start at once."""
        await self._database.alter(migrate, REVISIONS)

    async def close(self) -> None:
        """Close the connections."""
        await self._database.close()

    async def ping(self) -> None:
        """Ask the database for a constant."""
        await self._database.read(ping)

    async def accept(self, group: Sequence[NewRequest]) -> dict[str, Repeated]:
        """Accept uploads, all in one transaction; those with a known key are told apart (see `store_files.accept`)."""
        return await self._database.write(store_files.accept, group, self._replica)

    async def present(self, identifiers: Sequence[str]) -> set[str]:
        """Those of `identifiers` that are files."""
        return await self._database.read(store_files.present, identifiers)

    async def views(self, identifiers: Sequence[str]) -> dict[str, FileView]:
        """What the API says of files, by identifier; unknown ones are absent."""
        return await self._database.read(store_files.views, identifiers)

    async def views_of_request(self, request: str) -> list[FileView]:
        """The files of one request in their order."""
        return await self._database.read(store_files.views_of_request, request)

    async def backlog(self) -> Backlog:
        """What waits for a batch."""
        return await self._database.read(store_files.backlog, self._replica)

    async def waiting(self, limit: int) -> list[Member]:
        """The oldest files without a batch, in leaf order."""
        return await self._database.read(store_files.waiting, limit, self._replica)

    async def members(self, batch: int) -> list[Member]:
        """The files of a batch in leaf order."""
        return await self._database.read(store_files.members, batch)

    async def statements(self, batch: int) -> list[tuple[str, bytes]]:
        """Identifier and statement of every leaf of a batch, in leaf order."""
        return await self._database.read(store_files.statements, batch)

    async def statements_of(self, identifiers: Sequence[str]) -> dict[str, bytes]:
        """Statements by identifier of the file."""
        return await self._database.read(store_files.statements_of, identifiers)

    async def unstored_by_segment(self) -> dict[int, int]:
        """How many files of each spool segment are not stored yet."""
        return await self._database.read(store_files.unstored_by_segment, self._replica)

    async def last_batch(self) -> tuple[int, bytes] | None:
        """Number and digest of the newest batch."""
        return await self._database.read(store_batches.last)

    async def batch(self, number: int) -> Batch | None:
        """One batch."""
        return await self._database.read(store_batches.get, number)

    async def batches_in(self, state: State) -> list[Batch]:
        """The batches of a state that are this notary's to work on, oldest first."""
        if state is State.BATCHED:
            return await self._database.read(store_batches.in_state, state, self._replica)
        if state is State.STORED and not await self._leads():
            return []
        return await self._database.read(store_batches.in_state, state)

    async def _leads(self) -> bool:
        """Whether this notary anchors. A second one that believes so for a moment does no harm: of two transactions of
        one nonce the chain takes one, and the contract takes a root once."""
        if not self._replica or time.monotonic() < self._leads_until:
            return True
        # Counted from before the asking: the lease may be granted long before the answer is here.
        begun = time.monotonic()
        if not await self._database.write(store_leases.take, ANCHORING, self._replica, LEASE_SECONDS):
            return False
        self._leads_until = begun + LEASE_SECONDS / 3
        return True

    async def counts(self) -> Counts:
        """Files and batches by state."""
        return await self._database.read(store_batches.counts)

    async def add_batch(self, batch: NewBatch, identifiers: Sequence[str]) -> None:
        """Fix a batch: its header and its files, in one transaction."""
        await self._database.write(store_batches.add, batch, identifiers, self._replica)

    async def set_stored(self, number: int, holders: Sequence[str]) -> None:
        """The content of a batch is pinned by `holders`."""
        await self._database.write(store_batches.set_stored, number, holders)

    async def set_outbox(self, number: int, outbox: Outbox) -> None:
        """Keep a signed transaction before it is sent."""
        await self._database.write(store_batches.set_outbox, number, outbox)

    async def set_anchored(self, number: int, anchor: Anchor) -> None:
        """The chain holds the batch, finally."""
        await self._database.write(store_batches.set_anchored, number, anchor)

    async def set_cause(self, number: int, *, attempts: int, retry_at: int, cause: str) -> None:
        """The batch is stuck: why, how often it was tried, and when it is tried again."""
        await self._database.write(store_batches.set_cause, number, attempts=attempts, retry_at=retry_at, cause=cause)


def open_store(url: str, password: str | None, data_dir: Path, replica: str = "") -> Store:
    """The store of the database at `url` (`sqlite`: a file in `data_dir`); nothing is connected yet."""
    return Store(open_database(url, password, data_dir / SQLITE_FILE), replica)
