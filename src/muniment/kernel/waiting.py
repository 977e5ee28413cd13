"""Waiting for conditions: with a name, a time-out, and the last cause in the message. Nothing sleeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from muniment.kernel.errors import WaitTimeoutError

T = TypeVar("T")


class NotYetError(Exception):
    """Raised by a probe: the condition does not hold yet; the text says why (it becomes the last cause)."""


async def wait_for(
    what: str,
    probe: Callable[[], Awaitable[T]],
    *,
    timeout: float,  # noqa: ASYNC109 - the time-out's message is the point of this function
    interval: float = 0.05,
    longest_interval: float = 0.5,
) -> T:
    """Ask `probe` until it returns, and give back what it returned.

    `probe` raises `NotYetError(cause)` while the condition does not hold; every other exception passes through.
    `interval` (seconds) grows by half at every try up to `longest_interval`. Raises `WaitTimeoutError` naming
    `what`, `timeout` (seconds) and the last cause.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            return await probe()
        except NotYetError as not_yet:
            if time.monotonic() + interval >= deadline:
                raise WaitTimeoutError(f"{what} did not happen within {timeout:g} s: {not_yet}") from not_yet
        await asyncio.sleep(interval)
        interval = min(interval * 1.5, longest_interval)


def wait_blocking(
    what: str, probe: Callable[[], T], *, timeout: float, interval: float = 0.02, longest_interval: float = 0.25
) -> T:
    """`wait_for` for code without an event loop: the same rules, with a `probe` that is a plain function."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return probe()
        except NotYetError as not_yet:
            if time.monotonic() + interval >= deadline:
                raise WaitTimeoutError(f"{what} did not happen within {timeout:g} s: {not_yet}") from not_yet
        time.sleep(interval)
        interval = min(interval * 1.5, longest_interval)
