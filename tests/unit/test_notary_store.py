"""The store: tables as the revisions make them, portable statements, errors of the database mapped."""

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
from muniment.kernel.errors import InputError, PermanentError, TemporaryError
from muniment.notary.store import REVISIONS, Store, open_store
from muniment.notary.store_tables import metadata
from muniment.notary.values import NewBatch, NewFile, NewRequest, Place, State, file_id

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


async def test_a_key_is_known_within_a_group_and_later(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    repeated = await store.accept([request(1, 2, "k"), request(2, 2, "k"), request(3, 1, "k", "other"), request(4, 1)])
    assert {r: (a.request, a.same) for r, a in repeated.items()} == {
        f"{2:032x}": (f"{1:032x}", True),
        f"{3:032x}": (f"{1:032x}", False),
    }
    again = await store.accept([request(9, 2, "k")])
    assert again[f"{9:032x}"].same
    files = await store.views_of_request(f"{1:032x}")
    assert [file.size for file in files] == [0, 1]
    assert (await store.backlog()).files == 3
    await store.close()


async def test_a_file_is_in_one_batch_only(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.accept([request(1, 3)])
    ids = [member.id for member in await store.waiting(10)]

    def batch(number: int, size: int) -> NewBatch:
        return NewBatch(number, size, 3, bytes(32), b"h", bytes(32), bytes(32), "cid", 1, 2)

    await store.add_batch(batch(1, 3), ids)
    with pytest.raises(PermanentError, match="another batch"):
        await store.add_batch(batch(2, 1), ids[:1])
    with pytest.raises(PermanentError):
        await store.add_batch(batch(1, 0), [])
    assert await store.last_batch() == (1, bytes(32))
    assert [b.fixed.number for b in await store.batches_in(State.BATCHED)] == [1]
    assert (await store.views(ids))[ids[0]].state is State.BATCHED
    await store.set_stored(1, ["a", "b"])
    stored = await store.batch(1)
    assert stored is not None
    assert (stored.state, stored.holders) == (State.STORED, ("a", "b"))
    assert await store.unstored_by_segment() == {}
    await store.close()


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
