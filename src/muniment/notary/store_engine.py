"""The database below the store: runs whole transactions, one way for SQLite and one for servers, and maps errors.

A transaction is a function of a connection. For SQLite it runs in a thread from beginning to end, since a change of
threads for every statement costs more than the statement; for a server it runs on asyncio (SQLAlchemy's `run_sync`).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import Connection, Engine

from muniment.kernel.errors import MunimentError, PermanentError, TemporaryError
from muniment.notary.errors import DiskFullError

SQLITE_FILE: Final = "notary.sqlite"
BUSY_SECONDS: Final = 5
"""How long a statement waits for a locked SQLite file before it fails."""

READERS: Final = 4
"""Threads that read SQLite; one more writes."""

_WRITES = "muniment_writes"

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[Connection, P], T]


class Database(Protocol):
    """Runs transactions. Raises `DiskFullError`, `TemporaryError` (away, locked), `PermanentError` (all others)."""

    async def read(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Run `work` on one state of the database."""

    async def write(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Run `work` in a transaction that is durable when this returns, or did not happen when it raises.

        (After an error of the connection it may have happened.)
        """

    async def close(self) -> None:
        """Close the connections."""


def open_database(url: str, password: str | None, data_dir: Path) -> Database:
    """The database `sqlite` (a file in `data_dir`) or at a URL without a password; nothing is connected yet.

    Raises `InputError` for other URLs.
    """
    if url == "sqlite":
        return SqliteDatabase(data_dir / SQLITE_FILE)
    # SQLAlchemy's asyncio part takes a quarter of a second to import, and SQLite does not need it.
    server = importlib.import_module("muniment.notary.store_server")
    database: Database = server.open_server(url, password)
    return database


class SqliteDatabase:
    """A SQLite file: one thread writes, some read (write-ahead log)."""

    def __init__(self, path: Path) -> None:
        self._engine = _sqlite_engine(path)
        self._writer = ThreadPoolExecutor(1, "notary-writer")
        self._readers = ThreadPoolExecutor(READERS, "notary-reader")

    async def read(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""
        return await self._run(self._readers, self._engine, work, *arguments, **options)

    async def write(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""
        writing = self._engine.execution_options(**{_WRITES: True})
        return await self._run(self._writer, writing, work, *arguments, **options)

    async def close(self) -> None:
        """See `Database`."""
        self._writer.shutdown()
        self._readers.shutdown()
        self._engine.dispose()

    async def _run(
        self,
        threads: ThreadPoolExecutor,
        engine: Engine,
        work: Work[P, T],
        *arguments: P.args,
        **options: P.kwargs,
    ) -> T:
        def transaction() -> T:
            with mapped(), engine.begin() as connection:
                return work(connection, *arguments, **options)

        return await asyncio.get_running_loop().run_in_executor(threads, transaction)


def _sqlite_engine(path: Path) -> Engine:
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS}, pool_size=READERS + 1)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # The driver must not open transactions by itself: it would begin them as readers, and a reader that turns
        # writer fails at once when another has written meanwhile.
        connection.isolation_level = None
        cursor = connection.cursor()
        pragmas = ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_SECONDS * 1000}", "foreign_keys=ON")
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextlib.contextmanager
def mapped() -> Iterator[None]:
    """Maps errors of the database: `DiskFullError`, `TemporaryError` (away, locked), `PermanentError` (all others)."""
    try:
        yield
    except MunimentError:
        raise
    except exc.IntegrityError as error:
        raise PermanentError(f"the database refuses a contradiction ({error.orig}): report this") from error
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, exc.InternalError) as error:
        raise _away(error) from error
    except exc.DBAPIError as error:
        if error.connection_invalidated:
            raise _away(error) from error
        raise PermanentError(f"the database refuses a statement ({error.orig}): report this") from error
    except OSError as error:
        # Drivers that connect by themselves pass the socket's error on.
        raise TemporaryError(f"the database cannot be reached ({error}): start it or mend its address") from error


def _away(error: Exception) -> MunimentError:
    reason = str(getattr(error, "orig", None) or error)
    if "disk is full" in reason or "No space left" in reason:
        return DiskFullError(f"the database has no room left ({reason}): free space on its disk")
    return TemporaryError(f"the database is away or locked ({reason}): it is tried again")


def ping(connection: Connection) -> None:
    """Ask the database for a constant."""
    connection.execute(sa.select(1))
