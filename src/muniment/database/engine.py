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
_READ_ONLY: Final = ("readonly database", "read-only", "read only", "super-read-only")


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

        After an error of the connection it may have happened. `work` may be run more than once, so it must be such that
        a repetition has no second effect.
        """

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
    except exc.IntegrityError as error:
        raise PermanentError(f"the database refuses a contradiction ({error.orig}): report this") from error
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, exc.InternalError) as error:
        raise away(error) from error
    except exc.DBAPIError as error:
        found = away(error)
        if error.connection_invalidated or type(found) is not TemporaryError:
            raise found from error
        raise PermanentError(f"the database refuses a statement ({error.orig}): report this") from error
    except (OSError, TimeoutError) as error:
        # Drivers that connect by themselves pass the socket's error on.
        reason = str(error) or "it did not answer in its time"
        raise TemporaryError(f"the database cannot be reached ({reason}): start it or mend its address") from error


def away(error: Exception) -> TemporaryError:
    """What an error of a driver means: no room, no writes, or away."""
    reason = " ".join(str(getattr(error, "orig", None) or error).split())
    if any(sign in reason for sign in _FULL):
        return DiskFullError(f"the database has no room left ({reason}): free space on its disk")
    if any(sign in reason for sign in _READ_ONLY):
        return ReadOnlyError(f"the database takes no writes ({reason}): point to the primary, or make it writable")
    return TemporaryError(f"the database is away or locked ({reason}): it is tried again")


def ping(connection: Connection) -> None:
    """Ask the database for a constant."""
    connection.execute(sa.select(1))
