"""Locks between processes, by file. Apart from `kernel.files`, since only the deployer has the library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from muniment.kernel.errors import TemporaryError
from muniment.kernel.files import SECRET_MODE, unwritable


@contextmanager
def locked(path: Path, *, doing: str, timeout: float) -> Iterator[None]:
    """Hold the lock file at `path`, for as long as the context lasts; waits for another process that holds it.

    `doing` completes the sentence "another muniment has been …". Raises `TemporaryError` after `timeout` seconds, and
    `InputError` when the place cannot be written.
    """
    lock = FileLock(path, timeout=timeout, mode=SECRET_MODE)
    try:
        lock.acquire()
    except Timeout as error:
        raise TemporaryError(
            f"another muniment has been {doing} for {timeout:g} s: wait until it ends, or end it"
        ) from error
    except OSError as error:
        raise unwritable(path.parent, error) from error
    try:
        yield
    finally:
        lock.release()
