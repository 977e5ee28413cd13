"""Group commit: everything that has arrived is made durable together, then all are answered.

One sync of the shared segment and one transaction serve all requests that came in while the last group was written.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from muniment.database.errors import DiskFullError
from muniment.kernel.errors import MunimentError, TemporaryError
from muniment.notary.doors import BatchStore, Clock
from muniment.notary.errors import RefusedUploadError
from muniment.notary.intake import Draft
from muniment.notary.spool import Spool
from muniment.notary.values import FileView, NewFile, NewRequest, Place, Repeated, State, file_id, new_request_id
from muniment.proof.unixfs import FileSummary

MAX_GROUP_FILES: Final = 20_000
PATIENCE_SECONDS: Final = 5.0
"""How long a group is tried again while the database is away, before its requests are refused with 503."""

MakeStatement = Callable[[FileSummary, int], bytes]
"""The leaf of a file that was received at a time (ms since 1970), with a salt of its own."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Pending:
    draft: Draft
    key: str | None
    request: str
    received_at: int
    statements: list[bytes]
    answer: asyncio.Future[list[FileView]]
    place: Place | None = None

    def as_request(self) -> NewRequest:
        place = self.place
        assert place is not None  # noqa: S101 - placed before it is committed
        files = [
            NewFile(
                file_id(self.request, position),
                file.name,
                file.summary.size,
                file.summary.sha256,
                file.summary.cid,
                file.summary.dag_size,
                statement,
                Place(place.segment, place.offset + file.offset),
                self.received_at,
            )
            for position, (file, statement) in enumerate(zip(self.draft.files, self.statements, strict=True))
        ]
        return NewRequest(self.request, self.key, self.draft.fingerprint() if self.key else b"", files)


class Acceptor:
    """Takes drafts from requests; `run` commits them until it is cancelled."""

    def __init__(
        self,
        store: BatchStore,
        spool: Spool,
        make_statement: MakeStatement,
        accepted: Callable[[int, int], None],
        clock: Clock,
    ) -> None:
        self._store = store
        self._spool = spool
        self._make_statement = make_statement
        self._accepted = accepted
        self._clock = clock
        self._queue: asyncio.Queue[_Pending] = asyncio.Queue()
        self._doubtful: list[NewRequest] = []

    async def accept(self, draft: Draft, key: str | None) -> list[FileView]:
        """Wait until the files of `draft` are durable. From here on the draft's segment is the acceptor's.

        The same `key` again answers the same files. Raises `TemporaryError` (the database is away), `DiskFullError`,
        and `RefusedUploadError` when the key was used for other files.
        """
        received_at = self._clock()
        statements = [self._make_statement(file.summary, received_at) for file in draft.files]
        digest = None if key is None else hashlib.sha256(key.encode()).hexdigest()
        answer: asyncio.Future[list[FileView]] = asyncio.get_running_loop().create_future()
        pending = _Pending(draft, digest, new_request_id(), received_at, statements, answer)
        self._queue.put_nowait(pending)
        return await answer

    async def run(self) -> None:
        """Commit groups for ever."""
        while True:
            group = [await self._queue.get()]
            while not self._queue.empty() and sum(len(p.draft.files) for p in group) < MAX_GROUP_FILES:
                group.append(self._queue.get_nowait())
            try:
                await self._commit(group)
            except MunimentError as error:
                _log.warning("a group of uploads was refused", extra={"requests": len(group), "cause": str(error)})
                for pending in group:
                    _fail(pending, error)
            except asyncio.CancelledError:
                for pending in group:
                    _fail(pending, TemporaryError("the notary is stopping: send the files again"))
                raise

    async def _commit(self, group: Sequence[_Pending]) -> None:
        with self._spool.shared_in_use():
            await self._place(group)
            requests = [pending.as_request() for pending in group]
            for request in requests:
                for segment, files in _references([request]):
                    self._spool.keep(segment, files)
        repeated = await self._insert(requests)
        files = 0
        content = 0
        for pending, request in zip(group, requests, strict=True):
            earlier = repeated.get(request.id)
            if earlier is not None:
                self._spool.release(_references([request]))
                await self._answer_repeated(pending, earlier)
                continue
            files += len(request.files)
            content += sum(file.size for file in request.files)
            _succeed(pending, [_received(file) for file in request.files])
        if files:
            self._accepted(files, content)
        if self._doubtful:
            await self._settle_doubts()

    async def _place(self, group: Sequence[_Pending]) -> None:
        small = [pending for pending in group if pending.draft.segment is None]
        for pending in group:
            if pending.draft.segment is not None:
                pending.place = Place(pending.draft.segment.number, 0)
                pending.draft.segment.close()
        if not small:
            return
        pieces = [piece for pending in small for piece in pending.draft.pieces]
        try:
            place = await asyncio.to_thread(self._spool.append_shared, pieces)
        except MunimentError:
            for pending in group:
                if pending.place is not None:
                    self._spool.release([(pending.place.segment, 0)])
            raise
        offset = place.offset
        for pending in small:
            pending.place = Place(place.segment, offset)
            offset += sum(map(len, pending.draft.pieces))

    async def _insert(self, requests: Sequence[NewRequest]) -> dict[str, Repeated]:
        """Insert; a commit whose outcome is unknown is asked for before it is tried again."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        todo = requests
        in_doubt = False
        while True:
            try:
                if in_doubt:
                    present = await self._store.present([request.files[0].id for request in requests])
                    todo = [request for request in requests if request.files[0].id not in present]
                return await self._store.accept(todo)
            except DiskFullError:
                self._spool.release(_references(requests))
                raise
            except TemporaryError as error:
                if time.monotonic() + error.delay / 4 >= deadline:
                    self._doubtful.extend(requests)
                    raise
                in_doubt = True
                await asyncio.sleep(error.delay / 4)
            except MunimentError:
                self._spool.release(_references(requests))
                raise

    async def _settle_doubts(self) -> None:
        """The database answers again: what of the refused uploads did it take after all?"""
        doubtful = self._doubtful
        present = await self._store.present([request.files[0].id for request in doubtful])
        self._doubtful = []
        self._spool.release(_references([r for r in doubtful if r.files[0].id not in present]))
        taken = [r for r in doubtful if r.files[0].id in present]
        if taken:
            self._accepted(sum(len(r.files) for r in taken), sum(file.size for r in taken for file in r.files))

    async def _answer_repeated(self, pending: _Pending, earlier: Repeated) -> None:
        if not earlier.same:
            _fail(
                pending,
                RefusedUploadError("the Idempotency-Key was used for other files: use a new one", status=422),
            )
            return
        _succeed(pending, await self._store.views_of_request(earlier.request))


def _references(requests: Sequence[NewRequest]) -> list[tuple[int, int]]:
    return list(Counter(file.place.segment for request in requests for file in request.files).items())


def _received(file: NewFile) -> FileView:
    return FileView(file.id, file.name, file.size, file.sha256, file.cid, State.RECEIVED)


def _succeed(pending: _Pending, files: list[FileView]) -> None:
    if not pending.answer.done():
        pending.answer.set_result(files)


def _fail(pending: _Pending, error: MunimentError) -> None:
    if not pending.answer.done():
        pending.answer.set_exception(error)
