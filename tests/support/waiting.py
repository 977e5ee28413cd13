"""Waiting for conditions in synchronous tests: a name, a time-out, the last cause."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

STARTED = 120.0
"""Seconds for a consortium to become ready on a busy machine."""

MENDED = 60.0
"""Seconds for one killed process to be back and fit."""

BLOCKS = 30.0
"""Seconds for the chain to make a block after a fault."""

_never = threading.Event()


def wait_until(what: str, condition: Callable[[], T], *, timeout: float, interval: float = 0.1) -> T:
    """Ask until `condition` returns something true; `AssertionError` and `OSError` count as not yet."""
    deadline = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < deadline:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (AssertionError, OSError) as error:
            last = error
        _never.wait(interval)
    raise AssertionError(f"{what} did not happen within {timeout:g} s: {last}")
