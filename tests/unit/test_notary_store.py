"""The notary's store: tables as the revisions make them, errors of the database mapped."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.schema import CreateTable

from muniment.database.engine import mapped, open_database
from muniment.database.errors import DiskFullError
from muniment.kernel.errors import InputError, TemporaryError
from muniment.notary.store import REVISIONS, Store, open_store
from muniment.notary.store_tables import metadata
from muniment.notary.values import NewFile, NewRequest, Place, file_id

pytestmark = pytest.mark.anyio


def request(number: int, files: int, key: str | None = None, name: str = "n") -> NewRequest:
    identifier = f"{number:032x}"
    return NewRequest(
        identifier,
        key,
        name.encode().ljust(32),
        [NewFile(file_id(identifier, n), name, n, bytes(32), "c", n, b"s", Place(1, 0), 5) for n in range(files)],
    )


async def opened(folder: Path) -> Store:
    store = open_store("sqlite", None, folder)
    await store.migrate()
    return store


async def test_revisions_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.migrate()
    await store.close()
    with sa.create_engine(f"sqlite:///{tmp_path / 'notary.sqlite'}").connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    config = Config()
    config.set_main_option("script_location", str(REVISIONS.place))
    assert ScriptDirectory.from_config(config).get_current_head() == REVISIONS.head


@pytest.mark.parametrize("dialect", [mysql.dialect(), postgresql.dialect()])
def test_tables_compile_for_servers(dialect: sa.Dialect) -> None:
    for table in metadata.sorted_tables:
        assert table.name in str(CreateTable(table).compile(dialect=dialect))


async def test_a_locked_database_is_a_temporary_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muniment.database.sqlite.BUSY_SECONDS", 0)
    store = await opened(tmp_path)
    other = sqlite3.connect(tmp_path / "notary.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TemporaryError, match="locked"):
        await store.accept([request(1, 1)])
    assert (await store.backlog()).files == 0
    other.execute("ROLLBACK")
    other.close()
    await store.accept([request(1, 1)])
    assert (await store.backlog()).files == 1
    await store.close()


def test_a_full_disk_has_its_own_error() -> None:
    with pytest.raises(DiskFullError), mapped():
        raise sa.exc.OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))


@pytest.mark.parametrize("url", ["oracle://x", "no url"])
def test_unknown_databases_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match="names no known database"):
        open_database(url, None, tmp_path / "a.sqlite")


@pytest.mark.parametrize("url", ["postgresql://u@h/d", "mysql://u@h/d", "mariadb://u@h:3307/d"])
async def test_a_server_that_is_away_is_a_temporary_error(tmp_path: Path, url: str) -> None:
    store = open_store(url.replace("@h", "@127.0.0.1").replace(":3307", "").replace("/d", ":1/d"), "secret", tmp_path)
    with pytest.raises(TemporaryError) as raised:
        await store.ping()
    assert "secret" not in str(raised.value)
    await store.close()
