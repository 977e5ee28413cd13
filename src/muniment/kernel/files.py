"""Files that are either whole or absent: written beside, synced, renamed."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from muniment.kernel.errors import InputError

SECRET_MODE = 0o600
PUBLIC_MODE = 0o644
PRIVATE_DIRECTORY_MODE = 0o700


def write_atomically(path: Path, content: bytes, *, mode: int = PUBLIC_MODE) -> None:
    """Put `content` at `path` so that a crash leaves the old file or the new one, never a part.

    The file is created with `mode` (never wider, not even for a moment), synced, renamed over `path`, and
    the directory is synced. Parents are made. Raises `InputError` when the place cannot be written.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            beside.rename(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error


def make_private_directory(path: Path) -> Path:
    """Make `path` (and its parents) for the owner only, mode 0700; raises `InputError` when it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(PRIVATE_DIRECTORY_MODE)
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def sync_directory(path: Path) -> None:
    """Make renames and new names in `path` durable (fsync of the directory)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(path: Path, error: OSError) -> InputError:
    """The one sentence for a place that cannot be written."""
    reason = error.strerror or str(error)
    return InputError(f"{path} cannot be written ({reason}): choose another place or mend its permissions")
