"""Whether a manager can serve: its database can be written, is the one that it knows, and is not being recovered.

The database's identifier is kept in the manager's own volume. An empty or foreign database would answer "no such
payload" for everything, and the node would take that for "not a party".
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final, Protocol

from muniment.kernel.errors import IntegrityError, MunimentError, PermanentError, TemporaryError, WaitTimeoutError
from muniment.kernel.files import make_private_directory, unwritable, write_atomically
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.privacy.errors import NotReadyError
from muniment.privacy.patience import current
from muniment.privacy.ports import Store

KNOWN_FILE: Final = "database-instance"
REMEMBERED_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 1.5
"""A database that needs longer for a check counts as away."""

_STARTING = "it is starting"


class Migrated(Store, Protocol):
    """A store whose tables are made before it is used."""

    async def migrate(self) -> None:
        """Bring the tables to this version's form; repeatable."""


class Readiness:
    """The judgement, remembered for a second and shared by all who ask. `keys` are the public keys held here."""

    def __init__(self, store: Migrated, keys: Collection[bytes], data_dir: Path) -> None:
        self._store = store
        self._keys = keys
        self._file = data_dir / KNOWN_FILE
        self._instance = ""
        self._cause = _STARTING
        self._until = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._opened = asyncio.Event()
        self.stopping = False
        self.recovering = False
        """Whether the member recovered its payloads at the last look."""

    async def open(self) -> None:
        """Make the database ready and know it again. Raises `TemporaryError` while it is away or the member recovers,
        `IntegrityError` when it is another one than this manager knows."""
        await self._store.migrate()
        found = await self._store.claim(self._keys)
        known = _read(self._file)
        if known and known != found:
            raise IntegrityError(
                "this is not the database that this manager knows: restore that one, or fetch the payloads from the"
                " other members with `muniment privacy recover`"
            )
        self.recovering = (await self._store.check()).recovering
        if self.recovering:
            # Before anything is served or remembered: it lacks payloads, and may get the lost one's identifier.
            raise NotReadyError("the payloads of this member are being recovered: wait for the end")
        if not known:
            _write(self._file, found)
        self._instance = found
        self._cause, self._until = "", time.monotonic() + REMEMBERED_SECONDS
        self._opened.set()

    async def serve_when_ready(self, seconds: float) -> None:
        """Return when requests of the node may be served; wait up to `seconds` for the start, out of the patience of
        the request.

        Raises `NotReadyError` with the cause. What the last check found counts: requests do not wait for checks.
        """
        if not self._opened.is_set():
            await self._wait_for_the_start(seconds)
        if self._foreign:
            raise NotReadyError(f"the privacy manager cannot serve: {self._cause}")

    async def cause(self) -> str:
        """Why the manager cannot serve now; empty when it can."""
        if self.stopping:
            return "it is being stopped"
        if self._opened.is_set() and time.monotonic() >= self._until:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask())
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await asyncio.shield(self._asking)
            except TimeoutError:
                return "its database does not answer in its time"
        return self._cause

    async def lasting_cause(self, seconds: float) -> str:
        """`cause`, after up to `seconds` in which it may go away: a node that asks at its start ends when it is told of
        one."""

        async def gone() -> None:
            cause = await self.cause()
            if cause and not self.stopping:
                raise NotYetError(cause)

        with contextlib.suppress(WaitTimeoutError):
            await wait_for("the manager", gone, timeout=seconds)
        return await self.cause()

    async def cause_for_members(self) -> str:
        """Why other members' managers should not come here now; empty when they may.

        They must while this member recovers: then they bring what it lost, and nothing else is served.
        """
        cause = await self.cause()
        if not cause or self.stopping:
            return cause
        try:
            return "" if await self._store.recovering() else cause
        except MunimentError:
            return cause

    def failed(self, cause: str) -> None:
        """The start did not succeed yet, for this cause."""
        self._cause = cause

    @property
    def _foreign(self) -> bool:
        return self._cause.startswith(_FOREIGN)

    async def _wait_for_the_start(self, seconds: float) -> None:
        patience = current()
        if patience:
            patience.used = True
            seconds = min(seconds, patience.left())
        try:
            async with asyncio.timeout(seconds):
                await self._opened.wait()
        except TimeoutError as error:
            raise NotReadyError(f"the privacy manager cannot serve: {self._cause}") from error

    async def _ask(self) -> None:
        begun = time.monotonic()
        self._cause = await self._checked()
        # Counted from before the check: what it found may be older than its answer.
        self._until = begun + REMEMBERED_SECONDS

    async def _checked(self) -> str:
        try:
            found = await self._store.check()
        except (TemporaryError, PermanentError, IntegrityError) as error:
            return f"{_FOREIGN}: {error}" if isinstance(error, IntegrityError) else str(error)
        self.recovering = found.recovering
        if found.instance != self._instance:
            return f"{_FOREIGN}: it is another one than this manager knows"
        if found.recovering:
            return f"{_FOREIGN} yet: its payloads are being recovered"
        return ""


_FOREIGN: Final = "its database cannot be used"


def known_instance(data_dir: Path) -> str:
    """The identifier of the database that the manager with this volume knows; empty when it knows none."""
    return _read(data_dir / KNOWN_FILE)


async def open_patiently(readiness: Readiness, stopping: asyncio.Event) -> None:
    """Open the database as soon as it is there. What else fails is told as the cause, and tried again."""
    while not stopping.is_set():
        try:
            await readiness.open()
        except TemporaryError as error:
            readiness.failed(str(error))
            await _pause(stopping, error.delay)
        except MunimentError as error:
            readiness.failed(str(error))
            await _pause(stopping, REMEMBERED_SECONDS)
        else:
            return


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{path} cannot be read ({error}): mend it, or remove it with the whole volume") from error


def _write(path: Path, instance: str) -> None:
    try:
        make_private_directory(path.parent)
        write_atomically(path, f"{instance}\n".encode())
    except OSError as error:
        raise unwritable(path, error) from error
