"""The store: every durable step of the notary, each in one transaction."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy.engine import Connection

from muniment.database.engine import Database, open_database, ping
from muniment.database.migration import Revisions, migrate
from muniment.notary import store_batches, store_files, store_leases
from muniment.notary.replica import ALONE
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


class Store:
    """The notary's database. Every method raises `TemporaryError` while it is away and `DiskFullError` without room.

    Several notaries of a member may share it, each with a `replica` name of its own: a file is batched and stored by
    the one whose spool holds it, and batches are anchored by the one that has the lease, whoever formed them. An
    only notary (`replica.ALONE`) needs no lease.
    """

    def __init__(self, database: Database, replica: str = ALONE) -> None:
        self._database = database
        self._replica = replica
        self._term = 0

    async def migrate(self) -> None:
        """Bring the tables to this version's form; repeatable, and safe when two start at once."""
        await self._database.alter(migrate, REVISIONS)

    async def close(self) -> None:
        """Close the connections."""
        await self._database.close()

    async def adopt(self, segments: Collection[int]) -> int:
        """Take over what the notary with these spool segments accepted while it was the only one; how many files."""
        if self._replica == ALONE:
            return 0
        return await self._database.write(store_files.adopt, segments, self._replica)

    async def lead(self, *, renew_only: bool = False) -> bool:
        """Ask for the lease to anchor, or renew it; whether this notary has it. With `renew_only` it is not taken from
        another one, nor after one."""
        if self._replica == ALONE:
            return True
        term = await self._database.write(store_leases.take, self._replica, self._term, renew_only=renew_only)
        # The old one is kept when it is lost: what was begun under it finds the fence.
        self._term = term or self._term
        return bool(term)

    async def resign(self) -> None:
        """Let another notary have the lease at once."""
        if self._replica != ALONE:
            await self._database.write(store_leases.give_up, self._replica, self._term)

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
        """The batches of a state, oldest first: all, but of those that are not stored only this notary's."""
        if state is State.BATCHED:
            return await self._database.read(store_batches.in_state, state, self._replica)
        return await self._database.read(store_batches.in_state, state)

    async def counts(self) -> Counts:
        """Files and batches by state."""
        return await self._database.read(store_batches.counts)

    async def add_batch(self, batch: NewBatch, identifiers: Sequence[str]) -> None:
        """Fix a batch: its header and its files, in one transaction. Raises `NumberTakenError`."""
        await self._database.write(store_batches.add, batch, identifiers, self._replica)

    async def set_stored(self, number: int, holders: Sequence[str]) -> None:
        """The content of a batch is pinned by `holders`."""
        await self._database.write(store_batches.set_stored, number, holders)

    async def set_outbox(self, number: int, outbox: Outbox) -> None:
        """Keep a signed transaction before it is sent. Raises `LostLeaseError`, as `set_anchored` does."""
        await self._database.write(self._fenced, store_batches.set_outbox, number, outbox)

    async def set_anchored(self, number: int, anchor: Anchor) -> None:
        """The chain holds the batch, finally."""
        await self._database.write(self._fenced, store_batches.set_anchored, number, anchor)

    async def set_cause(self, number: int, *, attempts: int, retry_at: int, cause: str) -> None:
        """The batch is stuck: why, how often it was tried, and when it is tried again.

        Of a stored one this is for the notary that anchors to say, too.
        """
        change = functools.partial(store_batches.set_cause, attempts=attempts, retry_at=retry_at, cause=cause)
        await self._database.write(self._fenced, change, number)

    def _fenced(self, connection: Connection, change: Callable[..., None], number: int, *arguments: Any) -> None:
        """Change a batch; from `stored` on only if this notary has the lease, which is checked together with it."""
        if self._replica != ALONE and not store_batches.is_own(connection, number, self._replica):
            store_leases.fence(connection, self._replica, self._term)
        change(connection, number, *arguments)


def open_store(url: str, password: str | None, data_dir: Path, replica: str = ALONE) -> Store:
    """The store of the database at `url` (`sqlite`: a file in `data_dir`); nothing is connected yet."""
    return Store(open_database(url, password, data_dir / SQLITE_FILE), replica)
