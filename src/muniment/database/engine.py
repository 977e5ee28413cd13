"""A database: runs whole transactions, one way for SQLite and one for servers, and maps errors.

A transaction is a function of a connection. For SQLite it runs in a thread from beginning to end, since a change of
threads for every statement costs more than the statement; for a server it runs on asyncio (SQLAlchemy's `run_sync`).
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from muniment.database.errors import DiskFullError, ReadOnlyError
from muniment.kernel.errors import MunimentError, PermanentError, TemporaryError

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[Connection, P], T]

_FULL: Final = ("disk is full", "No space left", "could not extend file", "is full", "quota exceeded")
_READ_ONLY: Final = ("readonly database", "read-only", "read only")
_LARGE: Final = ("max_allowed_packet",)
_PERMANENT_CLASSES: Final = ("0A", "22", "23", "42")
"""PostgreSQL, appendix A: not supported, bad data, broken constraint, bad statement."""


class Database(Protocol):
    """Runs transactions.

    Raises `DiskFullError`, `ReadOnlyError`, `TemporaryError` (away, locked), `PermanentError` (all others).
    """

    async def read(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Run `work` on one state of the database, that of now."""

    async def glance(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Run `work`, which reads by one statement, on the state of now: without the cost of a transaction."""

    async def write(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Run `work` in a transaction that is durable when this returns, or did not happen when it raises.

        After an error of the connection it may have happened. `work` may be run more than once, but only one run can
        be committed: it must do nothing outside the database.
        """

    async def alter(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """`write` for work on the tables, which may take long. MySQL keeps what was done before an error."""

    async def close(self) -> None:
        """Close the connections."""


def open_database(url: str, password: str | None, sqlite_file: Path) -> Database:
    """The database `sqlite` (`sqlite_file`) or at a URL without a password; nothing is connected yet.

    Raises `InputError` for other URLs. Both modules are imported when they are needed: SQLAlchemy's asyncio part alone
    takes a quarter of a second.
    """
    database: Database
    if url == "sqlite":
        database = importlib.import_module("muniment.database.sqlite").SqliteDatabase(sqlite_file)
    else:
        database = importlib.import_module("muniment.database.server").open_server(url, password)
    return database


@contextlib.contextmanager
def mapped() -> Iterator[None]:
    """Maps errors of the database as `Database` says."""
    try:
        yield
    except MunimentError:
        raise
    except exc.DBAPIError as error:
        raise _meaning(error) from error
    except exc.TimeoutError as error:
        raise TemporaryError("the database is too busy: no connection was free in time, it is tried again") from error
    except (OSError, TimeoutError) as error:
        # Drivers that connect by themselves pass the socket's error on.
        reason = str(error) or "it did not answer in its time"
        raise TemporaryError(f"the database cannot be reached ({reason}): start it or mend its address") from error


def _meaning(error: exc.DBAPIError) -> MunimentError:
    """What an error of a driver means: no room, no writes, away, or a statement that never works."""
    reason = " ".join(str(error.orig).split())
    if any(sign in str(one.orig) for one in _chain(error) for sign in _LARGE):
        return PermanentError("the database takes no row of this size: raise max_allowed_packet at its server")
    if any(sign in reason for sign in _FULL):
        return DiskFullError(f"the database has no room left ({reason}): free space on its disk")
    if any(sign in reason for sign in _READ_ONLY):
        return ReadOnlyError(f"the database takes no writes ({reason}): point to the primary, or make it writable")
    if error.connection_invalidated or not _never_works(error):
        return TemporaryError(f"the database is away or locked ({reason}): it is tried again")
    return PermanentError(f"the database refuses a statement ({reason}): report this")


def _chain(error: BaseException | None) -> Iterator[exc.DBAPIError]:
    """The error and those in whose handling it came up: MySQL's server hangs up after some."""
    while error is not None:
        if isinstance(error, exc.DBAPIError):
            yield error
        error = error.__context__


def _never_works(error: exc.DBAPIError) -> bool:
    if isinstance(error, exc.IntegrityError | exc.ProgrammingError | exc.DataError | exc.NotSupportedError):
        return True
    # The driver of PostgreSQL has few classes of errors; the code's first two characters tell more.
    return str(getattr(error.orig, "sqlstate", None) or "")[:2] in _PERMANENT_CLASSES


def ping(connection: Connection) -> None:
    """Ask the database for a constant."""
    connection.execute(sa.select(1))
