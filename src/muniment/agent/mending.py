"""Watches the member's peers and mends the mesh of their kubos.

A kubo redials its configured peers only every 5 to 10 seconds (kubo's peering service), so that a clean start takes
that long to a full mesh. The agent asks for a connection as soon as it sees that one is missing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Protocol, TypeVar

from muniment.agent.mesh import Peer, PeerFitness, View, judge, missing_links
from muniment.clients.kubo import KuboId
from muniment.kernel.errors import PermanentError, TemporaryError

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_INTERVAL = 1.0
"""Seconds from one round to the next one while all own peers are ready."""

HURRIED_INTERVAL = 0.25
"""The same while one is not: a mesh that grows is seen growing."""

POLL_TIMEOUT = 2.0
"""Seconds that a kubo or cluster service has for its answer; they are slower than a node while they import."""

CONNECT_TIMEOUT = 5.0
"""Seconds for one attempt to connect two kubos."""

FIRST_RETRY = 1.0
"""Seconds between the first two attempts for the same pair; doubled at each attempt."""

LONGEST_RETRY = 8.0
"""Longest time between two attempts; kubo itself goes on beside."""


class KuboDoor(Protocol):
    """A kubo as the watch sees it. All methods raise `TemporaryError` or `PermanentError`."""

    async def id(self) -> KuboId:
        """Who answers."""

    async def swarm_peers(self) -> set[str]:
        """Peer IDs it is connected to."""

    async def swarm_connect(self, multiaddr: str) -> None:
        """Connect it to the peer at `multiaddr`, which ends in /p2p/ID."""


class ClusterDoor(Protocol):
    """A cluster service as the watch sees it."""

    async def sees(self) -> set[str]:
        """Peer IDs of the cluster peers that it knows as present."""


class PeerWatch:
    """Keeps `fitness` of all workloads of the member's peers up to date while `run` runs.

    `kubos` and `clusters` are keyed by workload. `addresses` holds the swarm multiaddr (without /p2p) of every kubo of
    the consortium by peer ID; those that are not of `peers` belong to other members.
    """

    def __init__(
        self,
        peers: Sequence[Peer],
        kubos: Mapping[str, KuboDoor],
        clusters: Mapping[str, ClusterDoor],
        addresses: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        own = {peer.kubo_id for peer in peers}
        self.foreign = tuple(kubo_id for kubo_id in addresses if kubo_id not in own)
        self.fitness: dict[str, PeerFitness] = {}
        self.judged = asyncio.Event()
        self.views: dict[str, View] = {}
        self.attempts = 0
        """Connections that were asked for, since the start."""
        self._peers = peers
        self._kubos = kubos
        self._clusters = clusters
        self._addresses = addresses
        self._clock = clock
        self._retries: dict[tuple[str, str], tuple[float, float]] = {}

    async def run(self) -> None:
        """Watch and mend until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                began = self._clock()
                for attempt in await self.poll():
                    group.create_task(attempt)
                ready = all(fitness.ready for fitness in self.fitness.values())
                interval = POLL_INTERVAL if ready else HURRIED_INTERVAL
                await asyncio.sleep(max(0.0, interval - (self._clock() - began)))

    async def poll(self) -> list[Coroutine[None, None, None]]:
        """Ask all peers once and judge them. Returns the attempts that are due; the caller awaits them."""
        views = await asyncio.gather(*(self._view(peer) for peer in self._peers))
        self.views = {peer.kubo_name: view for peer, view in zip(self._peers, views, strict=True)}
        self._judge()
        return self._due_attempts()

    async def _view(self, peer: Peer) -> View:
        links, sees = await asyncio.gather(_asked(self._links(peer)), _asked(self._clusters[peer.cluster_name].sees()))
        return View(
            kubo_cause=links if isinstance(links, str) else "",
            links=frozenset() if isinstance(links, str) else frozenset(links),
            cluster_cause=sees if isinstance(sees, str) else "",
            sees=frozenset() if isinstance(sees, str) else frozenset(sees),
        )

    async def _links(self, peer: Peer) -> set[str]:
        kubo = self._kubos[peer.kubo_name]
        answering = (await kubo.id()).peer_id
        if answering != peer.kubo_id:
            raise PermanentError(f"another kubo ({answering}) answers at its address: end it")
        return await kubo.swarm_peers()

    def _judge(self) -> None:
        judged = judge(self._peers, self.views)
        for name, fitness in judged.items():
            before = self.fitness.get(name)
            if before is None or before.ready != fitness.ready:
                event = "peer is ready" if fitness.ready else "peer is not ready"
                log.info(event, extra={"peer": name, "cause": fitness.cause})
        self.fitness = judged
        self.judged.set()

    def _due_attempts(self) -> list[Coroutine[None, None, None]]:
        now = self._clock()
        missing = missing_links(self._peers, self.views, self.foreign)
        self._retries = {pair: retry for pair, retry in self._retries.items() if pair in missing}
        due = [pair for pair in missing if self._retries.get(pair, (now, 0.0))[0] <= now]
        for pair in due:
            delay = min(self._retries.get(pair, (now, FIRST_RETRY / 2))[1] * 2, LONGEST_RETRY)
            self._retries[pair] = (now + delay, delay)
        self.attempts += len(due)
        return [self._connect(*pair) for pair in due]

    async def _connect(self, kubo_name: str, kubo_id: str) -> None:
        address = f"{self._addresses[kubo_id]}/p2p/{kubo_id}"
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._kubos[kubo_name].swarm_connect(address)
        except (TemporaryError, PermanentError, TimeoutError) as error:
            log.info("kubos were not connected", extra={"peer": kubo_name, "to": address, "cause": str(error)})


async def _asked(question: Awaitable[set[str]]) -> set[str] | str:
    """The answer, or the cause why there is none."""
    try:
        async with asyncio.timeout(POLL_TIMEOUT):
            return await question
    except TimeoutError:
        return f"did not answer within {POLL_TIMEOUT:g} s"
    except TemporaryError:
        return "does not answer"
    except PermanentError as error:
        return str(error)
