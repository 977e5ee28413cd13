"""Port blocks for consortia under test: below the ephemeral range, locked by file, tried by binding.

The lock keeps parallel test sessions apart; the range keeps outgoing connections away.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

BLOCK = 2000
BASES = range(1100, 31000, BLOCK)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def port_block() -> Iterator[int]:
    """A base port whose next `BLOCK` ports nobody uses, for as long as the context lasts."""
    for base in reversed(BASES):
        lock = filelock.FileLock(Path(tempfile.gettempdir()) / f"muniment-test-ports-{base}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            continue
        try:
            if all(_free(port) for port in range(base, base + BLOCK)):
                yield base
                return
        finally:
            lock.release()
    raise AssertionError("no free block of ports on this machine")
