"""SQLite: writes that come together are one transaction, each fails alone; waits end; readers see what is committed."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from muniment.database.engine import ping
from muniment.database.errors import DiskFullError, ReadOnlyError
from muniment.database.sqlite import SqliteDatabase
from muniment.kernel.errors import MunimentError, PermanentError, TemporaryError

pytestmark = pytest.mark.anyio

ITEMS = sa.Table("items", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))


def insert(connection: Connection, number: int) -> None:
    connection.execute(sa.insert(ITEMS).values(id=number))


def numbers(connection: Connection) -> list[int]:
    return list(connection.execute(sa.select(ITEMS.c.id).order_by(ITEMS.c.id)).scalars())


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    """With an empty table."""
    database = SqliteDatabase(tmp_path / "a.sqlite")
    await database.alter(lambda connection: ITEMS.create(connection))
    yield database
    await database.close()


class Gate:
    """Work that holds the writer until it is opened, so that others gather behind it."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def hold(self, _connection: Connection) -> None:
        assert self._open.wait(10)

    def open(self) -> None:
        self._open.set()


async def gathered(database: SqliteDatabase, *numbers: int) -> list[BaseException | None]:
    """Write all these numbers in one transaction; what each gave."""
    gate = Gate()
    tasks = [asyncio.create_task(database.write(gate.hold))]
    tasks += [asyncio.create_task(database.write(insert, number)) for number in numbers]
    await asyncio.sleep(0)
    gate.open()
    _, *results = await asyncio.gather(*tasks, return_exceptions=True)
    return results


async def test_writes_that_come_together_are_all_kept(database: SqliteDatabase, tmp_path: Path) -> None:
    assert await gathered(database, *range(50)) == [None] * 50
    assert await database.read(numbers) == list(range(50))
    with sqlite3.connect(tmp_path / "a.sqlite") as other:
        assert other.execute("SELECT count(*) FROM items").fetchone() == (50,)
    other.close()


async def test_of_writes_that_come_together_each_fails_alone(database: SqliteDatabase) -> None:
    results = await gathered(database, 1, 2, 1, 3)
    assert [type(result) for result in results] == [type(None), type(None), PermanentError, type(None)]
    assert await database.glance(numbers) == [1, 2, 3]


async def test_who_waits_too_long_is_told_and_not_served_later(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    holding = asyncio.create_task(database.write(gate.hold))
    await asyncio.sleep(0)
    with pytest.raises(TemporaryError, match="too slow or locked"):
        async with asyncio.timeout(10):
            await database.write(insert, 1)
    with pytest.raises(TemporaryError):
        await holding
    gate.open()
    await database.write(insert, 2)
    assert await database.read(numbers) == [2]


async def test_a_glance_sees_what_was_committed_a_moment_ago(database: SqliteDatabase, tmp_path: Path) -> None:
    other = SqliteDatabase(tmp_path / "a.sqlite")
    for number in range(20):
        await database.write(insert, number)
        assert number in await other.glance(numbers)
        assert number in await other.read(numbers)
    await other.close()


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("database or disk is full", DiskFullError),
        ("attempt to write a readonly database", ReadOnlyError),
        ("database is locked", TemporaryError),
        ("disk I/O error", TemporaryError),
    ],
)
async def test_errors_of_sqlite_are_mapped(database: SqliteDatabase, reason: str, kind: type[MunimentError]) -> None:
    def failing(_connection: Connection) -> None:
        raise sa.exc.OperationalError("INSERT", {}, sqlite3.OperationalError(reason))

    with pytest.raises(kind) as raised:
        await database.write(failing)
    assert type(raised.value) is kind
    await database.write(insert, 1)


async def test_several_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    for number in range(30):
        databases = [SqliteDatabase(tmp_path / f"{number}.sqlite") for _ in range(8)]
        try:
            await asyncio.gather(*(one.glance(ping) for one in databases))
        finally:
            for one in databases:
                await one.close()
