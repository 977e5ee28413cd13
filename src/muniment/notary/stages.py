"""The second and third stage of the pipeline: a batch is stored, a batch is anchored. One of each at a time.

Every stage takes its work from the database, so that a crash needs no recovery of its own. A batch that fails keeps
its cause and waits, longer each time, while others go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from muniment.kernel.errors import MunimentError, TemporaryError
from muniment.notary.doors import BatchStore, Clock, ContentStore
from muniment.notary.errors import LostLeaseError
from muniment.notary.forming import InFlight, first_of
from muniment.notary.leasing import Leading
from muniment.notary.spool import Spool
from muniment.notary.values import Batch, State

FIRST_DELAY_SECONDS: Final = 0.5
LONGEST_TEMPORARY_SECONDS: Final = 5.0
"""Between two tries of what may work at any moment."""

SHARED_SECONDS: Final = 0.5
"""Where several notaries share a database, each looks so often at what the others did."""

LONGEST_PERMANENT_SECONDS: Final = 300.0
"""Between two tries of what needs an operator."""

_log = logging.getLogger(__name__)

Work = Callable[[Batch], Awaitable[None]]


class Stage:
    """Works on batches of one state, the oldest due one first, until it is cancelled.

    With `leading`, batches are those of all notaries that share the database, and the one that leads works on them.
    """

    def __init__(
        self,
        store: BatchStore,
        state: State,
        work: Work,
        in_flight: InFlight,
        clock: Clock,
        leading: Leading | None = None,
    ) -> None:
        self._store = store
        self._state = state
        self._work = work
        self._in_flight = in_flight
        self._clock = clock
        self._leading = leading
        self._news = asyncio.Event()
        self.failures = 0

    def wake(self) -> None:
        """There may be work."""
        self._news.set()

    async def run(self) -> None:
        """Work for ever; while the database is away, wait for it."""
        while True:
            self._news.clear()
            try:
                seconds = await self.step()
            except MunimentError as error:
                _log.warning("a step could not be written down", extra={"state": self._state.word, "cause": str(error)})
                seconds = FIRST_DELAY_SECONDS
            if seconds != 0:
                # Of what other notaries leave behind nobody tells.
                look = None if self._leading is None else SHARED_SECONDS
                await first_of(min((one for one in (seconds, look) if one is not None), default=None), self._news)

    async def step(self) -> float | None:
        """Work on one batch. Returns the seconds until the next is due: 0 at once, `None` when there is none.

        Raises what the store raises; a failure of the work itself is kept with the batch.
        """
        leading = self._leading
        if leading is None:
            return await self._step(works=True)
        # Set before the batches are read: what is read belongs to the term.
        leading.busy = leading()
        try:
            return await self._step(works=leading.busy)
        except LostLeaseError as error:
            _log.info("a step was left to another notary", extra={"cause": str(error)})
            return None
        finally:
            leading.busy = False

    async def _step(self, *, works: bool) -> float | None:
        batches = await self._store.batches_in(self._state)
        self._in_flight.set(self._state, len(batches))
        if not (batches and works):
            return None
        now = self._clock()
        due = [batch for batch in batches if batch.retry_at <= now]
        if not due:
            return (min(batch.retry_at for batch in batches) - now) / 1000
        # One that never failed goes before one that did: a batch that cannot go on must not hold up the rest.
        batch = min(due, key=lambda b: (b.attempts > 0, b.retry_at, b.fixed.number))
        try:
            await self._work(batch)
        except LostLeaseError:
            raise
        except MunimentError as error:
            await self._failed(batch, error)
        return 0

    async def _failed(self, batch: Batch, error: MunimentError) -> None:
        self.failures += 1
        longest = LONGEST_TEMPORARY_SECONDS if isinstance(error, TemporaryError) else LONGEST_PERMANENT_SECONDS
        delay = min(FIRST_DELAY_SECONDS * 2.0 ** min(batch.attempts, 20), longest)
        _log.warning(
            "a batch did not go on",
            extra={"batch": batch.fixed.number, "state": self._state.word, "cause": str(error), "again_in": delay},
        )
        await self._store.set_cause(
            batch.fixed.number,
            attempts=batch.attempts + 1,
            retry_at=self._clock() + int(delay * 1000),
            cause=str(error),
        )


class Storing:
    """Stores one batch: content to the peers, then the state, then room in the spool."""

    def __init__(
        self, store: BatchStore, content: ContentStore, spool: Spool, moved: Callable[[Batch, State], None]
    ) -> None:
        self._store = store
        self._content = content
        self._spool = spool
        self._moved = moved

    async def __call__(self, batch: Batch) -> None:
        """One batch from `batched` to `stored`."""
        number = batch.fixed.number
        members = await self._store.members(number)
        holders: Sequence[str] = await self._content.store(number, members)
        await self._store.set_stored(number, holders)
        self._spool.release(Counter(member.place.segment for member in members).items())
        _log.info("batch stored", extra={"batch": number, "holders": list(holders)})
        self._moved(batch, State.STORED)
