"""The name of one of several notaries that share a database: it belongs to the volume with the spool."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import Final

from muniment.kernel.errors import InputError
from muniment.kernel.files import make_private_directory, sync_directory, unwritable, write_atomically

NAME_FILE: Final = "replica"
ALONE: Final = ""
"""The name of a notary that never shared its database."""

_BYTES: Final = 8
_NAME: Final = re.compile(rb"[0-9a-f]{%d}" % (2 * _BYTES))


def replica_name(data_dir: Path, *, shared: bool) -> str:
    """The name of the notary with this volume; made at the first start of one that shares its database.

    A volume keeps its name for good, also when its notary is the only one again: its files are found by it. Raises
    `InputError` when the name cannot be read or written.
    """
    path = data_dir / NAME_FILE
    try:
        if not path.exists():
            if not shared:
                return ALONE
            _make(path)
        name = path.read_bytes().strip()
    except OSError as error:
        raise unwritable(path, error) from error
    if not _NAME.fullmatch(name):
        raise InputError(f"{path} is damaged: restore it, the files in the spool beside it are found by it")
    return name.decode()


def _make(path: Path) -> None:
    """Of two that start on one volume at once, both take the same name; the second then waits for the first to end."""
    make_private_directory(path.parent)
    name = secrets.token_hex(_BYTES)
    beside = path.with_name(f".{NAME_FILE}.{name}")
    write_atomically(beside, f"{name}\n".encode())
    with contextlib.suppress(FileExistsError):
        os.link(beside, path)
    beside.unlink()
    sync_directory(path.parent)
