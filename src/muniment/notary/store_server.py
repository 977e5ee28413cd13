"""The store's database on a server: PostgreSQL, MySQL or MariaDB, on asyncio."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from sqlalchemy import exc
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from muniment.kernel.errors import InputError
from muniment.notary.store_engine import Work, mapped

RECYCLE_SECONDS: Final = 1800
"""Connections are made anew after this, before a firewall or the server forgets them."""

_DRIVERS: Final = {"postgresql": "postgresql+asyncpg", "mysql": "mysql+asyncmy", "mariadb": "mysql+asyncmy"}

P = ParamSpec("P")
T = TypeVar("T")


def open_server(url: str, password: str | None) -> ServerDatabase:
    """The database at a URL without a password; nothing is connected yet. Raises `InputError` for unknown kinds."""
    try:
        parsed = make_url(url)
        driver = _DRIVERS[parsed.drivername]
    except (exc.ArgumentError, KeyError) as error:
        raise InputError(
            f"the database URL {url!r} names no known database: use sqlite, postgresql:// or mysql://"
        ) from error
    return ServerDatabase(
        create_async_engine(
            parsed.set(drivername=driver, password=password),
            pool_pre_ping=True,
            pool_recycle=RECYCLE_SECONDS,
            isolation_level="READ COMMITTED",
            connect_args={"charset": "utf8mb4"} if driver.startswith("mysql") else {},
        )
    )


class ServerDatabase:
    """A database server (PostgreSQL, MySQL, MariaDB)."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def read(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""
        return await self.write(work, *arguments, **options)

    async def write(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """See `Database`."""
        with mapped():
            async with self._engine.begin() as connection:
                return await connection.run_sync(functools.partial(_call, work, arguments, options))

    async def close(self) -> None:
        """See `Database`."""
        await self._engine.dispose()


def _call(work: Callable[..., T], arguments: tuple[Any, ...], options: dict[str, Any], connection: Connection) -> T:
    return work(connection, *arguments, **options)
