"""Reading tables of another program's database, row by row, whatever their size: nothing is written there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from muniment.database.engine import mapped
from muniment.kernel.errors import InputError

_DRIVERS: Final = {"postgresql": "postgresql+asyncpg", "mysql": "mysql+asyncmy", "mariadb": "mysql+asyncmy"}
_SQLITE: Final = "sqlite:///"
ROWS_AT_ONCE: Final = 100


class Source:
    """A database at `url` (without a password): `postgresql://`, `mysql://`, `mariadb://` or `sqlite:///FILE`.

    Raises `InputError` for others; its methods raise `TemporaryError` and `PermanentError`.
    """

    def __init__(self, url: str, password: str | None) -> None:
        self._file: Path | None = None
        self._engine: AsyncEngine | None = None
        if url.startswith(_SQLITE):
            self._file = Path(url.removeprefix(_SQLITE))
            if not self._file.is_file():
                raise InputError(f"{self._file} is not there: name the database's file")
            return
        try:
            parsed = make_url(url)
            driver = _DRIVERS[parsed.drivername]
        except (sa.exc.ArgumentError, KeyError) as error:
            raise InputError(
                f"{url!r} names no known database: use postgresql://, mysql:// or sqlite:///FILE"
            ) from error
        self._engine = create_async_engine(parsed.set(drivername=driver, password=password), pool_size=2)

    async def tables(self) -> Mapping[str, str]:
        """The names of all tables, by their small letters: databases differ in whether capitals count."""
        if self._engine is None:
            with mapped(), self._opened() as connection:
                return _names(connection)
        with mapped():
            async with self._engine.connect() as connection:
                return await connection.run_sync(_names)

    async def rows(self, table: str) -> AsyncIterator[dict[str, Any]]:
        """Every row of a table, its columns by their small letters; a few are in memory at a time."""
        statement = sa.select(sa.text("*")).select_from(sa.table(table))
        if self._engine is None:
            with mapped(), self._opened() as connection:
                for row in connection.execution_options(yield_per=ROWS_AT_ONCE).execute(statement):
                    yield _small(row._mapping)
            return
        with mapped():
            async with self._engine.connect() as connection:
                result = await connection.stream(statement, execution_options={"yield_per": ROWS_AT_ONCE})
                async for row in result:
                    yield _small(row._mapping)

    async def close(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            await self._engine.dispose()

    def _opened(self) -> sa.Connection:
        return sa.create_engine(f"sqlite:///file:{self._file}?mode=ro&uri=true", poolclass=sa.NullPool).connect()


def _names(connection: sa.Connection) -> Mapping[str, str]:
    return {name.lower(): name for name in sa.inspect(connection).get_table_names()}


def _small(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name).lower(): value for name, value in row.items()}
