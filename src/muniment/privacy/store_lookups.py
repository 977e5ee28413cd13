"""Look-ups by hash, several in one statement.

A network asks every manager for every private transaction, and most are other members'. What is asked while a look-up
is under way is looked up together by the next one, which begins after it was asked: nobody gets an older answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Generic, TypeVar

from muniment.kernel.errors import MunimentError

T = TypeVar("T")


class Lookups(Generic[T]):
    """`find` looks up many hashes; `at_once` look-ups go on at the same time, of at most `most` hashes each."""

    def __init__(
        self, find: Callable[[Collection[bytes]], Awaitable[Mapping[bytes, T]]], *, at_once: int, most: int
    ) -> None:
        self._find = find
        self._free = at_once
        self._most = most
        self._waiting: dict[bytes, list[asyncio.Future[T | None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, payload_hash: bytes) -> T | None:
        """What `find` gives for this hash from now on; `None` when it gives nothing. Raises what `find` raises."""
        future: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(payload_hash, []).append(future)
        if self._free:
            self._begin()
        return await future

    def _begin(self) -> None:
        self._free -= 1
        task = asyncio.create_task(self._run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        try:
            # Those who asked since the task was made are taken along.
            while group := {each: self._waiting.pop(each) for each in tuple(islice(self._waiting, self._most))}:
                await self._look_up(group)
        finally:
            self._free += 1

    async def _look_up(self, group: Mapping[bytes, Collection[asyncio.Future[T | None]]]) -> None:
        try:
            found = await self._find(tuple(group))
        except MunimentError as error:
            # Who waits behind a failure is not kept waiting for the next one.
            behind, self._waiting = self._waiting, {}
            for future in _unanswered((*group.values(), *behind.values())):
                future.set_exception(error)
        else:
            for payload_hash, futures in group.items():
                for future in _unanswered([futures]):
                    future.set_result(found.get(payload_hash))
        finally:
            # What is left when the loop ends, or by a mistake in `find`.
            for future in _unanswered(group.values()):
                future.cancel()


def _unanswered(askers: Iterable[Iterable[asyncio.Future[T]]]) -> Iterator[asyncio.Future[T]]:
    # Whoever does not wait any more has cancelled its future.
    return (future for futures in askers for future in futures if not future.done())
