"""Secret files: made whole directories at a time, never overwritten; read only when they are private and whole."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from muniment.kernel.errors import IntegrityError
from muniment.kernel.files import (
    PRIVATE_DIRECTORY_MODE,
    make_private_directory,
    sync_directory,
    unwritable,
    write_atomically,
)
from muniment.kernel.files import SECRET_MODE as MODE

MOST_BYTES = 16 * 1024
"""No secret that muniment makes comes near this; a larger file is something else."""


def publish_directory(directory: Path, files: Mapping[str, str]) -> None:
    """Make `directory` with `files` (text by relative path) so that a crash leaves all of it or nothing.

    Directories get mode 0700 and files 0600. It is written under a temporary name beside, synced and renamed; what a
    crash left of an earlier try is removed, so callers must keep others out of the store meanwhile. Raises
    `IntegrityError` when `directory` is there already, `InputError` when the place cannot be written.
    """
    make_private_directory(directory.parent)
    beside = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}")
    try:
        _remove_leftovers(directory)
        beside.mkdir(mode=PRIVATE_DIRECTORY_MODE)
        for relative, text in files.items():
            _make_parents(beside, (beside / relative).parent)
            write_atomically(beside / relative, text.encode(), mode=MODE)
        for made in [*(path for path in beside.rglob("*") if path.is_dir()), beside]:
            sync_directory(made)
        if directory.exists():
            raise IntegrityError(f"{directory} is there already and is never overwritten: run the command again")
        beside.rename(directory)
        sync_directory(directory.parent)
    except OSError as error:
        raise unwritable(directory, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def read_secret(path: Path) -> str:
    """The text of a secret file.

    Raises `IntegrityError` naming the file and what to do when it is missing, unreadable, no regular file, readable by
    others, empty, too large or not ASCII.
    """
    try:
        # O_NONBLOCK: a pipe put in its place must not hang us.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            _check_kind(path, os.fstat(stream.fileno()))
            content = stream.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise IntegrityError(f"{path} is missing: restore it from your backup, muniment makes no second one") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise IntegrityError(f"{path} cannot be read ({reason}): mend its permissions or restore it") from error
    if not content.strip() or len(content) > MOST_BYTES or not content.isascii():
        raise damaged(path, "it is empty, too large or not text")
    return content.decode("ascii")


def damaged(path: Path, why: str) -> IntegrityError:
    """The one sentence for an identity file that is not what muniment wrote."""
    return IntegrityError(f"{path} is damaged ({why}): restore it from your backup; it was not touched")


def _make_parents(top: Path, directory: Path) -> None:
    if directory != top:
        _make_parents(top, directory.parent)
        make_private_directory(directory)


def _remove_leftovers(directory: Path) -> None:
    for leftover in directory.parent.glob(f".{directory.name}.????????"):
        shutil.rmtree(leftover)


def _check_kind(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise IntegrityError(f"{path} is not a file: restore the identity file from your backup")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise IntegrityError(
            f"{path} holds a secret, but others may read or change it (mode {mode:04o}): make sure nobody did, then run"
            f" chmod 600 {path}"
        )
