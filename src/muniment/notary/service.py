"""The notary as one object: starts from what the database holds, accepts, and runs the pipeline until it is stopped."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from muniment.kernel.errors import TemporaryError
from muniment.kernel.files import SECRET_MODE, make_private_directory
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.notary.acceptor import Acceptor, MakeStatement
from muniment.notary.anchoring import Anchoring
from muniment.notary.doors import BatchStore, Clock, ContentStore, Ledger
from muniment.notary.errors import UnknownFileError
from muniment.notary.forming import Forming, InFlight
from muniment.notary.intake import Arrivals, Draft, Upload
from muniment.notary.leasing import Leading
from muniment.notary.metrics import Metrics
from muniment.notary.progress import RECHECK_SECONDS, Progress, wait_for_state
from muniment.notary.receipts import Receipts
from muniment.notary.settings import BatchSettings
from muniment.notary.spool import Spool
from muniment.notary.stages import SHARED_SECONDS, Stage, Storing
from muniment.notary.values import Batch, FileView, State, now_ms

DATABASE_SECONDS: Final = 60.0
"""How long the start waits for a database that is away."""

LOCK_SECONDS: Final = 10.0
"""How long the start waits for a predecessor that is still stopping."""

_LOCK_NAME = "lock"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Doors:
    """The outside as the notary needs it."""

    store: BatchStore
    content: ContentStore
    ledger: Ledger
    make_statement: MakeStatement
    clock: Clock = now_ms


class Notary:
    """One notary. `start` it, use it, `stop` it; after a crash a new one starts from the same database and spool."""

    def __init__(
        self,
        doors: Doors,
        receipts: Receipts,
        spool: Spool,
        settings: BatchSettings,
        origin: str,
        data_dir: Path,
        *,
        alone: bool = True,
    ) -> None:
        self._store = doors.store
        self._clock = doors.clock
        self._receipts = receipts
        self._spool = spool
        self._data_dir = data_dir
        self._lock: int | None = None
        self._arrivals = Arrivals()
        self._progress = Progress(RECHECK_SECONDS if alone else SHARED_SECONDS)
        self.metrics = Metrics()
        in_flight = InFlight()
        self.forming = Forming(doors.store, settings, origin, in_flight, self._formed, doors.clock)
        self._acceptor = Acceptor(doors.store, spool, doors.make_statement, self._accepted, doors.clock)
        storing = Storing(doors.store, doors.content, spool, self._moved)
        anchoring = Anchoring(doors.store, doors.ledger, self._moved)
        self.storing = Stage(doors.store, State.BATCHED, storing, in_flight, doors.clock)
        self._leading = None if alone else Leading(doors.store, lambda: self.anchoring.wake())
        self.anchoring = Stage(doors.store, State.STORED, anchoring, in_flight, doors.clock, self._leading)
        self._tasks: list[asyncio.Task[None]] = []
        self.failed: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Take the data directory, bring the database up, free what nobody refers to, and go on where it stopped.

        Raises `WaitTimeoutError` when another notary works in the directory or the database stays away.
        """
        await self._take_directory()
        unstored = await wait_for("the database", self._open_store, timeout=DATABASE_SECONDS)
        freed = await asyncio.to_thread(self._spool.open, unstored)
        await self.forming.count()
        _log.info("notary started", extra={"unstored_files": sum(unstored.values()), "freed_bytes": freed})
        self.failed = asyncio.get_running_loop().create_future()
        parts = [self._acceptor.run, self.forming.run, self.storing.run, self.anchoring.run]
        if self._leading is not None:
            parts.append(self._leading.run)
        for work in parts:
            task = asyncio.create_task(work(), name=work.__qualname__)
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    async def stop(self) -> None:
        """Stop where it is; nothing is lost, since every step is in the database."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._leading is not None:
            await self._leading.end()
        self._spool.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def upload(self) -> Upload:
        """An upload to fill."""
        return Upload(self._spool, self._arrivals)

    async def accept(self, draft: Draft, key: str | None) -> list[FileView]:
        """Make an upload durable; see `Acceptor.accept`."""
        return await self._acceptor.accept(draft, key)

    async def files(
        self, identifiers: Sequence[str], wait: State = State.RECEIVED, seconds: float = 0
    ) -> list[FileView]:
        """The files, once they have reached `wait` or after `seconds`. Raises `UnknownFileError`."""
        views = await wait_for_state(self._store, self._progress, identifiers, wait, seconds)
        _all_known(identifiers, views)
        return [views[identifier] for identifier in identifiers]

    def receipts(self, files: Sequence[FileView]) -> AsyncIterator[str]:
        """The receipts of files as JSON documents, in their order."""
        return self._receipts.of(files)

    async def metrics_text(self) -> bytes:
        """Prometheus text."""
        failures = {State.BATCHED: self.storing.failures, State.STORED: self.anchoring.failures}
        return self.metrics.text(await self._store.counts(), failures)

    def _accepted(self, files: int, content_bytes: int) -> None:
        self.metrics.accepted(files, content_bytes)
        self.forming.accepted(files, content_bytes)

    def _formed(self) -> None:
        self.storing.wake()
        self._progress.tell()

    def _moved(self, batch: Batch, state: State) -> None:
        self.metrics.moved(batch, state, self._clock())
        if state is State.STORED:
            self.anchoring.wake()
        self._progress.tell()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A part never ends by itself: if it does, its error ends the service, and its supervisor starts it anew."""
        if not task.cancelled() and self.failed is not None and not self.failed.done():
            error = task.exception() or RuntimeError(f"{task.get_name()} ended")
            self.failed.set_exception(error)

    async def _open_store(self) -> Mapping[int, int]:
        try:
            await self._store.migrate()
            await self._store.adopt(await asyncio.to_thread(self._spool.segments))
            return await self._store.unstored_by_segment()
        except TemporaryError as error:
            raise NotYetError(str(error)) from error

    async def _take_directory(self) -> None:
        make_private_directory(self._data_dir)
        lock = os.open(self._data_dir / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, SECRET_MODE)
        self._lock = lock

        async def free() -> None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise NotYetError("another notary works in it; stop that one") from error

        await wait_for(f"taking {self._data_dir}", free, timeout=LOCK_SECONDS)


def _all_known(identifiers: Sequence[str], views: Mapping[str, FileView]) -> None:
    for identifier in identifiers:
        if identifier not in views:
            raise UnknownFileError(identifier)
