"""The engine below the store: one for each kind of database, and foreign errors mapped to ours."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from muniment.kernel.errors import InputError, MunimentError, PermanentError, TemporaryError
from muniment.notary.errors import DiskFullError

SQLITE_FILE = "notary.sqlite"
BUSY_SECONDS = 5
"""How long a statement waits for a locked SQLite file before it fails."""

_DRIVERS = {"postgresql": "postgresql+asyncpg", "mysql": "mysql+asyncmy", "mariadb": "mysql+asyncmy"}
_WRITES = "muniment_writes"


def create_engine(url: str, password: str | None, data_dir: Path) -> AsyncEngine:
    """The engine for `sqlite` (a file in `data_dir`) or a URL without a password. Raises `InputError` for others."""
    if url == "sqlite":
        return _sqlite(data_dir / SQLITE_FILE)
    try:
        parsed = make_url(url)
        driver = _DRIVERS[parsed.drivername]
    except (exc.ArgumentError, KeyError) as error:
        raise InputError(
            f"the database URL {url!r} names no known database: use sqlite, postgresql:// or mysql://"
        ) from error
    options: dict[str, Any] = {"isolation_level": "READ COMMITTED"}
    if driver.startswith("mysql"):
        options["connect_args"] = {"charset": "utf8mb4"}
    return create_async_engine(
        parsed.set(drivername=driver, password=password), pool_pre_ping=True, pool_recycle=1800, **options
    )


def _sqlite(path: Path) -> AsyncEngine:
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # The driver must not open transactions by itself: it would begin them as readers, and a reader that turns
        # writer fails at once when another has written meanwhile.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            f"busy_timeout={BUSY_SECONDS * 1000}",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextlib.asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection whose statements see one state of the database. Raises `TemporaryError` while it is away."""
    with mapped():
        async with engine.connect() as connection:
            yield connection


@contextlib.asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction, committed durably at the end of the block or not at all. Raises as `mapped` says."""
    with mapped():
        async with engine.connect() as connection:
            await connection.execution_options(**{_WRITES: True})
            async with connection.begin():
                yield connection


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


async def ping(engine: AsyncEngine) -> None:
    """Ask the database for a constant. Raises `TemporaryError` while it is away."""
    async with reading(engine) as connection:
        await connection.execute(sa.select(1))
