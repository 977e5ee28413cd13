"""Waiting for files to reach a state."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from muniment.notary.doors import BatchStore
from muniment.notary.values import FileView, State

RECHECK_SECONDS = 10.0
"""Even without news the database is asked again after this."""


class Progress:
    """News of batches within this process; the database stays the only truth, and is asked after `recheck` seconds even
    without news."""

    def __init__(self, recheck: float = RECHECK_SECONDS) -> None:
        self.recheck = recheck
        self._news = asyncio.Event()

    def tell(self) -> None:
        """A batch has durably moved."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def next(self, seconds: float) -> None:
        """Wait until a batch moves, at most `seconds`."""
        news = self._news
        try:
            async with asyncio.timeout(seconds):
                await news.wait()
        except TimeoutError:
            return


async def wait_for_state(
    store: BatchStore, progress: Progress, identifiers: Sequence[str], state: State, seconds: float
) -> dict[str, FileView]:
    """The views of files once all of them have reached `state`, or after `seconds` as they are then.

    Unknown identifiers are absent from the answer and not waited for.
    """
    deadline = time.monotonic() + seconds
    views = await store.views(identifiers)
    while True:
        behind = [identifier for identifier, view in views.items() if view.state < state]
        left = deadline - time.monotonic()
        if not behind:
            return views
        if left <= 0:
            # Batches that did not move may have a cause by now.
            return views | await store.views(behind)
        await progress.next(min(left, progress.recheck))
        # All files of one batch move together: one of each is enough to ask for.
        by_batch = {views[identifier].batch: identifier for identifier in behind}
        asked = await store.views([i for b, i in by_batch.items() if b is not None])
        moved = {view.batch for view in asked.values() if view.state >= state}
        fresh = [i for i in behind if views[i].batch is None or views[i].batch in moved]
        views |= await store.views(fresh)
