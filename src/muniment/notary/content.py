"""Content to IPFS: a batch as one CAR to several kubos at once, pinned once, counted only when it is seen pinned.

A cluster add that succeeds proves no copy (ipfs-cluster `adder`: it succeeds when one destination took the blocks), so
the pin's status is asked until enough peers say `pinned`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from muniment.kernel.errors import MunimentError, TemporaryError, WaitTimeoutError
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.notary.batches import directory_of, summary_of
from muniment.notary.car import car
from muniment.notary.spool import Spool
from muniment.notary.tee import Reader, pour
from muniment.notary.values import Member

PINNED: Final = "pinned"
PIN_SECONDS: Final = 60.0
"""How long the pins are waited for: longer than a cluster peer takes to give up another one that hangs (40 s)."""

PIN_ANSWER_SECONDS: Final = 10.0
"""A cluster peer that hangs keeps a pin waiting for 40 s; another one takes the same pin meanwhile."""

STATUS_ANSWER_SECONDS: Final = 8.0
"""Longer than the 6 s that the status takes while another cluster peer hangs."""

STRAGGLER_SECONDS: Final = 10.0
"""Once enough peers have the content, how long the others may still take before they are left behind."""

_log = logging.getLogger(__name__)


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
        cid = directory.root
        await self._pin(cid, [peer.cluster_id for peer in holders], f"muniment batch {number}")
        return await self._pinned(cid, holders)

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

    async def _pin(self, cid: str, allocations: Sequence[str], name: str) -> None:
        """Ask one cluster peer after the other until one takes the pin."""
        causes = []
        for peer in self._in_order(allocations):
            try:
                async with asyncio.timeout(PIN_ANSWER_SECONDS):
                    await peer.cluster.pin(
                        cid, minimum=self._minimum, maximum=self._maximum, allocations=allocations, name=name
                    )
            except MunimentError as error:
                causes.append(str(error))
            except TimeoutError:
                causes.append(f"cluster peer {peer.cluster_id} did not answer within {PIN_ANSWER_SECONDS:g} s")
            else:
                return
        raise TemporaryError(f"no IPFS Cluster peer took the pin ({'; '.join(causes)}): start the peers that are down")

    async def _pinned(self, cid: str, holders: Sequence[Peer]) -> tuple[str, ...]:
        """Ask for the pin's status until enough peers hold it pinned; returns those."""
        allocations = [peer.cluster_id for peer in holders]
        pinned: tuple[str, ...] = ()

        async def enough() -> tuple[str, ...]:
            nonlocal pinned
            status = await self._status(cid, allocations)
            pinned = tuple(sorted(peer for peer, word in status.items() if word == PINNED))
            if len(pinned) < self._minimum:
                raise NotYetError(
                    f"{len(pinned)} of {self._minimum} peers hold it pinned, the cluster says {dict(status)}"
                )
            return pinned

        try:
            return await wait_for(f"pinning {cid}", enough, timeout=PIN_SECONDS, interval=0.02, longest_interval=0.25)
        except WaitTimeoutError as error:
            self._suspects = set(allocations) - set(pinned)
            raise TemporaryError(str(error)) from error

    async def _status(self, cid: str, allocations: Sequence[str]) -> Mapping[str, str]:
        causes = []
        for peer in self._in_order(allocations):
            try:
                async with asyncio.timeout(STATUS_ANSWER_SECONDS):
                    return await peer.cluster.pin_status(cid)
            except MunimentError as error:
                causes.append(str(error))
            except TimeoutError:
                causes.append(f"cluster peer {peer.cluster_id} did not answer within {STATUS_ANSWER_SECONDS:g} s")
        raise NotYetError(f"no IPFS Cluster peer tells the pin's status ({'; '.join(causes)})")

    def _in_order(self, first: Sequence[str]) -> list[Peer]:
        return sorted(self._peers, key=lambda peer: peer.cluster_id not in first)
