"""The third stage's work: one transaction for one batch, signed and kept before it is sent."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from muniment.kernel.errors import MunimentError, PermanentError, TemporaryError, WaitTimeoutError
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.notary.doors import BatchStore, Ledger
from muniment.notary.values import Anchor, Batch, Outbox, State

CONFIRM_SECONDS: Final = 20.0
"""How long one try waits for its transaction before it asks again from the start."""

RESEND_SECONDS: Final = 3.0
POLL_SECONDS: Final = 0.05
LONGEST_POLL_SECONDS: Final = 0.25

MOST_AHEAD: Final = 8
"""Batches whose transactions may be under way behind the one that waits for its block."""

_log = logging.getLogger(__name__)


class Anchoring:
    """Anchors one batch; repeatable at every point.

    The contract answers a root that it holds already with its old sequence number, so that even a second transaction
    for one batch would change nothing; keeping the signed bytes spares that second transaction. While one batch waits
    for its block, the transactions of the next ones are under way with the next nonces, in their order.
    """

    def __init__(
        self,
        store: BatchStore,
        ledger: Ledger,
        moved: Callable[[Batch, State], None],
        *,
        confirm_seconds: float = CONFIRM_SECONDS,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._moved = moved
        self._confirm_seconds = confirm_seconds

    async def __call__(self, batch: Batch) -> None:
        """One batch from `stored` to `anchored`."""
        number = batch.fixed.number
        anchor = None
        outbox = batch.outbox
        if outbox is not None:
            anchor = await self._earlier(batch, outbox)
            if anchor is None and await self._used_up(batch, outbox):
                outbox = None
        if anchor is None:
            anchor = await self._sent(batch, outbox or await self._sign(batch, await self._ledger.next_nonce()))
        await self._store.set_anchored(number, anchor)
        _log.info("batch anchored", extra={"batch": number, "block": anchor.block_number, "seq": anchor.seq})
        self._moved(batch, State.ANCHORED)

    async def _sign(self, batch: Batch, nonce: int) -> Outbox:
        fixed = batch.fixed
        outbox = self._ledger.sign(fixed.root, fixed.size, fixed.digest, nonce)
        await self._store.set_outbox(fixed.number, outbox)
        return outbox

    async def _earlier(self, batch: Batch, outbox: Outbox) -> Anchor | None:
        """The anchor from an earlier try, by the kept transaction or by any other."""
        fixed = batch.fixed
        # The digest tells a database that was restored to an older state, where the root fits and the header does not.
        return await self._mined(outbox, fixed.root) or await self._ledger.lookup(fixed.root, fixed.digest)

    async def _used_up(self, batch: Batch, outbox: Outbox) -> bool:
        """Whether the kept transaction can anchor no more: it was refused, or another one took its nonce."""
        if await self._ledger.next_nonce() <= outbox.nonce:
            return False
        # Asked in this order, so that one mined between the two questions is seen.
        return await self._mined(outbox, batch.fixed.root) is None

    async def _mined(self, outbox: Outbox, root: bytes) -> Anchor | None:
        """The anchor that the kept transaction made; one that was refused made none."""
        try:
            return await self._ledger.confirmation(outbox.hash, root)
        except PermanentError:
            return None

    async def _sent(self, batch: Batch, outbox: Outbox) -> Anchor:
        """Send until it is mined: a node that dies takes along what it alone had in its pool."""
        tries = max(1, round(self._confirm_seconds / RESEND_SECONDS))
        for last in (False,) * (tries - 1) + (True,):
            await self._ledger.send(outbox.raw)
            try:
                return await self._confirmed(batch, outbox)
            except WaitTimeoutError as error:
                if last:
                    raise TemporaryError(f"{error}; the same transaction is sent again") from error
        raise AssertionError("the last try returns or raises")

    async def _ahead(self, batch: Batch, outbox: Outbox) -> tuple[Batch, Outbox]:
        """Send the transaction of the batch after `batch`, if there is one; it is confirmed when its turn comes.

        A transaction that arrives after a validator began its block waits for the next one, with QBFT seconds later
        when the begun one is empty (`topology.chain`): the more are there by then, the fewer blocks a backlog waits
        for. Returns the last batch that was sent.
        """
        waiting = [other for other in await self._store.batches_in(State.STORED) if not other.attempts]
        later = [other for other in waiting if other.fixed.number > batch.fixed.number]
        if not later:
            return batch, outbox
        following = min(later, key=lambda other: other.fixed.number)
        sent = following.outbox or await self._sign(following, outbox.nonce + 1)
        await self._ledger.send(sent.raw)
        return following, sent

    async def _tried_ahead(self, batch: Batch, outbox: Outbox) -> tuple[Batch, Outbox]:
        try:
            return await self._ahead(batch, outbox)
        except MunimentError as error:
            # It has a turn of its own, with a cause and a retry of its own.
            _log.info("the next batch was not sent ahead", extra={"batch": batch.fixed.number, "cause": str(error)})
            return batch, outbox

    async def _confirmed(self, batch: Batch, outbox: Outbox) -> Anchor:
        last = batch, outbox

        async def mined() -> Anchor:
            nonlocal last
            anchor = await self._ledger.confirmation(outbox.hash, batch.fixed.root)
            if anchor is None:
                if last[1].nonce < outbox.nonce + MOST_AHEAD:
                    last = await self._tried_ahead(*last)
                raise NotYetError(f"transaction {outbox.hash} is not in a final block yet")
            return anchor

        return await wait_for(
            f"the anchor of batch {batch.fixed.number}",
            mined,
            timeout=min(RESEND_SECONDS, self._confirm_seconds),
            interval=POLL_SECONDS,
            longest_interval=LONGEST_POLL_SECONDS,
        )
