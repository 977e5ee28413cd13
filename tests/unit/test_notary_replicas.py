"""Two notaries on one database, each with its own spool: nothing is lost or anchored twice, and one anchors."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from muniment.kernel.waiting import NotYetError, wait_for
from muniment.notary import leasing
from muniment.notary.values import State
from tests.support.notary import SETTLED, Rig

pytestmark = pytest.mark.anyio

LEASE_MS = 600


@pytest.fixture(autouse=True)
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasing, "LEASE_MS", LEASE_MS)
    monkeypatch.setattr(leasing, "RENEW_SECONDS", LEASE_MS / 6000)
    short = functools.partial(leasing.granted, length=LEASE_MS)
    monkeypatch.setattr("muniment.notary.store_leases.granted", short)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Rig, Rig]]:
    """The first one anchors."""
    first = Rig(tmp_path / "1", replica="a" * 16)
    second = Rig(tmp_path / "2", replica="b" * 16, beside=first)
    await first.start()
    assert await first.store.lead()
    await second.start()
    yield first, second
    for rig in (first, second):
        await rig.stop()


async def test_both_take_files_and_know_all_of_them(pair: tuple[Rig, Rig]) -> None:
    ids = [(await pair[n % 2].upload([b"%d" % n]))[0].id for n in range(20)]
    for rig in pair:
        await rig.all_anchored(ids)
    ledger = pair[0].ledger
    assert sum(ledger.sizes.values()) == len(ids)
    assert len(ledger.mined) == len(ledger.anchors)
    stored = [name for directory in pair[0].contents.values() for name in directory]
    assert sorted(stored) == sorted(ids)
    chain = [await pair[0].store.batch(number) for number in range(1, len(ledger.anchors) + 1)]
    assert [one.fixed.previous for one in chain[1:]] == [one.fixed.digest for one in chain[:-1]]


async def test_a_key_is_known_to_both(pair: tuple[Rig, Rig]) -> None:
    (file,) = await pair[0].upload([b"x"], "key")
    (again,) = await pair[1].upload([b"x"], "key")
    assert again.id == file.id


async def test_what_a_dead_one_signed_the_other_sends(pair: tuple[Rig, Rig]) -> None:
    first, second = pair
    first.ledger.mining = False
    (file,) = await first.upload([b"x"])
    await sent(first, 1)
    await first.kill()
    first.ledger.mining = True
    await second.all_anchored([file.id])
    assert len(set(first.ledger.sent)) == 1
    await first.start()


async def test_what_a_dead_one_received_it_goes_on_with_itself(pair: tuple[Rig, Rig]) -> None:
    first, second = pair
    first.notary.forming.form_one = nothing_formed  # type: ignore[method-assign]
    (file,) = await first.upload([b"x"])
    await first.kill()
    (known,) = await second.notary.files([file.id])
    assert known.state is State.RECEIVED
    (other,) = await second.upload([b"y"])
    await second.all_anchored([other.id])
    assert (await second.notary.files([file.id]))[0].state is State.RECEIVED
    await first.start()
    await second.all_anchored([file.id])


async def nothing_formed() -> int | None:
    return None


async def test_one_that_hung_and_believes_it_leads_changes_nothing(
    pair: tuple[Rig, Rig], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first, second = pair
    first.ledger.mining = False
    (file,) = await first.upload([b"x"])
    await sent(first, 1)
    outbox = (await first.store.batch(1)).outbox
    # It renews no more, and works on.
    first.store.lead = believed
    (more,) = await first.upload([b"y"])
    await led_by(second)
    first.ledger.mining = True
    await second.all_anchored([file.id, more.id])
    assert (await second.store.batch(1)).outbox == outbox
    assert len(first.ledger.mined) == len(first.ledger.anchors)
    assert (await second.store.counts()).stuck == 0
    assert "left to another notary" in caplog.text


async def test_one_that_stops_in_order_makes_nobody_wait(
    pair: tuple[Rig, Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = functools.partial(leasing.granted, length=3_600_000)
    monkeypatch.setattr("muniment.notary.store_leases.granted", long)
    first, second = pair
    assert await first.store.lead()
    await first.stop()
    await led_by(second)
    await first.start()


async def test_an_only_notary_becomes_one_of_two(tmp_path: Path) -> None:
    alone = Rig(tmp_path / "1", window_seconds=3600)
    await alone.start()
    waiting = (await alone.upload([b"received"]))[0].id
    await alone.notary.forming.form_one()
    late = (await alone.upload([b"later"]))[0].id
    await alone.kill()
    other = Rig(tmp_path / "2", replica="b" * 16, beside=alone)
    await other.start()
    assert (await other.store.backlog()).files == 0
    one = Rig(tmp_path / "1", replica="a" * 16, beside=alone)
    await one.start()
    await other.all_anchored([waiting, late])
    for rig in (one, other):
        await rig.stop()


async def believed(*, renew_only: bool = False) -> bool:
    """As of one that does not know yet that it leads no more."""
    del renew_only
    return True


async def led_by(rig: Rig) -> None:
    async def leads() -> None:
        if not await rig.store.lead():
            raise NotYetError("it does not lead")

    await wait_for("the other one to lead", leads, timeout=SETTLED)


async def sent(rig: Rig, times: int) -> None:
    async def enough() -> None:
        if len(rig.ledger.sent) < times:
            raise NotYetError(f"sent {len(rig.ledger.sent)} times")

    await wait_for("the transaction to be sent", enough, timeout=SETTLED)
