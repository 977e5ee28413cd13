"""One stream of bytes to several readers at once, in constant memory; one that stands still is left behind."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

from muniment.kernel.errors import MunimentError, TemporaryError
from muniment.kernel.pieces import next_piece

PIECE_BYTES: Final = 512 * 1024
"""What is produced in one go: smaller pieces are joined."""

DEPTH: Final = 4
"""Pieces that a reader may be behind."""

STALL_SECONDS: Final = 20.0
"""A reader that takes nothing for so long while others wait for it is left behind."""


class Reader:
    """One reader's end of the stream."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._changed = asyncio.Condition()
        self._ended = False
        self._broken: MunimentError | None = None

    @property
    def ended(self) -> bool:
        """Whether it has everything or wants nothing more."""
        return self._ended

    async def read(self) -> AsyncIterator[bytes]:
        """The bytes, to their end. Raises the error that the stream broke off with."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._pieces or self._ended)
                if self._broken is not None:
                    raise self._broken
                if not self._pieces:
                    return
                piece = self._pieces.popleft()
                self._changed.notify_all()
            yield piece

    async def put(self, piece: bytes, stall_seconds: float) -> None:
        """Hand over a piece; a reader that does not take it in time is left behind."""
        try:
            async with asyncio.timeout(stall_seconds), self._changed:
                await self._changed.wait_for(lambda: len(self._pieces) < DEPTH or self._ended)
                if not self._ended:
                    self._pieces.append(piece)
                    self._changed.notify_all()
        except TimeoutError:
            await self.end(TemporaryError(f"it took nothing for {stall_seconds:g} s"))

    async def end(self, broken: MunimentError | None = None) -> None:
        """No more pieces come or are wanted; with `broken`, because something went wrong."""
        async with self._changed:
            if not self._ended:
                self._ended = True
                self._broken = broken
                if broken is not None:
                    self._pieces.clear()
            self._changed.notify_all()


async def pour(source: Iterator[bytes], readers: Sequence[Reader], *, stall_seconds: float = STALL_SECONDS) -> None:
    """Give every piece of `source` (blocking: read in a thread) to all `readers`, at the pace of the slowest.

    An error of the source ends all readers with it and is raised.
    """
    try:
        while piece := await asyncio.to_thread(next_piece, source, PIECE_BYTES):
            for reader in readers:
                await reader.put(piece, stall_seconds)
            if all(reader.ended for reader in readers):
                return
    except MunimentError as error:
        for reader in readers:
            await reader.end(error)
        raise
    for reader in readers:
        await reader.end()
