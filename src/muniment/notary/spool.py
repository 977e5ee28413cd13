"""The spool: content between its acceptance and its storing, in append-only segments.

A segment is a file in one directory, named by a number. Small uploads share the open segment, a large one has a
segment of its own. The database says what of a segment counts: bytes that no file refers to are room to be freed, and
a segment goes when all its files are stored. Nothing in a segment is ever changed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from muniment.database.errors import DiskFullError
from muniment.kernel.errors import MunimentError, TemporaryError
from muniment.kernel.files import SECRET_MODE, make_private_directory, sync_directory
from muniment.notary.errors import StuckBatchError
from muniment.notary.values import Place

SEGMENT_BYTES = 64 * 2**20
"""The shared segment is closed when it has grown to this."""

READ_BYTES = 2**20
_SUFFIX = ".segment"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PIECES = 512
"""Buffers that one system call takes (the limit of Linux is 1024)."""


class Segment:
    """One open segment. Blocking: call it from a thread. Not for two threads at once."""

    def __init__(self, path: Path, number: int) -> None:
        self.path = path
        self.number = number
        self.size = 0
        with disk_errors(path):
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, SECRET_MODE)

    def append(self, pieces: Sequence[bytes]) -> int:
        """Write `pieces` one after the other; returns the offset of the first. After `DiskFullError` none counts."""
        begin = self.size
        with disk_errors(self.path):
            try:
                for start in range(0, len(pieces), _PIECES):
                    self._write(pieces[start : start + _PIECES])
            except OSError:
                os.ftruncate(self._descriptor, begin)
                self.size = begin
                raise
        return begin

    def _write(self, pieces: Sequence[bytes]) -> None:
        wanted = sum(map(len, pieces))
        written = os.writev(self._descriptor, pieces)
        self.size += written
        if written < wanted:
            # Rare (a disk that is nearly full, a signal): the rest as one piece, which fails if it does not fit.
            rest = memoryview(b"".join(pieces))[written:]
            while rest:
                done = os.write(self._descriptor, rest)
                self.size += done
                rest = rest[done:]

    def sync(self) -> None:
        """Make everything written durable. Raises `DiskFullError` when the disk has no room for it after all."""
        with disk_errors(self.path):
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file; it stays."""
        os.close(self._descriptor)


class Spool:
    """All segments, and how many files of each are not stored yet."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._unstored: dict[int, int] = {}
        self._current: Segment | None = None
        self._writing = 0
        self._last_number = 0

    def open(self, unstored: Mapping[int, int]) -> int:
        """Begin: `unstored` is what the database refers to. Everything else is deleted; returns the bytes freed.

        Raises `InputError` when the directory cannot be made.
        """
        make_private_directory(self._directory)
        self._unstored = dict(unstored)
        freed = 0
        for path in self._directory.glob(f"*{_SUFFIX}"):
            if int(path.stem) not in unstored:
                freed += path.stat().st_size
                path.unlink()
        return freed

    def segments(self) -> set[int]:
        """Numbers of all segments on disk. Blocking."""
        return {int(path.stem) for path in self._directory.glob(f"*{_SUFFIX}")}

    def new_segment(self) -> Segment:
        """A segment of its own, whose name is durable. Blocking. Raises `DiskFullError`."""
        self._last_number = max(time.time_ns(), self._last_number + 1)
        segment = Segment(self._path(self._last_number), self._last_number)
        with disk_errors(self._directory):
            sync_directory(self._directory)
        return segment

    def append_shared(self, pieces: Sequence[bytes]) -> Place:
        """Write to the shared segment and make it durable. Blocking; one caller at a time. Raises `DiskFullError`."""
        if self._current is not None and self._current.size >= SEGMENT_BYTES:
            self._current.close()
            self._current = None
        segment = self._current or self.new_segment()
        self._current = segment
        try:
            place = Place(segment.number, segment.append(pieces))
            segment.sync()
        except MunimentError:
            # What a failed sync leaves behind is unknown: nothing more goes into this segment.
            self._current.close()
            self._current = None
            raise
        return place

    def keep(self, segment: int, files: int) -> None:
        """`files` more of `segment` count: call it before the database is told."""
        self._unstored[segment] = self._unstored.get(segment, 0) + files

    def release(self, segments: Iterable[tuple[int, int]]) -> None:
        """So many files of each segment are stored, or were not accepted after all; frees what nobody refers to."""
        for segment, files in segments:
            left = self._unstored.get(segment, 0) - files
            if left > 0:
                self._unstored[segment] = left
            else:
                self._unstored.pop(segment, None)
                self._remove(segment)

    def discard(self, segment: Segment) -> None:
        """Close and delete a segment of which nothing was accepted."""
        segment.close()
        segment.path.unlink(missing_ok=True)

    def _remove(self, number: int) -> None:
        if self._current is not None and self._current.number == number:
            if self._writing:
                return
            self._current.close()
            self._current = None
        self._path(number).unlink(missing_ok=True)

    @contextlib.contextmanager
    def shared_in_use(self) -> Iterator[None]:
        """While this is held the shared segment is not removed, even when nothing in it counts yet."""
        self._writing += 1
        try:
            yield
        finally:
            self._writing -= 1

    def read(self, place: Place, size: int) -> Iterator[bytes]:
        """The content at `place` in pieces. Blocking. Raises `StuckBatchError` when it is not there whole."""
        if not size:
            return
        path = self._path(place.segment)
        try:
            with path.open("rb") as stream:
                stream.seek(place.offset)
                while size:
                    piece = stream.read(min(size, READ_BYTES))
                    if not piece:
                        raise StuckBatchError(f"{path} is shorter than the content in it: restore it from a backup")
                    size -= len(piece)
                    yield piece
        except FileNotFoundError as error:
            raise StuckBatchError(f"{path} is gone with content not stored yet: restore it from a backup") from error
        except OSError as error:
            raise TemporaryError(f"{path} cannot be read ({error.strerror}): mend the disk") from error

    def used_bytes(self) -> int:
        """Bytes of all segments on disk. Blocking."""
        total = 0
        for path in self._directory.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def close(self) -> None:
        """Close the shared segment; it stays."""
        if self._current is not None:
            self._current.close()
            self._current = None

    def _path(self, number: int) -> Path:
        return self._directory / f"{number}{_SUFFIX}"


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Maps errors of writing: no room is `DiskFullError`, all others `TemporaryError`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFullError(
                f"{path.parent} has no room left: free space on its disk, and send the files again"
            ) from error
        raise TemporaryError(f"{path} cannot be written ({error.strerror}): mend the disk") from error
