"""The first stage of the pipeline: decides when a batch closes, and fixes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from muniment.kernel.errors import MunimentError
from muniment.notary.batches import FIRST_PREVIOUS, Place, form, within
from muniment.notary.doors import BatchStore, Clock
from muniment.notary.errors import NumberTakenError
from muniment.notary.settings import BatchSettings
from muniment.notary.values import State

MAX_UNSTORED: Final = 2
"""While so many batches are not stored yet, what arrives waits and makes the next batch larger."""

MAX_WINDOW_SECONDS: Final = 60.0
"""A window that stretches because the chain is away stretches no further."""

RETRY_SECONDS: Final = 0.5

_log = logging.getLogger(__name__)


class InFlight:
    """How many batches are on their way, as the stages last saw; forming paces itself by it."""

    def __init__(self) -> None:
        self._counts = {State.BATCHED: 0, State.STORED: 0}
        self.moved = asyncio.Event()

    @property
    def unstored(self) -> int:
        """Batches whose content is not stored yet."""
        return self._counts[State.BATCHED]

    @property
    def unanchored(self) -> int:
        """Batches that the chain does not hold yet."""
        return sum(self._counts.values())

    def set(self, state: State, batches: int) -> None:
        """So many batches are in `state`."""
        self._counts[state] = batches
        self.moved.set()

    def formed(self) -> None:
        """One more batch."""
        self.set(State.BATCHED, self._counts[State.BATCHED] + 1)


class Forming:
    """Collects what was accepted and forms one batch after the other, until it is cancelled."""

    def __init__(
        self,
        store: BatchStore,
        settings: BatchSettings,
        origin: str,
        in_flight: InFlight,
        formed: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._store = store
        self._settings = settings
        self._origin = origin
        self._in_flight = in_flight
        self._formed = formed
        self._clock = clock
        self._files = 0
        self._content_bytes = 0
        self._since = 0
        self._news = asyncio.Event()

    def accepted(self, files: int, content_bytes: int) -> None:
        """So much more waits for a batch."""
        if self._files <= 0:
            self._since = self._clock()
        self._files += files
        self._content_bytes += content_bytes
        self._news.set()

    async def count(self) -> None:
        """Ask the database what waits. What is accepted meanwhile may be counted twice, never lost."""
        self._files = self._content_bytes = 0
        backlog = await self._store.backlog()
        self._files += backlog.files
        self._content_bytes += backlog.content_bytes
        self._since = backlog.since or self._clock()

    async def run(self) -> None:
        """Form batches for ever; what fails is tried again."""
        while True:
            await self._due()
            try:
                await self.form_one()
            except NumberTakenError as error:
                _log.info("a batch is formed anew", extra={"cause": str(error)})
            except MunimentError as error:
                _log.warning("no batch could be formed", extra={"cause": str(error)})
                await self._count_again()

    async def form_one(self) -> int | None:
        """Form one batch of what waits; returns its number, or `None` when nothing waits."""
        members = within(await self._store.waiting(self._settings.max_files), self._settings.max_bytes)
        if not members:
            await self.count()
            return None
        last = await self._store.last_batch()
        number, previous = (1, FIRST_PREVIOUS) if last is None else (last[0] + 1, last[1])
        place = Place(self._origin, number, previous, min(self._since, self._clock()), self._clock())
        batch = await asyncio.to_thread(form, members, place)
        await self._store.add_batch(batch, [member.id for member in members])
        # Files that are committed and not told yet may be among the members: the count is right again once they are.
        self._files -= batch.size
        self._content_bytes -= batch.content_bytes
        self._since = self._clock()
        _log.info("batch formed", extra={"batch": number, "files": batch.size, "bytes": batch.content_bytes})
        self._in_flight.formed()
        self._formed()
        return number

    def window_seconds(self) -> float:
        """How long the next batch stays open: longer the more batches wait for the chain, so that they stay few."""
        behind = max(0, self._in_flight.unanchored - MAX_UNSTORED)
        stretched = self._settings.window_seconds * 2.0 ** min(behind, 20)
        return min(stretched, max(MAX_WINDOW_SECONDS, self._settings.window_seconds))

    async def _count_again(self) -> None:
        """After an error it is not known whether the batch was fixed: ask, until the database answers."""
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                await self.count()
            except MunimentError as error:
                _log.warning("what waits for a batch is not known", extra={"cause": str(error)})
            else:
                self._formed()
                return

    async def _due(self) -> None:
        """Wait until a batch must close."""
        while (seconds := self._seconds_left()) is None or seconds > 0:
            self._news.clear()
            self._in_flight.moved.clear()
            await first_of(seconds, self._news, self._in_flight.moved)

    def _seconds_left(self) -> float | None:
        """Seconds until the next batch closes; `None` while that hangs on something else than time."""
        if self._files <= 0 or self._in_flight.unstored >= MAX_UNSTORED:
            return None
        if self._files >= self._settings.max_files or self._content_bytes >= self._settings.max_bytes:
            return 0
        return (self._since - self._clock()) / 1000 + self.window_seconds()


async def first_of(seconds: float | None, *events: asyncio.Event) -> None:
    """Wait for the first of `events`, or for `seconds` to pass."""
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
