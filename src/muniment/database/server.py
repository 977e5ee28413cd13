"""A database on a server, on asyncio: PostgreSQL, MySQL or MariaDB, at one host or several of which one takes writes.

Every transaction goes to a server that takes writes. With several hosts in the URL (`postgresql://user@a:5432,b:5432/name`)
the first that is reached and is no replica is used, and when it is lost the next; reads too, since a replica may not
have yet what was acknowledged a moment ago.

- READ COMMITTED: with the default of MySQL (REPEATABLE READ) a connection that stays open reads an old state.
- A connection is checked once, when it is made. One that died since is noticed by its first statement; then the whole
  transaction is run again, once, on a fresh one. That spares a round trip for every transaction.
- Every wait has an end: for a connection, for a place in the pool, and for the transaction as a whole.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from typing import Any, Final, ParamSpec, TypeVar

from sqlalchemy import event, exc
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.engine.url import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from muniment.database.engine import Work, mapped
from muniment.database.errors import ReadOnlyError
from muniment.kernel.errors import InputError, TemporaryError

CONNECT_SECONDS: Final = 2
"""How long one host may take to be connected."""

TRANSACTION_SECONDS: Final = 4
"""How long a transaction may take, the wait for a connection included."""

POOL_SIZE: Final = 10
RECYCLE_SECONDS: Final = 1800
"""Connections are made anew after this, before a firewall or the server forgets them."""

_DRIVERS: Final = {"postgresql": "postgresql+asyncpg", "mysql": "mysql+asyncmy", "mariadb": "mysql+asyncmy"}

P = ParamSpec("P")
T = TypeVar("T")


def open_server(url: str, password: str | None) -> ServerDatabase:
    """The database at a URL without a password; nothing is connected yet. Raises `InputError` for unknown kinds."""
    return ServerDatabase([_engine(one, password) for one in hosts(url)])


def hosts(url: str) -> Sequence[URL]:
    """One URL for every host of a URL that may name several. Raises `InputError` for unknown kinds."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, places = authority.rpartition("@")
    try:
        found = [make_url(f"{scheme}{separator}{user}{at}{place}{slash}{path}") for place in places.split(",")]
        return [one.set(drivername=_DRIVERS[one.drivername]) for one in found]
    except (exc.ArgumentError, KeyError, ValueError) as error:
        raise InputError(
            f"the database URL {url!r} names no known database: use sqlite, postgresql:// or mysql://"
        ) from error


class ServerDatabase:
    """See `Database`. `engines` are the hosts in the order of preference."""

    def __init__(self, engines: Sequence[AsyncEngine]) -> None:
        self._engines = list(engines)

    async def read(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""
        return await self.write(work, *arguments, **options)

    async def write(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""
        bound = functools.partial(_call, work, arguments, options)
        with mapped():
            async with asyncio.timeout(TRANSACTION_SECONDS):
                return await self._on_primary(bound)

    async def close(self) -> None:
        """See `Database`."""
        for engine in self._engines:
            await engine.dispose()

    async def _on_primary(self, bound: Callable[[Connection], T]) -> T:
        causes: list[TemporaryError] = []
        for engine in list(self._engines):
            try:
                with mapped():
                    return await _run(engine, bound)
            except TemporaryError as error:
                if len(self._engines) == 1:
                    raise
                causes.append(error)
                # It is asked last from now on, until the others are lost in their turn.
                self._engines.remove(engine)
                self._engines.append(engine)
        raise TemporaryError(
            "no host of the database takes writes (" + "; ".join(map(str, causes)) + "): start the primary"
        ) from causes[-1]


async def _run(engine: AsyncEngine, bound: Callable[[Connection], T]) -> T:
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(bound)
    except exc.DBAPIError as error:
        if not error.connection_invalidated:
            raise
    # A pooled connection had died; SQLAlchemy has thrown away the whole pool.
    async with engine.begin() as connection:
        return await connection.run_sync(bound)


def _engine(url: URL, password: str | None) -> AsyncEngine:
    is_mysql = url.drivername.startswith("mysql")
    connect: dict[str, Any] = (
        {"charset": "utf8mb4", "connect_timeout": CONNECT_SECONDS}
        if is_mysql
        else {"timeout": CONNECT_SECONDS, "server_settings": {"synchronous_commit": "on"}}
    )
    engine = create_async_engine(
        url.set(password=password),
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=TRANSACTION_SECONDS,
        pool_recycle=RECYCLE_SECONDS,
        pool_reset_on_return="rollback",
        isolation_level="READ COMMITTED",
        connect_args=connect,
    )
    _refuse_replicas(engine, is_mysql=is_mysql)
    return engine


def _refuse_replicas(engine: AsyncEngine, *, is_mysql: bool) -> None:
    question = "SELECT @@global.read_only" if is_mysql else "SELECT pg_is_in_recovery()"

    @event.listens_for(engine.sync_engine, "connect")
    def _check(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(question)
        (is_replica,) = cursor.fetchone()
        cursor.close()
        connection.rollback()
        if is_replica:
            raise ReadOnlyError(
                f"{engine.url.host}:{engine.url.port} is a replica, or was made read-only: name the primary"
            )


def _call(work: Callable[..., T], arguments: tuple[Any, ...], options: dict[str, Any], connection: Connection) -> T:
    return work(connection, *arguments, **options)
