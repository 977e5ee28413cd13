"""A database on a server, on asyncio: PostgreSQL, MySQL or MariaDB, at one host or several of which one takes writes.

Everything goes to a server that takes writes. With several hosts in the URL (`postgresql://user@a:5432,b:5432/name`)
the first that is reached and is no replica is used, and when it is lost the next; reads too, since a replica may not
have yet what was acknowledged a moment ago.

- READ COMMITTED: with the default of MySQL (REPEATABLE READ) a connection that stays open reads an old state.
- A connection is set up and checked once, when it is made. One that died since is noticed by its first statement; then
  the whole transaction is run again on a fresh one. That spares a round trip for every transaction. What died at its
  commit is not run again: it may have been committed.
- Every wait has an end: for a connection, for a place in the pool, for a lock, and for the transaction as a whole.
"""

from __future__ import annotations

import asyncio
import functools
import operator
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.engine.url import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from muniment.database.engine import Work, mapped
from muniment.database.session import READ_ONLY, prepare_mysql, prepare_postgresql, refusal
from muniment.kernel.errors import InputError, TemporaryError

CONNECT_SECONDS: Final = 2
"""How long one host may take to be connected."""

TRANSACTION_SECONDS: Final = 3.0
"""How long a call may take, the wait for a connection included; shared by the first two hosts, if there are several."""

ALTER_SECONDS: Final = 120.0
"""How long the tables may take to be made."""

ATTEMPTS: Final = 5
"""How often a transaction is run when connections turn out dead, or when another transaction came in its way."""

POOL_SIZE: Final = 8
RECYCLE_SECONDS: Final = 1800
"""Connections are made anew after this, before a firewall or the server forgets them."""

PREPARED: Final = 64
"""Statements that MySQL's driver keeps prepared on a connection. Bytes are sent as they are then: to write megabytes as
text of a statement takes seconds."""

_DRIVERS: Final = {"postgresql": "postgresql+asyncpg", "mysql": "mysql+asyncmy", "mariadb": "mysql+asyncmy"}
_COLLISIONS: Final = ("40P01", "40001", 1213)
"""Deadlocks: PostgreSQL's two codes and MySQL's one. The transaction was rolled back as a whole."""

P = ParamSpec("P")
T = TypeVar("T")


def open_server(url: str, password: str | None) -> ServerDatabase:
    """The database at a URL without a password; nothing is connected yet. Raises `InputError` for unknown kinds."""
    return ServerDatabase([Host(one, password) for one in hosts(url)])


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

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._hosts = list(hosts)

    async def read(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""
        bound = functools.partial(_read, work, arguments, options)
        return await self._on_primary(lambda host, seconds: host.transaction(bound, seconds))

    async def write(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""
        bound = functools.partial(_call, work, arguments, options)
        return await self._on_primary(lambda host, seconds: host.transaction(bound, seconds))

    async def glance(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""
        bound = functools.partial(_call, work, arguments, options)
        return await self._on_primary(lambda host, seconds: host.statement(bound, seconds))

    async def alter(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""
        bound = functools.partial(_alter, work, arguments, options)
        return await self._on_primary(lambda host, _: host.transaction(bound, ALTER_SECONDS))

    async def close(self) -> None:
        """See `Database`."""
        for host in self._hosts:
            await host.close()

    async def _on_primary(self, run: Callable[[Host, float], Awaitable[T]]) -> T:
        seconds = TRANSACTION_SECONDS / min(len(self._hosts), 2)
        causes: list[TemporaryError] = []
        for host in list(self._hosts):
            try:
                return await run(host, seconds)
            except TemporaryError as error:
                if len(self._hosts) == 1:
                    raise
                causes.append(error)
                # It is asked last from now on, until the others are lost in their turn.
                self._hosts.sort(key=functools.partial(operator.is_, host))
        raise TemporaryError(
            "no host of the database takes writes (" + "; ".join(map(str, causes)) + "): start the primary"
        ) from causes[-1]


class Host:
    """One server: connections for transactions, and others for single statements."""

    def __init__(self, url: URL, password: str | None) -> None:
        self._transactions = _engine(url, password, "READ COMMITTED")
        self._statements = _engine(url, password, "AUTOCOMMIT")
        self._left: set[asyncio.Task[Any]] = set()

    async def transaction(self, bound: Callable[[Connection], T], seconds: float) -> T:
        """Run `bound` in a transaction, within so many seconds. Raises as `Database` says."""
        return await self._within(seconds, _run(self._transactions.begin, bound))

    async def statement(self, bound: Callable[[Connection], T], seconds: float) -> T:
        """Run `bound` on a connection on which every statement sees the state of its own moment."""
        # Even where nothing is open, a commit would be sent to the server.
        return await self._within(seconds, _run(self._statements.connect, bound))

    async def close(self) -> None:
        """Close all connections."""
        if self._left:
            await asyncio.wait(self._left)
        await self._transactions.dispose()
        await self._statements.dispose()

    async def _within(self, seconds: float, work: Coroutine[Any, Any, T]) -> T:
        # It is left behind then: a driver may take seconds to take leave of a server that hangs.
        task = asyncio.create_task(work)
        with mapped():
            try:
                done, _ = await asyncio.wait((task,), timeout=seconds)
                if not done:
                    raise TimeoutError
                return task.result()
            finally:
                if not task.done():
                    task.cancel()
                    self._left.add(task)
                    task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            # Else asyncio tells of an error that nobody looked at.
            task.exception()


async def _run(
    connect: Callable[[], AbstractAsyncContextManager[AsyncConnection]], bound: Callable[[Connection], T]
) -> T:
    for attempt in range(1, ATTEMPTS + 1):
        worked = False
        try:
            async with connect() as connection:
                result = await connection.run_sync(bound)
                worked = True
            return result  # noqa: TRY300 - it is one only when the commit succeeded
        except exc.DBAPIError as error:
            # A dead connection, whose whole pool SQLAlchemy has thrown away. Not when it died at the commit, which may
            # have succeeded.
            lost = error.connection_invalidated and not worked
            if attempt == ATTEMPTS or not (lost or _collided(error)):
                raise
    raise AssertionError("the last attempt returns or raises")


def _collided(error: exc.DBAPIError) -> bool:
    original = error.orig
    code = getattr(original, "sqlstate", None) or next(iter(getattr(original, "args", ())), None)
    return code in _COLLISIONS


def _engine(url: URL, password: str | None, isolation: IsolationLevel) -> AsyncEngine:
    is_mysql = url.drivername.startswith("mysql")
    connect: dict[str, Any] = (
        {"charset": "utf8mb4", "connect_timeout": CONNECT_SECONDS, "stmt_cache_size": PREPARED}
        if is_mysql
        else {"timeout": CONNECT_SECONDS}
    )
    single = isolation == "AUTOCOMMIT"
    engine = create_async_engine(
        url.set(password=password),
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=TRANSACTION_SECONDS,
        pool_recycle=RECYCLE_SECONDS,
        # A connection for single statements has nothing to roll back.
        pool_reset_on_return=None if single else "rollback",
        skip_autocommit_rollback=single,
        isolation_level=isolation,
        connect_args=connect,
        # They would be in the text of errors.
        hide_parameters=True,
    )
    prepare = prepare_mysql if is_mysql else prepare_postgresql
    place = f"{url.host}:{url.port}" if url.port else str(url.host)

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        try:
            prepare(connection, place)
        except BaseException:
            # The pool does not know it yet.
            connection.close()
            raise

    return engine


def _call(work: Callable[..., T], arguments: tuple[Any, ...], options: dict[str, Any], connection: Connection) -> T:
    return work(connection, *arguments, **options)


def _read(work: Callable[..., T], arguments: tuple[Any, ...], options: dict[str, Any], connection: Connection) -> T:
    # A server may have become a replica since it was connected.
    if connection.execute(_reads_only(connection.dialect.name)).scalar_one():
        raise refusal(f"{connection.engine.url.host}:{connection.engine.url.port}")
    return work(connection, *arguments, **options)


def _alter(work: Callable[..., T], arguments: tuple[Any, ...], options: dict[str, Any], connection: Connection) -> T:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    return work(connection, *arguments, **options)


@functools.cache
def _reads_only(dialect: str) -> sa.Select[Any]:
    return sa.select(sa.literal_column(READ_ONLY[dialect]))
