"""The notary's store does the same in SQLite, in MariaDB and in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from muniment.kernel.errors import PermanentError
from muniment.notary.errors import NumberTakenError
from muniment.notary.store import Store, open_store
from muniment.notary.values import Anchor, NewBatch, NewFile, NewRequest, Outbox, Place, State, file_id
from tests.support.databases import PASSWORD

pytestmark = pytest.mark.anyio

BIG = 1 << 40


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    of_server = request.param != "sqlite"
    url = request.getfixturevalue(request.param).fresh() if of_server else "sqlite"
    store = open_store(url, PASSWORD if of_server else None, tmp_path)
    await asyncio.gather(store.migrate(), store.migrate())
    yield store
    await store.close()


def upload(number: int, files: int, key: str | None = None, name: str = "n") -> NewRequest:
    identifier = f"{number:032x}"
    return NewRequest(
        identifier,
        key,
        name.encode().ljust(32),
        [
            NewFile(file_id(identifier, n), name, n + BIG, bytes(32), "c", n, b"\x00\xff'", Place(number, n), 5)
            for n in range(files)
        ],
    )


def batch(number: int, size: int) -> NewBatch:
    return NewBatch(number, size, 3 * BIG, b"\xff" * 32, b"h", bytes(32), bytes(32), "cid", 1, 2)


async def test_a_key_is_known_within_a_group_and_later(store: Store) -> None:
    repeated = await store.accept([upload(1, 2, "k"), upload(2, 2, "k"), upload(3, 1, "k", "other"), upload(4, 1)])
    assert {r: (a.request, a.same) for r, a in repeated.items()} == {
        f"{2:032x}": (f"{1:032x}", True),
        f"{3:032x}": (f"{1:032x}", False),
    }
    again = await store.accept([upload(9, 2, "k")])
    assert again[f"{9:032x}"].same
    assert [file.size for file in await store.views_of_request(f"{1:032x}")] == [BIG, BIG + 1]
    assert (await store.backlog()).files == 3


async def test_a_file_is_in_one_batch_only(store: Store) -> None:
    await store.accept([upload(1, 3)])
    ids = [member.id for member in await store.waiting(10)]
    await store.add_batch(batch(1, 3), ids)
    with pytest.raises(PermanentError, match="another batch"):
        await store.add_batch(batch(2, 1), ids[:1])
    with pytest.raises(NumberTakenError):
        await store.add_batch(batch(1, 0), [])
    assert await store.last_batch() == (1, bytes(32))
    assert [b.fixed for b in await store.batches_in(State.BATCHED)] == [batch(1, 3)]
    assert (await store.views(ids))[ids[0]].state is State.BATCHED


async def test_a_batch_comes_through_all_its_states(store: Store) -> None:
    await store.ping()
    assert await store.last_batch() is None
    assert (await store.backlog()).files == 0
    # More than fit one list of identifiers; names as long and as foreign as they may be.
    await store.accept([upload(1, 700), upload(2, 1, name="文" * 1000), upload(3, 1)])
    members = await store.waiting(701)
    ids = [member.id for member in members]
    assert await store.present([*ids, "unknown"]) == set(ids)
    await store.add_batch(batch(7, 701), ids)
    assert await store.members(7) == members
    assert await store.statements(7) == [(each, b"\x00\xff'") for each in ids]
    assert await store.statements_of(ids[:2]) == dict.fromkeys(ids[:2], b"\x00\xff'")
    assert await store.unstored_by_segment() == {1: 700, 2: 1, 3: 1}
    await store.set_cause(7, attempts=2, retry_at=BIG, cause="é" * 5000)
    counted = await store.counts()
    assert (counted.files[State.BATCHED], counted.files[State.RECEIVED], counted.stuck) == (701, 1, 1)
    stuck = await store.batch(7)
    assert stuck is not None
    assert (stuck.attempts, stuck.retry_at, set(stuck.cause)) == (2, BIG, {"é"})
    await store.set_stored(7, ["a", "b"])
    outbox = Outbox(b"\xff" * 4000, "0x" + "1" * 64, BIG)
    anchor = Anchor("0x" + "2" * 64, BIG, "0x" + "3" * 64, BIG, 5, BIG)
    await store.set_outbox(7, outbox)
    await store.set_anchored(7, anchor)
    done = await store.batch(7)
    assert done is not None
    assert (done.state, done.holders, done.outbox, done.anchor) == (State.ANCHORED, ("a", "b"), outbox, anchor)
    assert (done.cause, done.attempts) == ("", 0)
    assert await store.unstored_by_segment() == {3: 1}
    view = (await store.views(ids))[ids[-1]]
    assert (view.name, view.state, view.batch) == ("文" * 1000, State.ANCHORED, 7)
