"""The pipeline's judgement: what is stuck does not hold up the rest, and no transaction is made twice without need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from muniment.kernel.errors import MunimentError, PermanentError, TemporaryError
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.notary.doors import Ledger
from muniment.notary.errors import StuckBatchError
from muniment.notary.forming import Forming, InFlight
from muniment.notary.settings import BatchSettings
from muniment.notary.values import Anchor, Outbox, State
from tests.support.notary import SETTLED, Rig

pytestmark = pytest.mark.anyio


async def test_a_poisoned_batch_does_not_hold_up_the_rest(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    await rig.start()
    rig.content.fail = lambda _n, arguments: StuckBatchError("content is gone") if arguments[0] == 1 else None
    (poisoned,) = await rig.upload([b"poisoned"])
    await batch_with_cause(rig, 1, "content is gone")
    healthy = [(await rig.upload([b"%d" % n]))[0].id for n in range(3)]
    await rig.all_anchored(healthy)
    assert (await rig.notary.files([poisoned.id]))[0].cause == "content is gone"
    rig.content.fail = lambda _n, _a: None
    await rig.all_anchored([poisoned.id])
    assert (await rig.store.batch(1)).cause == ""
    await rig.stop()


async def batch_with_cause(rig: Rig, number: int, cause: str) -> None:
    async def stuck() -> None:
        batch = await rig.store.batch(number)
        if batch is None or cause not in batch.cause:
            raise NotYetError(str(batch))

    await wait_for(f"batch {number} to be stuck", stuck, timeout=SETTLED)


async def test_the_same_bytes_are_sent_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    await rig.start()
    rig.ledger.mining = False
    (file,) = await rig.upload([b"x"])
    await rig.notary.files([file.id], State.STORED, SETTLED)
    await sent(rig, 1)
    await rig.stop()
    await rig.start()
    await sent(rig, 2)
    rig.ledger.mining = True
    await rig.all_anchored([file.id])
    assert len(set(rig.ledger.sent)) == 1
    await rig.stop()


async def sent(rig: Rig, times: int) -> None:
    async def enough() -> None:
        if len(rig.ledger.sent) < times:
            raise NotYetError(f"sent {len(rig.ledger.sent)} times")

    await wait_for("the transaction to be sent", enough, timeout=SETTLED)


async def test_the_next_batches_are_sent_while_the_first_waits_for_its_block(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    await rig.start()
    rig.ledger.mining = False
    (first,) = await rig.upload([b"first"])
    await sent(rig, 1)
    (second,) = await rig.upload([b"second"])
    await sent(rig, 2)
    (third,) = await rig.upload([b"third"])
    await sent(rig, 3)
    assert [json.loads(raw)[3] for raw in rig.ledger.sent[:3]] == [0, 1, 2]
    rig.ledger.mining = True
    await rig.all_anchored([first.id, second.id, third.id])
    assert len(set(rig.ledger.sent)) == 3
    await rig.stop()


async def test_a_root_anchored_with_another_header_is_not_taken_for_ours(tmp_path: Path) -> None:
    """As after a database was restored to an older state: the root fits, the batch header does not."""
    rig = Rig(tmp_path)
    await rig.start()
    rig.ledger.mining = False
    await rig.upload([b"x"])
    await sent(rig, 1)
    batch = await rig.store.batch(1)
    assert batch is not None
    await rig.stop()
    rig.ledger.anchors[batch.fixed.root] = Anchor("0x" + "cd" * 32, 1, "0x" + "ab" * 32, 1_700_000_001, 0, 1)
    rig.ledger.digests[batch.fixed.root] = bytes(32)
    await rig.start()
    await batch_with_cause(rig, 1, "another batch")
    await rig.stop()


async def test_a_nonce_that_another_took_is_replaced(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    await rig.start()
    rig.ledger.mining = False
    (file,) = await rig.upload([b"x"])
    await sent(rig, 1)
    await rig.stop()
    rig.ledger.nonce += 1
    rig.ledger.mining = True
    await rig.start()
    await rig.all_anchored([file.id])
    assert len(rig.ledger.mined) == len(rig.ledger.anchors) == 1
    await rig.stop()


class RefusingLedger:
    """Mines the first transaction and refuses it, as a contract does that has no such writer."""

    def __init__(self, ledger: Ledger, refused: str) -> None:
        self._ledger = ledger
        self._refused: set[str] = set()
        self._cause = refused
        self.refuse = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def sign(self, root: bytes, size: int, digest: bytes, nonce: int) -> Outbox:
        outbox = self._ledger.sign(root, size, digest, nonce)
        if self.refuse:
            self._refused.add(outbox.hash)
        return outbox

    async def confirmation(self, transaction: str, root: bytes) -> Anchor | None:
        if transaction in self._refused:
            self._ledger.anchors.clear()  # type: ignore[attr-defined]
            raise PermanentError(self._cause)
        return await self._ledger.confirmation(transaction, root)


async def test_a_refused_transaction_is_replaced_once_it_is_allowed(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    refusing = RefusingLedger(rig.ledger, "the account may not anchor")
    rig.ledger = refusing  # type: ignore[assignment]
    await rig.start()
    (file,) = await rig.upload([b"x"])
    await batch_with_cause(rig, 1, "may not anchor")
    refusing.refuse = False
    await rig.all_anchored([file.id])
    await rig.stop()


async def test_the_database_away_for_a_while(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    await rig.start()
    failing = {"left": 6}

    def fail(name: str, _arguments: tuple[Any, ...]) -> MunimentError | None:
        if name == "accept" or failing["left"] <= 0:
            return None
        failing["left"] -= 1
        return TemporaryError("the database is away")

    rig.store.fail = fail
    files = await rig.upload([b"a", b"b"])
    await rig.all_anchored([file.id for file in files])
    assert failing["left"] == 0
    assert len(rig.ledger.anchors) == 1
    await rig.stop()


def test_the_window_stretches_while_the_chain_is_away() -> None:
    in_flight = InFlight()
    forming = Forming(None, BatchSettings(window_seconds=1), "net/alpha", in_flight, lambda: None, lambda: 0)  # type: ignore[arg-type]
    windows = []
    for stored in range(12):
        in_flight.set(State.STORED, stored)
        windows.append(forming.window_seconds())
    assert windows[:5] == [1, 1, 1, 2, 4]
    assert max(windows) == 60


async def test_batches_close_at_their_limits(tmp_path: Path) -> None:
    rig = Rig(tmp_path, max_files=4, max_bytes=100)
    await rig.start()
    files = await rig.upload([b"x" * n for n in (10, 90, 1, 0, 0, 0, 0, 250, 3)])
    await rig.all_anchored([file.id for file in files])
    sizes = [(await rig.store.batch(n)).fixed.size for n in range(1, (await rig.store.last_batch())[0] + 1)]
    assert sizes == [2, 4, 1, 1, 1]
    await rig.stop()
