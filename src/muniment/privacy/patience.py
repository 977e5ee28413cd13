"""Patience with the database: while it is away, a request is held, and goes on when it is back.

A node whose manager fails five times in a row ends (GoQuorum private/engine/tessera/tessera.go), so a short outage of
the database must make it wait instead.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Final, TypeVar

from muniment.kernel.errors import TemporaryError, WaitTimeoutError
from muniment.kernel.waiting import NotYetError, wait_for

T = TypeVar("T")


class Patience:
    """How long one request waits. `used` says whether it had to."""

    __slots__ = ("deadline", "used")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.used = False

    def left(self) -> float:
        """Seconds that are left; below zero when they are over."""
        return self.deadline - time.monotonic()


_current: ContextVar[Patience | None] = ContextVar("patience", default=None)
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 0.25


@contextlib.contextmanager
def patience(seconds: float) -> Iterator[Patience]:
    """Within this context, database calls are tried again for `seconds` from now."""
    mine = Patience(time.monotonic() + seconds)
    token = _current.set(mine)
    try:
        yield mine
    finally:
        _current.reset(token)


def current() -> Patience | None:
    """The patience of the request that is served here; `None` outside of one."""
    return _current.get()


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """What `work` gives; it is repeated while it raises `TemporaryError` and the context's patience lasts.

    `work` must be such that a repetition has no second effect. Raises its last error.
    """
    try:
        return await work()
    except TemporaryError as error:
        mine = _current.get()
        left = mine.left() if mine else 0.0
        if mine is None or left <= _FIRST_PAUSE:
            raise
        mine.used = True
        last = error

    async def again() -> T:
        nonlocal last
        try:
            return await work()
        except TemporaryError as error:
            last = error
            raise NotYetError(str(error)) from error

    try:
        return await wait_for(
            "the database", again, timeout=left, interval=_FIRST_PAUSE, longest_interval=_LONGEST_PAUSE
        )
    except WaitTimeoutError as error:
        raise last from error
