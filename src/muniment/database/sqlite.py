"""A SQLite file: one thread writes, one glances, some read (write-ahead log).

What waits for the writer while it is busy is written together, in one transaction with one sync of the disk, each in
a savepoint of its own: none sees what another's failure left. Glances that wait are done together too, since to change
threads costs more than they do.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from muniment.database.engine import Work, mapped
from muniment.kernel.errors import MunimentError, TemporaryError, WaitTimeoutError
from muniment.kernel.waiting import NotYetError, wait_blocking

BUSY_SECONDS: Final = 3
"""How long a statement waits for a locked file before it fails."""

WAIT_SECONDS: Final = 3.5
"""How long anything waits, what is done before it included; what was begun by then is ended."""

READERS: Final = 4
"""Threads that read."""

MOST_AT_ONCE: Final = 256
"""Writes in one transaction, and glances in one go."""

_WRITES = "muniment_writes"
_GLANCES = "muniment_glances"

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class _Waiting:
    """Some work that waits for its lane's thread."""

    work: partial[Any]
    done: asyncio.Future[Any]


class _Lane:
    """One thread; what comes while it is busy is done together, by `run`, which gives a result or error for each."""

    def __init__(self, name: str, run: Callable[[Sequence[partial[Any]]], Sequence[Any]]) -> None:
        self._thread = ThreadPoolExecutor(1, name)
        self._run = run
        self._waiting: list[_Waiting] = []
        self._busy = False

    async def do(self, work: partial[Any], seconds: float | None = WAIT_SECONDS) -> Any:
        """What `work` gives, or raises; `TemporaryError` after so many seconds."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(work, loop.create_future())
        self._waiting.append(waiting)
        if not self._busy:
            self._next(loop)
        try:
            async with asyncio.timeout(seconds):
                return await waiting.done
        except TimeoutError as error:
            raise TemporaryError("the database is too slow or locked: it is tried again") from error

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        # Who gave up is not served any more.
        waiting = [one for one in self._waiting if not one.done.done()]
        group, self._waiting = waiting[:MOST_AT_ONCE], waiting[MOST_AT_ONCE:]
        self._busy = bool(group)
        if group:
            loop.run_in_executor(self._thread, self._do_group, loop, group)

    def _do_group(self, loop: asyncio.AbstractEventLoop, group: list[_Waiting]) -> None:
        results: Sequence[Any] = ()
        try:
            results = self._run([one.work for one in group])
        finally:
            # Whatever happened, nobody waits for ever.
            lost = TemporaryError("a thread of the database failed: it is tried again")
            loop.call_soon_threadsafe(self._settle, loop, group, [*results, *[lost] * (len(group) - len(results))])

    def _settle(self, loop: asyncio.AbstractEventLoop, group: list[_Waiting], results: list[Any]) -> None:
        for one, result in zip(group, results, strict=True):
            if one.done.done():
                continue
            if isinstance(result, MunimentError):
                one.done.set_exception(result)
            else:
                one.done.set_result(result)
        self._next(loop)


class SqliteDatabase:
    """See `Database`. The directory of the file must be there."""

    def __init__(self, path: Path) -> None:
        self._engine = _sqlite_engine(path)
        self._writing = self._engine.execution_options(**{_WRITES: True})
        self._glancing = self._engine.execution_options(**{_GLANCES: True})
        self._writer = _Lane("database-writer", self._write)
        self._glancer = _Lane("database-glancer", self._glance)
        self._readers = ThreadPoolExecutor(READERS, "database-reader")

    async def read(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""

        def transaction() -> T:
            with mapped(), self._engine.begin() as connection:
                return work(connection, *arguments, **options)

        return await asyncio.get_running_loop().run_in_executor(self._readers, transaction)

    async def glance(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""
        result: T = await self._glancer.do(_bound(work, arguments, options))
        return result

    async def write(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""
        result: T = await self._writer.do(_bound(work, arguments, options))
        return result

    async def alter(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""
        result: T = await self._writer.do(_bound(work, arguments, options), None)
        return result

    async def close(self) -> None:
        """See `Database`."""
        self._writer.close()
        self._glancer.close()
        self._readers.shutdown()
        self._engine.dispose()

    def _write(self, group: Sequence[partial[Any]]) -> Sequence[Any]:
        try:
            with mapped(), self._writing.begin() as connection:
                return [_attempt(connection, work, alone=len(group) == 1) for work in group]
        except MunimentError as error:
            return [error] * len(group)

    def _glance(self, group: Sequence[partial[Any]]) -> Sequence[Any]:
        try:
            with mapped(), self._glancing.connect() as connection:
                return [work(connection) for work in group]
        except MunimentError as error:
            return [error] * len(group)


def _attempt(connection: Connection, work: partial[Any], *, alone: bool) -> Any:
    if alone:
        return work(connection)
    try:
        with mapped(), connection.begin_nested():
            return work(connection)
    except MunimentError as error:
        return error


def _bound(work: Any, arguments: Any, options: Any) -> partial[Any]:
    def run(connection: Connection) -> Any:
        return work(connection, *arguments, **options)

    return partial(run)


def _log_ahead(cursor: sqlite3.Cursor) -> None:
    """Turn the write-ahead log on. Of two that do it at once for a new file SQLite refuses one without waiting."""
    try:
        cursor.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise
        raise NotYetError(str(error)) from error


def _sqlite_engine(path: Path) -> Engine:
    engine = sa.create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": BUSY_SECONDS},
        pool_size=READERS + 2,
        # They would be in the text of errors.
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # The driver must not open transactions by itself: it would begin them as readers, and a reader that turns
        # writer fails at once when another has written meanwhile.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (f"busy_timeout={BUSY_SECONDS * 1000}", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        try:
            wait_blocking("the write-ahead log", partial(_log_ahead, cursor), timeout=BUSY_SECONDS)
        except WaitTimeoutError as error:
            raise TemporaryError(f"the database is away or locked ({error}): it is tried again") from error
        finally:
            cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        # Without a transaction each statement sees the state of its own moment.
        if not options.get(_GLANCES, False):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(_WRITES, False) else "BEGIN")

    return engine
