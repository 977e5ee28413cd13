"""Content to IPFS: a batch as one CAR to several kubos at once, pinned once, counted only when it is seen pinned.

A cluster add that succeeds proves no copy (ipfs-cluster `adder`: it succeeds when one destination took the blocks), so
the pin's status is asked until enough peers say `pinned`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncIterable, Awaitable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from muniment.clients.cluster import PINNED, UNPINNED
from muniment.kernel.errors import MunimentError, TemporaryError, WaitTimeoutError
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.notary.batches import directory_of, summary_of
from muniment.notary.car import car
from muniment.notary.spool import Spool
from muniment.notary.tee import Reader, pour
from muniment.notary.values import Member

GOSSIP_SECONDS: Final = 5.0
"""A pin travels in milliseconds. Peers that do not know of it after so long are asked themselves: gossip between peers
that are connected was seen to stop until one of them was restarted."""

PIN_SECONDS: Final = 60.0
"""How long the pins are waited for: longer than a cluster peer takes to give up another one that hangs (40 s)."""

PIN_ANSWER_SECONDS: Final = 10.0
"""A cluster peer that hangs keeps a pin waiting for 40 s; another one takes the same pin meanwhile."""

STATUS_ANSWER_SECONDS: Final = 8.0
"""Longer than the 6 s that the status takes while another cluster peer hangs."""

STRAGGLER_SECONDS: Final = 10.0
"""Once enough peers have the content, how long the others may still take before they are left behind."""

_log = logging.getLogger(__name__)

T = TypeVar("T")


class KuboDoor(Protocol):
    """What is needed of a kubo."""

    async def import_car(self, chunks: AsyncIterable[bytes]) -> object:
        """Import a CAR without pinning its root. Raises `TemporaryError` or `PermanentError`."""


class ClusterDoor(Protocol):
    """What is needed of a cluster peer."""

    async def pin(self, cid: str, *, minimum: int, maximum: int, allocations: Sequence[str], name: str) -> object:
        """Ask the cluster to pin. Raises `TemporaryError` or `PermanentError`."""

    async def pin_status(self, cid: str) -> Mapping[str, str]:
        """Status of the pin by cluster peer ID."""


@dataclass(frozen=True, slots=True)
class Pin:
    """What the cluster is asked for: this content at these cluster peers."""

    cid: str
    name: str
    allocations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer: its two doors, and the ID under which the cluster knows it."""

    cluster_id: str
    kubo: KuboDoor
    cluster: ClusterDoor


class ClusterStore:
    """Stores batches on at least `minimum` and at most `maximum` of `peers`."""

    def __init__(self, peers: Sequence[Peer], spool: Spool, *, minimum: int, maximum: int) -> None:
        self._peers = tuple(peers)
        self._spool = spool
        self._minimum = minimum
        self._maximum = maximum
        self._suspects: set[str] = set()

    async def store(self, number: int, members: Sequence[Member]) -> tuple[str, ...]:
        """Store a batch's directory; see `doors.ContentStore`."""
        directory = await asyncio.to_thread(directory_of, members)
        files = ((summary_of(member), self._spool.read(member.place, member.size)) for member in members)
        holders = await self._import(car(directory.root, directory.nodes, files))
        pin = Pin(directory.root, f"muniment batch {number}", tuple(peer.cluster_id for peer in holders))
        await self._pin(pin)
        return await self._pinned(pin)

    async def _import(self, content: Iterator[bytes]) -> list[Peer]:
        """Stream to as many peers as are wanted; returns those that took all, at least the minimum."""
        chosen = self._choose()
        readers = [Reader() for _ in chosen]
        imports = [
            asyncio.create_task(self._import_one(peer, reader)) for peer, reader in zip(chosen, readers, strict=True)
        ]
        try:
            await pour(content, readers)
            causes = await self._enough(imports)
        finally:
            for task in imports:
                task.cancel()
            await asyncio.gather(*imports, return_exceptions=True)
        took = [peer for peer, cause in zip(chosen, causes, strict=True) if not cause]
        self._suspects = {peer.cluster_id for peer in chosen if peer not in took}
        if len(took) < self._minimum:
            raise TemporaryError(
                f"{len(took)} of {len(chosen)} IPFS peers took the content and {self._minimum} must"
                f" ({'; '.join(filter(None, causes))}): start the peers that are down"
            )
        return took

    def _choose(self) -> list[Peer]:
        """Peers that failed last time come last, so that with spare peers the next try goes elsewhere."""
        shuffled = random.sample(self._peers, len(self._peers))
        return sorted(shuffled, key=lambda peer: peer.cluster_id in self._suspects)[: self._maximum]

    async def _import_one(self, peer: Peer, reader: Reader) -> str:
        """Import into one peer; returns why not, or nothing."""
        try:
            await peer.kubo.import_car(reader.read())
        except MunimentError as error:
            return str(error)
        finally:
            await reader.end()
        return ""

    async def _enough(self, imports: Sequence[asyncio.Task[str]]) -> list[str]:
        """The causes of failure in the order of `imports`; stragglers are left behind once enough have succeeded."""
        waiting: set[asyncio.Task[str]] = set(imports)
        while waiting:
            succeeded = sum(task.done() and not task.result() for task in imports)
            patience = STRAGGLER_SECONDS if succeeded >= self._minimum else None
            done, waiting = await asyncio.wait(waiting, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
        return [task.result() if task.done() else "it is slow" for task in imports]

    async def _pin(self, pin: Pin) -> None:
        """Ask one cluster peer after the other until one takes the pin."""
        causes = []
        for peer in self._in_order(pin.allocations):
            cause = await self._pin_at(peer, pin)
            if not cause:
                return
            causes.append(cause)
        raise TemporaryError(f"no IPFS Cluster peer took the pin ({'; '.join(causes)}): start the peers that are down")

    async def _pin_at(self, peer: Peer, pin: Pin) -> str:
        """Ask one cluster peer to pin; returns why it did not, or nothing."""
        asked = peer.cluster.pin(
            pin.cid, minimum=self._minimum, maximum=self._maximum, allocations=pin.allocations, name=pin.name
        )
        try:
            await _answered(peer, asked, PIN_ANSWER_SECONDS)
        except MunimentError as error:
            return str(error)
        return ""

    async def _pinned(self, pin: Pin) -> tuple[str, ...]:
        """Ask for the pin's status until enough peers hold it pinned; returns those."""
        pinned: tuple[str, ...] = ()
        untold = time.monotonic() + GOSSIP_SECONDS

        async def enough() -> tuple[str, ...]:
            nonlocal pinned, untold
            status = await self._status(pin)
            pinned = tuple(sorted(peer for peer, word in status.items() if word == PINNED))
            if len(pinned) < self._minimum:
                if time.monotonic() > untold:
                    untold = math.inf
                    await self._tell(pin, [peer for peer, word in status.items() if word == UNPINNED])
                raise NotYetError(
                    f"{len(pinned)} of {self._minimum} peers hold it pinned, the cluster says {dict(status)}"
                )
            return pinned

        try:
            return await wait_for(
                f"pinning {pin.cid}", enough, timeout=PIN_SECONDS, interval=0.02, longest_interval=0.25
            )
        except WaitTimeoutError as error:
            self._suspects = set(pin.allocations) - set(pinned)
            raise TemporaryError(str(error)) from error

    async def _tell(self, pin: Pin, unaware: Collection[str]) -> None:
        """Ask the peers themselves that do not know of the pin and shall have it."""
        told = [peer for peer in self._peers if peer.cluster_id in unaware and peer.cluster_id in pin.allocations]
        if not told:
            return
        _log.warning(
            "a pin did not arrive: the peers are asked themselves",
            extra={"cid": pin.cid, "peers": [peer.cluster_id for peer in told]},
        )
        await asyncio.gather(*(self._pin_at(peer, pin) for peer in told))

    async def _status(self, pin: Pin) -> Mapping[str, str]:
        causes = []
        for peer in self._in_order(pin.allocations):
            try:
                return await _answered(peer, peer.cluster.pin_status(pin.cid), STATUS_ANSWER_SECONDS)
            except MunimentError as error:
                causes.append(str(error))
        raise NotYetError(f"no IPFS Cluster peer tells the pin's status ({'; '.join(causes)})")

    def _in_order(self, first: Sequence[str]) -> list[Peer]:
        return sorted(self._peers, key=lambda peer: peer.cluster_id not in first)


async def _answered(peer: Peer, asked: Awaitable[T], seconds: float) -> T:
    """The answer of a cluster peer. Raises `TemporaryError` when there is none in time, and what `asked` raises."""
    try:
        async with asyncio.timeout(seconds):
            return await asked
    except TimeoutError as error:
        raise TemporaryError(f"cluster peer {peer.cluster_id} did not answer within {seconds:g} s") from error
