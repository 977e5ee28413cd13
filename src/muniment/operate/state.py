"""The files of a state directory that belong to the whole deployment.

deployment.json       what was deployed (`operate.record`)
endpoints.json        where each member is reached: what applications read
specification.yaml    the specification of the last `up`, with absolute paths
journal.jsonl         what `up` did, one JSON object a line
.lock                 held while a command changes what runs
"""

from __future__ import annotations

import json
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from muniment.kernel.errors import InputError
from muniment.kernel.files import unwritable
from muniment.kernel.locks import locked
from muniment.operate import record as records
from muniment.operate.record import Record

LOCK_SECONDS = 60.0
LEAST_FREE_BYTES = 1 << 30

_OWN_NAMES = (
    *("deployment.json", "endpoints.json", "specification.yaml", "journal.jsonl", ".lock"),
    *("config", "data", "identity", "logs", "run"),
)


@dataclass(frozen=True)
class State:
    """One state directory."""

    root: Path

    @property
    def identity(self) -> Path:
        """Root of the identity store."""
        return self.root / "identity"

    def record(self) -> Record:
        """What was deployed last. Raises `InputError` when nothing was, or the file is damaged."""
        path = self.root / "deployment.json"
        try:
            return records.from_document(json.loads(path.read_bytes()))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise InputError(
                f"nothing was started in {self.root}: `muniment up` does it, and --state names another directory"
            ) from error
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}): mend its permissions") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged ({error}): `muniment up` writes it anew") from error

    def note(self, action: str, state: str, cause: str = "") -> None:
        """Write one line to the journal."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "action": action, "state": state}
        if cause:
            line["cause"] = cause
        path = self.root / "journal.jsonl"
        try:
            with path.open("a", encoding="utf-8") as journal:
                journal.write(json.dumps(line, ensure_ascii=False) + "\n")
        except OSError as error:
            raise unwritable(path, error) from error

    def check_space(self) -> None:
        """Raises `InputError` when the disk is nearly full."""
        free = shutil.disk_usage(self.root).free
        if free < LEAST_FREE_BYTES:
            raise InputError(
                f"{self.root} has {free >> 20} MiB of free space and needs {LEAST_FREE_BYTES >> 20}: free some, or"
                " choose another place (--state)"
            )

    def lock(self) -> AbstractContextManager[None]:
        """Keep other commands from changing what runs here; waits for one that is at it.

        Raises `TemporaryError` when it does not end, `InputError` when the place cannot be written.
        """
        return locked(self.root / ".lock", doing=f"at work on {self.root}", timeout=LOCK_SECONDS)

    def purge(self) -> None:
        """Delete everything that muniment keeps here, identities and content too, and the directory when it is empty
        then. Raises `InputError` when something cannot be deleted."""
        try:
            for name in _OWN_NAMES:
                path = self.root / name
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            if self.root.is_dir() and not any(self.root.iterdir()):
                self.root.rmdir()
        except OSError as error:
            raise unwritable(self.root, error) from error
