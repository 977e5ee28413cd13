"""The rules of the lease by which one of several notaries anchors, and how one holds it. The rules are pure.

A lease has a holder, an end by the database's clock, and a term, a number that grows whenever the lease passes to
somebody. Its end says when another may take it. The term is the fence: whatever is written down under a lease is
written together with the check that the term is still the writer's, so that a notary that hung and does not know yet
that another one took over changes nothing any more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from muniment.kernel.errors import MunimentError
from muniment.notary.doors import BatchStore

LEASE_MS: Final = 6_000
"""So long after its holder was last heard of, another notary takes the lease."""

RENEW_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lease:
    """Who has it, in which term, and until when (milliseconds since 1970 by the database's clock)."""

    holder: str
    term: int
    until: int


def granted(lease: Lease | None, holder: str, term: int, now: int, length: int = LEASE_MS) -> Lease | None:
    """The lease after `holder` asked for it at `now`, or `None` when it is another one's.

    `term` is the one in which the asker held it last, 0 when it never did. Who holds it renews it within its term. A
    process that was started anew under the same name takes it in a new term: its predecessor is dead, or a ghost.
    """
    if lease is None:
        return Lease(holder, 1, now + length)
    if lease.holder == holder:
        return Lease(holder, lease.term + (lease.term != term), now + length)
    # An end that is further away than a lease lasts was written before the database's clock was set back.
    if now < lease.until <= now + length:
        return None
    return Lease(holder, lease.term + 1, now + length)


class Leading:
    """Keeps asking for the lease, and tells whether this notary has it.

    It may be wrong for a moment; the fence makes that harmless. While it is `busy` the lease is only renewed: what was
    begun in one term must not end in a later one, between which another notary may have worked.
    """

    def __init__(self, store: BatchStore, begun: Callable[[], None]) -> None:
        self._store = store
        self._begun = begun
        self._until = float("-inf")
        self.busy = False

    def __call__(self) -> bool:
        """Whether this notary anchors."""
        return time.monotonic() < self._until

    async def run(self) -> None:
        """Ask for ever; an error of the database is no answer."""
        while True:
            try:
                await self.ask()
            except MunimentError as error:
                _log.warning("the lease could not be asked for", extra={"cause": str(error)})
            await asyncio.sleep(RENEW_SECONDS)

    async def end(self) -> None:
        """Let another one have the lease, if it can be told."""
        if self():
            self._until = float("-inf")
            try:
                await self._store.resign()
            except MunimentError as error:
                _log.info("the lease could not be given up: it runs out", extra={"cause": str(error)})

    async def ask(self) -> None:
        """Ask once."""
        led = self()
        # Counted from before the asking: it may be granted long before the answer is here.
        asked = time.monotonic()
        leads = await self._store.lead(renew_only=self.busy)
        self._until = asked + LEASE_MS / 1000 if leads else float("-inf")
        if leads != led:
            _log.info("this notary anchors" if leads else "another notary anchors")
        if leads and not led:
            self._begun()
