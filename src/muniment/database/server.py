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
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.engine.url import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from muniment.database.engine import Work, mapped
from muniment.database.errors import ReadOnlyError
from muniment.kernel.errors import InputError, TemporaryError

CONNECT_SECONDS: Final = 2
"""How long one host may take to be connected."""

TRANSACTION_SECONDS: Final = 4
"""How long a transaction may take, the wait for a connection included."""

POOL_SIZE: Final = 8
RECYCLE_SECONDS: Final = 1800
"""Connections are made anew after this, before a firewall or the server forgets them."""

_DRIVERS: Final = {"postgresql": "postgresql+asyncpg", "mysql": "mysql+asyncmy", "mariadb": "mysql+asyncmy"}

P = ParamSpec("P")
T = TypeVar("T")


def open_server(url: str, password: str | None) -> ServerDatabase:
    """The database at a URL without a password; nothing is connected yet. Raises `InputError` for unknown kinds."""
    return ServerDatabase([_Host(one, password) for one in hosts(url)])


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
    """See `Database`. `hosts` are in the order of preference."""

    def __init__(self, hosts: Sequence[_Host]) -> None:
        self._hosts = list(hosts)

    async def read(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""
        return await self.write(work, *arguments, **options)

    async def write(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""
        return await self._do(_Host.transaction, functools.partial(_call, work, arguments, options))

    async def glance(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""
        return await self._do(_Host.statement, functools.partial(_call, work, arguments, options))

    async def close(self) -> None:
        """See `Database`."""
        for host in self._hosts:
            await host.close()

    async def _do(self, how: Callable[[_Host], AsyncEngine], bound: Callable[[Connection], T]) -> T:
        with mapped():
            async with asyncio.timeout(TRANSACTION_SECONDS):
                return await self._on_primary(how, bound)

    async def _on_primary(self, how: Callable[[_Host], AsyncEngine], bound: Callable[[Connection], T]) -> T:
        causes: list[TemporaryError] = []
        for host in list(self._hosts):
            try:
                with mapped():
                    return await _run(how(host), bound)
            except TemporaryError as error:
                if len(self._hosts) == 1:
                    raise
                causes.append(error)
                # It is asked last from now on, until the others are lost in their turn.
                if host in self._hosts:
                    self._hosts.remove(host)
                    self._hosts.append(host)
        raise TemporaryError(
            "no host of the database takes writes (" + "; ".join(map(str, causes)) + "): start the primary"
        ) from causes[-1]


class _Host:
    """One server: connections for transactions, and others for single statements."""

    def __init__(self, url: URL, password: str | None) -> None:
        self._transactions = _engine(url, password, "READ COMMITTED")
        self._statements = _engine(url, password, "AUTOCOMMIT")

    def transaction(self) -> AsyncEngine:
        """Connections for transactions."""
        return self._transactions

    def statement(self) -> AsyncEngine:
        """Connections on which every statement sees the state of its own moment."""
        return self._statements

    async def close(self) -> None:
        """Close all connections."""
        await self._transactions.dispose()
        await self._statements.dispose()


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


def _engine(url: URL, password: str | None, isolation: IsolationLevel) -> AsyncEngine:
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
        # A connection for single statements has nothing to roll back.
        pool_reset_on_return=None if isolation == "AUTOCOMMIT" else "rollback",
        isolation_level=isolation,
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
