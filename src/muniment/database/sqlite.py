"""A SQLite file: one thread writes, some read (write-ahead log).

Writes that wait while one is under way are done together, in one transaction with one sync of the disk, each within a
savepoint of its own: none sees what another's failure left.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from muniment.database.engine import Work, mapped
from muniment.kernel.errors import MunimentError, TemporaryError

BUSY_SECONDS: Final = 3
"""How long a statement waits for a locked file before it fails."""

READERS: Final = 4
"""Threads that read; one more writes."""

MOST_AT_ONCE: Final = 256
"""Writes in one transaction."""

_WRITES = "muniment_writes"

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class _Waiting:
    """One write that waits for the writer."""

    work: partial[Any]
    done: asyncio.Future[Any]


class SqliteDatabase:
    """See `Database`. The directory of the file must be there."""

    def __init__(self, path: Path) -> None:
        self._engine = _sqlite_engine(path)
        self._writing = self._engine.execution_options(**{_WRITES: True})
        self._writer = ThreadPoolExecutor(1, "database-writer")
        self._readers = ThreadPoolExecutor(READERS, "database-reader")
        self._waiting: list[_Waiting] = []
        self._busy = False

    async def read(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""

        def transaction() -> T:
            with mapped(), self._engine.begin() as connection:
                return work(connection, *arguments, **options)

        return await asyncio.get_running_loop().run_in_executor(self._readers, transaction)

    async def write(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(_bound(work, arguments, options), loop.create_future())
        self._waiting.append(waiting)
        if not self._busy:
            self._next(loop)
        result: T = await waiting.done
        return result

    async def close(self) -> None:
        """See `Database`."""
        self._writer.shutdown()
        self._readers.shutdown()
        self._engine.dispose()

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        group, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
        self._busy = bool(group)
        if group:
            loop.run_in_executor(self._writer, self._write_group, loop, group)

    def _write_group(self, loop: asyncio.AbstractEventLoop, group: list[_Waiting]) -> None:
        """In the writer's thread: one transaction, and the results back to those who wait."""
        results: list[Any] = []
        try:
            with mapped(), self._writing.begin() as connection:
                results.extend(_attempt(connection, one.work, alone=len(group) == 1) for one in group)
        except MunimentError as error:
            results = [error] * len(group)
        finally:
            # Whatever happened, nobody waits for ever.
            missing = TemporaryError("the database's writer failed: it is tried again")
            results.extend(missing for _ in range(len(group) - len(results)))
            loop.call_soon_threadsafe(self._settle, loop, group, results)

    def _settle(self, loop: asyncio.AbstractEventLoop, group: list[_Waiting], results: list[Any]) -> None:
        for one, result in zip(group, results, strict=True):
            if one.done.done():
                continue
            if isinstance(result, MunimentError):
                one.done.set_exception(result)
            else:
                one.done.set_result(result)
        self._next(loop)


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


def _sqlite_engine(path: Path) -> Engine:
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS}, pool_size=READERS + 1)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # The driver must not open transactions by itself: it would begin them as readers, and a reader that turns
        # writer fails at once when another has written meanwhile.
        connection.isolation_level = None
        cursor = connection.cursor()
        pragmas = (f"busy_timeout={BUSY_SECONDS * 1000}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
