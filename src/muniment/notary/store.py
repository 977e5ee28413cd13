"""The store: every durable step of the notary, each in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from muniment.notary import store_batches, store_files
from muniment.notary.store_engine import create_engine, ping, reading, writing
from muniment.notary.store_migration import migrate
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


class Store:
    """The notary's database. Every method raises `TemporaryError` while it is away and `DiskFullError` without room."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # SQLite has one writer; waiting here is fair, waiting in the database is not.
        self._one_writer = asyncio.Lock()

    async def migrate(self) -> None:
        """Bring the tables to this version's form; repeatable, and safe when two start at once."""
        await migrate(self._engine)

    async def close(self) -> None:
        """Close the connections."""
        await self._engine.dispose()

    async def ping(self) -> None:
        """Ask the database for a constant."""
        await ping(self._engine)

    async def accept(self, group: Sequence[NewRequest]) -> dict[str, Repeated]:
        """Accept uploads, all in one transaction; those with a known key are told apart (see `store_files.accept`)."""
        async with self._one_writer, writing(self._engine) as connection:
            return await store_files.accept(connection, group)

    async def present(self, identifiers: Sequence[str]) -> set[str]:
        """Those of `identifiers` that are files."""
        async with reading(self._engine) as connection:
            return await store_files.present(connection, identifiers)

    async def views(self, identifiers: Sequence[str]) -> dict[str, FileView]:
        """What the API says of files, by identifier; unknown ones are absent."""
        async with reading(self._engine) as connection:
            return await store_files.views(connection, identifiers)

    async def views_of_request(self, request: str) -> list[FileView]:
        """The files of one request in their order."""
        async with reading(self._engine) as connection:
            return await store_files.views_of_request(connection, request)

    async def backlog(self) -> Backlog:
        """What waits for a batch."""
        async with reading(self._engine) as connection:
            return await store_files.backlog(connection)

    async def waiting(self, limit: int) -> list[Member]:
        """The oldest files without a batch, in leaf order."""
        async with reading(self._engine) as connection:
            return await store_files.waiting(connection, limit)

    async def members(self, batch: int) -> list[Member]:
        """The files of a batch in leaf order."""
        async with reading(self._engine) as connection:
            return await store_files.members(connection, batch)

    async def statements(self, batch: int) -> list[tuple[str, bytes]]:
        """Identifier and statement of every leaf of a batch, in leaf order."""
        async with reading(self._engine) as connection:
            return await store_files.statements(connection, batch)

    async def statements_of(self, identifiers: Sequence[str]) -> dict[str, bytes]:
        """Statements by identifier of the file."""
        async with reading(self._engine) as connection:
            return await store_files.statements_of(connection, identifiers)

    async def unstored_by_segment(self) -> dict[int, int]:
        """How many files of each spool segment are not stored yet."""
        async with reading(self._engine) as connection:
            return await store_files.unstored_by_segment(connection)

    async def last_batch(self) -> tuple[int, bytes] | None:
        """Number and digest of the newest batch."""
        async with reading(self._engine) as connection:
            return await store_batches.last(connection)

    async def batch(self, number: int) -> Batch | None:
        """One batch."""
        async with reading(self._engine) as connection:
            return await store_batches.get(connection, number)

    async def batches_in(self, state: State) -> list[Batch]:
        """All batches of a state, oldest first."""
        async with reading(self._engine) as connection:
            return await store_batches.in_state(connection, state)

    async def counts(self) -> Counts:
        """Files and batches by state."""
        async with reading(self._engine) as connection:
            return await store_batches.counts(connection)

    async def add_batch(self, batch: NewBatch, identifiers: Sequence[str]) -> None:
        """Fix a batch: its header and its files, in one transaction."""
        async with self._one_writer, writing(self._engine) as connection:
            await store_batches.add(connection, batch, identifiers)

    async def set_stored(self, number: int, holders: Sequence[str]) -> None:
        """The content of a batch is pinned by `holders`."""
        async with self._one_writer, writing(self._engine) as connection:
            await store_batches.set_stored(connection, number, holders)

    async def set_outbox(self, number: int, outbox: Outbox) -> None:
        """Keep a signed transaction before it is sent."""
        async with self._one_writer, writing(self._engine) as connection:
            await store_batches.set_outbox(connection, number, outbox)

    async def set_anchored(self, number: int, anchor: Anchor) -> None:
        """The chain holds the batch, finally."""
        async with self._one_writer, writing(self._engine) as connection:
            await store_batches.set_anchored(connection, number, anchor)

    async def set_cause(self, number: int, *, attempts: int, retry_at: int, cause: str) -> None:
        """The batch is stuck: why, how often it was tried, and when it is tried again."""
        async with self._one_writer, writing(self._engine) as connection:
            await store_batches.set_cause(connection, number, attempts=attempts, retry_at=retry_at, cause=cause)


def open_store(url: str, password: str | None, data_dir: Path) -> Store:
    """The store of the database at `url` (`sqlite`: a file in `data_dir`); nothing is connected yet."""
    return Store(create_engine(url, password, data_dir))
