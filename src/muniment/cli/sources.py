"""The files that a command is given by paths: files and folders, sorted, each with the name of its receipt."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from muniment.kernel.errors import InputError
from muniment.proof.unixfs import FileHasher, FileSummary

READ_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Source:
    """One file: where it is, and its name relative to what was given."""

    path: Path
    name: str


def collect(paths: Sequence[Path], *, besides: Path) -> list[Source]:
    """All files of `paths`, folders with everything below them, sorted by name; nothing below `besides`.

    Symbolic links inside a folder are followed only to files of that folder. Raises `InputError` for what is missing,
    unreadable, no file, for a folder without files, and for two files with one name.
    """
    found: dict[str, Source] = {}
    for path in paths:
        for source in _of(path, besides.resolve()):
            earlier = found.setdefault(source.name, source)
            if earlier.path.resolve() != source.path.resolve():
                raise InputError(
                    f"{earlier.path} and {source.path} are both named {source.name}: notarise them one after the other,"
                    " with different folders for their receipts"
                )
    return list(found.values())


def _of(path: Path, besides: Path) -> Iterator[Source]:
    if path.is_dir():
        yield from _folder(path, besides)
    elif path.is_file():
        _readable(path)
        yield Source(path, path.name)
    elif path.exists():
        raise InputError(f"{path} is neither a file nor a folder: give one of these")
    else:
        raise InputError(f"{path} does not exist: give files or folders that do")


def _folder(folder: Path, besides: Path) -> Iterator[Source]:
    root = folder.resolve()
    empty = True
    for place, folders, files in os.walk(folder, onerror=_refuse):
        here = Path(place)
        folders[:] = sorted(name for name in folders if (here / name).resolve() != besides)
        for name in sorted(files):
            path = here / name
            if path.is_file() and (not path.is_symlink() or path.resolve().is_relative_to(root)):
                _readable(path)
                empty = False
                yield Source(path, str(Path(root.name) / path.relative_to(folder)))
    if empty:
        raise InputError(f"{folder} holds no file: give a folder with files in it")


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be read ({error.strerror}): mend its permissions") from error


def _readable(path: Path) -> None:
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read: mend its permissions")


def digest(path: Path) -> FileSummary:
    """Size, digest and CID of a file as it is now. Blocking. Raises `InputError` when it cannot be read."""
    hasher = FileHasher()
    try:
        with path.open("rb", buffering=0) as stream:
            while piece := stream.read(READ_BYTES):
                hasher.update(piece)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): mend it or leave it out") from error
    return hasher.finish()


def read_exactly(path: Path, size: int) -> Iterator[bytes]:
    """The content of a file that was `size` bytes long when it was digested. Raises `InputError` when it is not now."""
    left = size
    try:
        with path.open("rb", buffering=0) as stream:
            # One byte more than is left shows a file that has grown.
            while piece := stream.read(min(READ_BYTES, left + 1)):
                left -= len(piece)
                if left < 0:
                    break
                yield piece
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): mend it or leave it out") from error
    if left:
        raise InputError(f"{path} changed while it was uploaded: notarise it again when nothing writes to it")
