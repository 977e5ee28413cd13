"""A database that restarts, dies, hangs, is full, locked or read-only: an error at once, no wrong absence, no loss."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from muniment.database.errors import DiskFullError, ReadOnlyError
from muniment.database.server import TRANSACTION_SECONDS, hosts
from muniment.kernel.errors import PermanentError, TemporaryError
from muniment.privacy.store import SqlStore, open_store
from muniment.privacy.values import Payload
from tests.support.databases import PASSWORD, DatabaseServer, MariaDb, PostgreSql, free_port

pytestmark = pytest.mark.anyio

AT_ONCE = 20
SLACK_SECONDS = 2.0
"""What a machine that is busy with other things may add to a time-out."""

SMALL_DISK = "12M"


@pytest.fixture(params=["mariadb", "postgresql"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    """A running server."""
    server: DatabaseServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture
async def store(server: DatabaseServer, tmp_path: Path) -> AsyncIterator[SqlStore]:
    """A store with some open connections."""
    store = await opened(server.fresh(), tmp_path)
    await asyncio.gather(*(store.add(payload()) for _ in range(AT_ONCE)))
    yield store
    await store.close()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of a few megabytes, where PostgreSQL's user may come too."""
    place = Path(tempfile.mkdtemp(prefix="muniment-small-"))
    place.chmod(0o755)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK},mode=0777", "tmpfs", place], check=False)
    if made.returncode:
        place.rmdir()
        pytest.skip("only an administrator can make a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
        place.rmdir()


async def opened(url: str, folder: Path) -> SqlStore:
    store = open_store(url, None if url == "sqlite" else PASSWORD, folder / "privacy.sqlite")
    await store.migrate()
    await store.claim([b"k" * 32])
    return store


def payload(size: int = 100) -> Payload:
    return Payload(bytes(32), os.urandom(size), bytes(24), (bytes(48),), bytes(24), (os.urandom(32),))


async def outcome(store: SqlStore, payload_hash: bytes) -> tuple[object, float]:
    """What a look-up gives, or the kind of error that it raises, and its seconds."""
    begun = time.monotonic()
    try:
        result: object = await store.payload(payload_hash)
    except TemporaryError as error:
        result = type(error)
    return result, time.monotonic() - begun


async def test_a_restart_between_two_calls_is_not_noticed(server: DatabaseServer, store: SqlStore) -> None:
    for end in (server.stop, server.kill):
        end()
        server.start()
        kept = [payload() for _ in range(AT_ONCE)]
        assert await asyncio.gather(*(store.payload(each.hash) for each in kept)) == [None] * AT_ONCE
        end()
        server.start()
        await asyncio.gather(*(store.add(each) for each in kept))
        end()
        server.start()
        assert await asyncio.gather(*(store.payload(each.hash) for each in kept)) == kept


async def test_what_was_acknowledged_survives_the_servers_death(server: DatabaseServer, store: SqlStore) -> None:
    acknowledged: list[Payload] = []
    dead = asyncio.Event()

    async def write() -> None:
        while not dead.is_set():
            one = payload(2000)
            try:
                await store.add(one)
            except TemporaryError:
                return
            acknowledged.append(one)
            if len(acknowledged) == 200:
                server.kill()
                dead.set()

    await asyncio.gather(*(write() for _ in range(AT_ONCE)))
    server.start()
    assert len(acknowledged) >= 200
    assert await asyncio.gather(*(store.payload(each.hash) for each in acknowledged)) == acknowledged


async def test_without_a_server_there_is_an_error_and_no_absence(server: DatabaseServer, store: SqlStore) -> None:
    server.kill()
    try:
        outcomes = await asyncio.gather(*(outcome(store, os.urandom(64)) for _ in range(AT_ONCE)))
        with pytest.raises(TemporaryError):
            await store.add(payload())
        with pytest.raises(TemporaryError):
            await store.check()
    finally:
        server.start()
    assert {result for result, _ in outcomes} == {TemporaryError}
    assert await store.payload(bytes(64)) is None


async def test_no_call_hangs_with_a_server_that_hangs(server: DatabaseServer, store: SqlStore) -> None:
    one = payload()
    server.pause()
    try:
        outcomes = await asyncio.gather(*(outcome(store, os.urandom(64)) for _ in range(AT_ONCE)))
        begun = time.monotonic()
        with pytest.raises(TemporaryError):
            await store.add(one)
        took = time.monotonic() - begun
    finally:
        server.resume()
    assert {result for result, _ in outcomes} == {TemporaryError}
    assert max(took, *(seconds for _, seconds in outcomes)) < TRANSACTION_SECONDS + SLACK_SECONDS
    await store.add(one)
    assert await store.payload(one.hash) == one


async def test_a_server_that_became_read_only_is_refused_for_reads_too(
    server: DatabaseServer, store: SqlStore, tmp_path: Path
) -> None:
    one = payload()
    await store.add(one)
    server.read_only(True)
    try:
        for call in (
            lambda: store.payload(bytes(64)),
            lambda: store.payload(one.hash),
            lambda: store.payloads([one.hash]),
            lambda: store.raw(bytes(64)),
            lambda: store.add(payload()),
            lambda: store.add(one),
            store.check,
        ):
            with pytest.raises(ReadOnlyError, match=r"read-only|takes no writes"):
                await call()
        late = open_store(str(server.url), PASSWORD, tmp_path)
        with pytest.raises(ReadOnlyError, match=r"127\.0\.0\.1:.* name the primary"):
            await late.migrate()
        await late.close()
    finally:
        server.read_only(False)
    assert await store.payload(one.hash) == one
    await store.check()


async def test_a_locked_row_is_waited_for_a_while(server: DatabaseServer, tmp_path: Path) -> None:
    url = server.fresh()
    store = await opened(url, tmp_path)
    one = payload()
    await store.add(one)
    other = create_async_engine(hosts(url)[0].set(password=PASSWORD))
    async with other.begin() as connection:
        await connection.execute(sa.text("UPDATE privacy_payload SET kept_at = 1"))
        begun = time.monotonic()
        with pytest.raises(TemporaryError, match=r"locked|in its time"):
            await store.add(one)
        assert time.monotonic() - begun < TRANSACTION_SECONDS + SLACK_SECONDS
        # Reads do not wait for it.
        assert await store.payload(one.hash) == one
    await other.dispose()
    await store.add(one)
    await store.close()


async def test_a_wrong_password_is_told_without_it(server: DatabaseServer, tmp_path: Path) -> None:
    store = open_store(server.url, "wrong secret", tmp_path)
    with pytest.raises(TemporaryError) as raised:
        await store.migrate()
    assert "muniment" in str(raised.value)
    assert "wrong secret" not in str(raised.value)
    await store.close()


async def test_a_server_without_a_free_connection_is_a_temporary_error(
    postgresql: DatabaseServer, tmp_path: Path
) -> None:
    store = await opened(postgresql.fresh(), tmp_path)
    late = open_store(postgresql.fresh(), PASSWORD, tmp_path)
    postgresql.statement("ALTER ROLE muniment CONNECTION LIMIT 1")
    try:
        with pytest.raises(TemporaryError, match="connections"):
            await late.migrate()
    finally:
        postgresql.statement("ALTER ROLE muniment CONNECTION LIMIT -1")
    await late.migrate()
    await late.close()
    await store.close()


async def test_the_first_server_that_takes_writes_is_used(
    server: DatabaseServer, tmp_path: Path, unused: Callable[[], int]
) -> None:
    url = server.fresh()
    several = url.replace("127.0.0.1", f"127.0.0.1:{unused()},127.0.0.1:{unused()},127.0.0.1")
    store = await opened(several, tmp_path)
    one = payload()
    await store.add(one)
    assert await asyncio.gather(*(store.payload(one.hash) for _ in range(AT_ONCE))) == [one] * AT_ONCE
    server.read_only(True)
    try:
        with pytest.raises(TemporaryError, match="no host of the database takes writes") as raised:
            await store.payload(bytes(64))
        for cause in ("read-only", "Connect call failed"):
            assert cause in str(raised.value)
    finally:
        server.read_only(False)
    assert await store.payload(bytes(64)) is None
    await store.close()


async def test_what_another_database_lacks_is_not_absent(
    store: SqlStore, server: DatabaseServer, tmp_path: Path
) -> None:
    # As after a change of hosts: the tables are there, the payloads are not.
    await store.adopt("the database that was claimed")
    assert await store.payload(bytes(64)) is None
    other = open_store(server.last(), PASSWORD, tmp_path / "unused")
    await other.adopt("another one")
    with pytest.raises(TemporaryError, match="not the database that this manager knows"):
        await store.payload(bytes(64))
    await other.close()


@pytest.fixture
def unused() -> Callable[[], int]:
    """Gives ports that nobody listens on."""
    return free_port


async def test_a_full_disk_is_told_and_nothing_is_half_kept(small_disk: Path, tmp_path: Path) -> None:
    store = await opened("sqlite", small_disk)
    await fills_and_goes_on(store, (small_disk / "filler").unlink, lambda: fill(small_disk / "filler"))


async def test_a_full_disk_of_postgresql(postgresql: PostgreSql, small_disk: Path, tmp_path: Path) -> None:
    url = postgresql.fresh()
    user = pwd.getpwnam("postgres")
    os.chown(small_disk, user.pw_uid, user.pw_gid)
    postgresql.statement(f"CREATE TABLESPACE small LOCATION '{small_disk}'")
    name = hosts(url)[0].database
    postgresql.statement(f"ALTER DATABASE {name} SET TABLESPACE small")
    store = await opened(url, tmp_path)
    try:
        await fills_and_goes_on(store, (small_disk / "filler").unlink, lambda: fill(small_disk / "filler"))
    finally:
        postgresql.statement(f"DROP DATABASE {name} WITH (FORCE)")
        postgresql.statement("DROP TABLESPACE small")


async def test_a_full_disk_of_mariadb(tmp_path: Path) -> None:
    server = MariaDb(
        tmp_path / "server",
        free_port(),
        "--innodb-file-per-table=0",
        "--innodb-data-file-path=ibdata1:12M:autoextend:max:30M",
    )
    try:
        server.start()
        store = await opened(server.fresh(), tmp_path)
        await fills_and_goes_on(store, None, lambda: None)
    finally:
        server.remove()


async def fills_and_goes_on(store: SqlStore, make_room: Callable[[], None] | None, fill_up: Callable[[], None]) -> None:
    """Until there is no room: what was acknowledged is there, what was refused is not, and with room it goes on."""
    kept: list[Payload] = []
    fill_up()
    refused = await first_refused(store, kept)
    assert await store.payload(refused.hash) is None
    assert set(await store.payloads([one.hash for one in kept])) == {one.hash for one in kept}
    if make_room is not None:
        make_room()
        await store.add(refused)
        assert await store.payload(refused.hash) == refused
    await store.close()


async def first_refused(store: SqlStore, kept: list[Payload]) -> Payload:
    for _ in range(200):
        one = payload(300_000)
        try:
            await store.add(one)
        except DiskFullError:
            return one
        kept.append(one)
    raise AssertionError("the disk was never full")


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 16))


async def test_what_mysql_finds_too_large_is_refused(mariadb: DatabaseServer, tmp_path: Path) -> None:
    url = mariadb.fresh()
    mariadb.statement("SET GLOBAL max_allowed_packet = 1048576")
    large = payload(3 << 20)
    try:
        store = await opened(url, tmp_path)
        # The server may hang up before its answer is read.
        with pytest.raises((PermanentError, TemporaryError), match=r"max_allowed_packet|Lost connection"):
            await store.add(large)
        assert await store.payload(large.hash) is None
        await store.close()
    finally:
        mariadb.statement("SET GLOBAL max_allowed_packet = 67108864")
