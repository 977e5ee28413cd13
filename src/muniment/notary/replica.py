"""The name of one of several notaries that share a database: it belongs to the volume with the spool."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from muniment.kernel.errors import InputError
from muniment.kernel.files import make_private_directory, unwritable, write_atomically

NAME_FILE: Final = "replica"
_BYTES = 8


def replica_name(data_dir: Path) -> str:
    """The name of the notary with this volume, made at its first start. Raises `InputError`."""
    path = data_dir / NAME_FILE
    try:
        if path.exists():
            name = path.read_text(encoding="ascii").strip()
            if len(name) != 2 * _BYTES:
                raise InputError(f"{path} is damaged: restore it, the files in the spool beside it are found by it")
            return name
        make_private_directory(data_dir)
        name = secrets.token_hex(_BYTES)
        write_atomically(path, f"{name}\n".encode())
    except (OSError, UnicodeDecodeError) as error:
        raise unwritable(path, error) if isinstance(error, OSError) else InputError(f"{path} is damaged") from error
    return name
