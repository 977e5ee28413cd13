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

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 0.25


@contextlib.contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Within this context, database calls are tried again for `seconds` from now."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """What `work` gives; it is repeated while it raises `TemporaryError` and the context's patience lasts.

    `work` must be such that a repetition has no second effect. Raises its last error.
    """
    try:
        return await work()
    except TemporaryError as error:
        deadline = _deadline.get()
        left = 0.0 if deadline is None else deadline - time.monotonic()
        if left <= _FIRST_PAUSE:
            raise
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
