"""Stores of several notaries on one database do the same in SQLite, in MariaDB and in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from muniment.database.engine import open_database
from muniment.kernel.errors import TemporaryError
from muniment.notary.errors import LostLeaseError, NumberTakenError
from muniment.notary.store import Store
from muniment.notary.store_leases import ANCHORING
from muniment.notary.store_tables import leases
from muniment.notary.values import Anchor, NewBatch, NewFile, NewRequest, Outbox, Place, State, file_id
from tests.support.databases import PASSWORD

pytestmark = pytest.mark.anyio

OUTBOX = Outbox(b"raw", "0x" + "1" * 64, 7)
ANCHOR = Anchor("0x" + "2" * 64, 5, "0x" + "3" * 64, 6, 0, 1)
Pair = tuple[Store, Store]


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """Of an empty database."""
    return "sqlite" if request.param == "sqlite" else str(request.getfixturevalue(request.param).fresh())


@pytest.fixture
async def pair(url: str, tmp_path: Path) -> AsyncIterator[Pair]:
    """Two stores of one database."""
    one, other = (shared(url, tmp_path, name * 16) for name in "ab")
    await asyncio.gather(one.migrate(), other.migrate())
    yield one, other
    for store in (one, other):
        await store.close()


def shared(url: str, folder: Path, replica: str) -> Store:
    return Store(open_database(url, None if url == "sqlite" else PASSWORD, folder / "n.sqlite"), replica)


async def in_database(url: str, folder: Path, statement: sa.Executable) -> None:
    """Run a statement as if the world had done it."""
    database = open_database(url, None if url == "sqlite" else PASSWORD, folder / "n.sqlite")

    def run(connection: Connection) -> None:
        connection.execute(statement)

    await database.write(run)
    await database.close()


def upload(number: int, files: int, key: str | None = None) -> NewRequest:
    identifier = f"{number:032x}"
    new = [NewFile(file_id(identifier, n), "n", n, bytes(32), "c", n, b"s", Place(number, n), 5) for n in range(files)]
    return NewRequest(identifier, key, bytes(32), new)


def batch(number: int, size: int) -> NewBatch:
    return NewBatch(number, size, 3, bytes(32), b"h", bytes(32), bytes(32), "cid", 1, 2)


async def batched(store: Store, number: int, files: int = 1) -> list[str]:
    await store.accept([upload(number, files)])
    ids = [member.id for member in await store.waiting(99)]
    await store.add_batch(batch(number, len(ids)), ids)
    return ids


async def test_what_waits_is_the_one_s_whose_spool_holds_it(pair: Pair) -> None:
    one, other = pair
    await one.accept([upload(1, 2)])
    await other.accept([upload(2, 3)])
    assert [(await store.backlog()).files for store in pair] == [2, 3]
    assert [await store.unstored_by_segment() for store in pair] == [{1: 2}, {2: 3}]
    ids = [member.id for member in await one.waiting(99)]
    await one.add_batch(batch(1, 2), ids)
    assert [len(await store.batches_in(State.BATCHED)) for store in pair] == [1, 0]
    await one.set_stored(1, ["p"])
    assert [len(await store.batches_in(State.STORED)) for store in pair] == [1, 1]
    assert {view.state for view in (await other.views(ids)).values()} == {State.STORED}


async def test_of_two_that_ask_at_once_one_leads(pair: Pair) -> None:
    answers = await asyncio.gather(*(store.lead() for store in pair for _ in range(5)), return_exceptions=True)
    assert all(isinstance(answer, bool | TemporaryError) for answer in answers), answers
    assert sorted([await store.lead() for store in pair]) == [False, True]


async def test_one_that_lost_the_lease_writes_nothing(pair: Pair, url: str, tmp_path: Path) -> None:
    one, other = pair
    assert [await one.lead(), await other.lead()] == [True, False]
    await batched(one, 1)
    await one.set_stored(1, ["p"])
    await one.set_cause(1, attempts=1, retry_at=1 << 50, cause="by a clock that is far ahead")
    await batched(one, 2)
    await in_database(url, tmp_path, sa.update(leases).where(leases.c.name == ANCHORING).values(until=0))
    assert [await other.lead(), await one.lead()] == [True, False]
    (left,) = await other.batches_in(State.STORED)
    assert (left.retry_at, left.attempts) == (0, 1)
    for write in (
        one.set_outbox(1, OUTBOX),
        one.set_anchored(1, ANCHOR),
        one.set_cause(1, attempts=9, retry_at=9, cause="stale"),
    ):
        with pytest.raises(LostLeaseError):
            await write
    assert await other.batches_in(State.STORED) == [left]
    # What is not stored yet is its own all the same.
    await one.set_cause(2, attempts=1, retry_at=5, cause="its own")
    await one.set_stored(2, ["p"])
    await other.set_outbox(1, OUTBOX)
    await other.set_anchored(1, ANCHOR)
    done = await one.batch(1)
    assert done is not None
    assert done.state is State.ANCHORED


async def test_a_fence_that_was_passed_holds_up_who_would_take_over(pair: Pair, url: str, tmp_path: Path) -> None:
    """What is written under a lease is seen by whoever has it next, or is not written."""
    one, other = pair
    for number in range(1, 6):
        assert await one.lead()
        await batched(one, number)
        await one.set_stored(number, ["p"])
        await in_database(url, tmp_path, sa.update(leases).where(leases.c.name == ANCHORING).values(until=0))
        written = asyncio.create_task(one.set_outbox(number, OUTBOX))
        while not await other.lead():
            pass
        seen = await other.batch(number)
        assert seen is not None
        outcome = (await asyncio.gather(written, return_exceptions=True))[0]
        assert seen.outbox == (None if isinstance(outcome, LostLeaseError) else OUTBOX)
        await other.resign()


async def test_while_it_is_busy_the_lease_is_renewed_only(pair: Pair, url: str, tmp_path: Path) -> None:
    one, other = pair
    assert await one.lead()
    assert await one.lead(renew_only=True)
    await one.resign()
    assert await other.lead()
    await other.resign()
    assert not await one.lead(renew_only=True)
    assert await one.lead()
    # The same volume's notary, started anew, is fenced off from what it was.
    again = shared(url, tmp_path, "a" * 16)
    await batched(one, 1)
    await one.set_stored(1, ["p"])
    assert await again.lead()
    with pytest.raises(LostLeaseError):
        await one.set_outbox(1, OUTBOX)
    await again.set_outbox(1, OUTBOX)
    await again.close()


async def test_a_lease_lasts_and_ends_by_the_database_s_clock(pair: Pair, url: str, tmp_path: Path) -> None:
    one, other = pair
    assert await one.lead()
    later = sa.update(leases).where(leases.c.name == ANCHORING)
    await in_database(url, tmp_path, later.values(until=leases.c.until - 5000))
    assert not await other.lead()
    await in_database(url, tmp_path, later.values(until=leases.c.until - 2000))
    assert await other.lead()
    await in_database(url, tmp_path, later.values(until=leases.c.until + 3_600_000))
    assert await one.lead()


async def test_a_number_is_one_notary_s(pair: Pair) -> None:
    ids = []
    for n, store in enumerate(pair):
        await store.accept([upload(n + 1, 1)])
        ids.append([member.id for member in await store.waiting(9)])
    adds = (store.add_batch(batch(1, 1), own) for store, own in zip(pair, ids, strict=True))
    outcomes = await asyncio.gather(*adds, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if outcome] == [NumberTakenError]
    loser = next(n for n, outcome in enumerate(outcomes) if outcome)
    assert (await pair[loser].backlog()).files == 1
    await pair[loser].add_batch(batch(2, 1), ids[loser])


async def test_a_key_that_comes_to_both_at_once_is_one_upload(pair: Pair) -> None:
    for round_ in range(5):
        requests = [upload(10 * round_ + n, 1, f"k{round_}") for n in (1, 2)]
        tries = [store.accept([request]) for store, request in zip(pair, requests, strict=True)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        for n, outcome in enumerate(outcomes):
            if isinstance(outcome, BaseException):
                assert isinstance(outcome, TemporaryError)
                outcomes[n] = await pair[n].accept([requests[n]])
        answers = [outcome for outcome in outcomes if outcome]
        assert len(answers) == 1
        present = await pair[0].present([request.files[0].id for request in requests])
        assert len(present) == 1


async def test_what_an_only_notary_left_gets_the_name_of_its_volume(pair: Pair, url: str, tmp_path: Path) -> None:
    only = shared(url, tmp_path, "")
    await batched(only, 1, 2)
    await only.set_stored(1, ["p"])
    await batched(only, 2, 2)
    await only.accept([upload(3, 1)])
    one, other = pair
    assert await other.adopt({77}) == 0
    assert await one.adopt({2, 3, 77}) == 3
    assert await one.unstored_by_segment() == {2: 2, 3: 1}
    assert [one.fixed.number for one in await one.batches_in(State.BATCHED)] == [2]
    assert await one.adopt({2, 3}) == 0
    assert await only.unstored_by_segment() == {}
    await only.close()


async def test_tables_of_the_first_revision_are_changed_with_what_is_in_them(url: str, tmp_path: Path) -> None:
    only = shared(url, tmp_path, "")
    await only.migrate()
    await batched(only, 1, 2)
    await only.accept([upload(2, 1)])
    for table in ("batches", "files"):
        await in_database(url, tmp_path, sa.text(f"ALTER TABLE {table} DROP COLUMN replica"))
    await in_database(url, tmp_path, sa.text("DROP TABLE notary_leases"))
    await in_database(url, tmp_path, sa.text("UPDATE alembic_version SET version_num = '0001'"))
    one, other = (shared(url, tmp_path, name * 16) for name in "ab")
    await asyncio.gather(one.migrate(), other.migrate())
    assert await only.unstored_by_segment() == {1: 2, 2: 1}
    assert await one.adopt({1}) == 3
    assert (await one.views([file_id(f"{1:032x}", 0)]))[file_id(f"{1:032x}", 0)].state is State.BATCHED
    assert await one.lead()
    for store in (only, one, other):
        await store.close()
