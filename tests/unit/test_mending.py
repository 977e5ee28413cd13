"""The watch over peers: what it judges, and how often it asks for a missing connection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from muniment.agent.mending import LONGEST_RETRY, PeerWatch
from muniment.agent.mesh import Peer
from muniment.clients.kubo import KuboId
from muniment.kernel.errors import PermanentError, TemporaryError

pytestmark = pytest.mark.anyio

PEERS = (Peer("kubo-1", "K1", "cluster-1", "C1"), Peer("kubo-2", "K2", "cluster-2", "C2"))
ADDRESSES = {"K1": "/ip4/127.0.0.1/tcp/1", "K2": "/ip4/127.0.0.1/tcp/2", "F": "/dns/far/tcp/3"}


class FakeKubo:
    """A kubo whose connections succeed when it is told so."""

    def __init__(self, peer_id: str, links: Iterable[str]) -> None:
        self.peer_id = peer_id
        self.links = set(links)
        self.dialled: list[str] = []
        self.error: Exception | None = None
        self.connects = False
        self.was_dialled = asyncio.Event()

    async def id(self) -> KuboId:
        return KuboId(self.peer_id, ())

    async def swarm_peers(self) -> set[str]:
        if self.error is not None:
            raise self.error
        return set(self.links)

    async def swarm_connect(self, multiaddr: str) -> None:
        self.dialled.append(multiaddr)
        self.was_dialled.set()
        if not self.connects:
            raise PermanentError("dial failed")
        self.links.add(multiaddr.rpartition("/")[2])


class FakeCluster:
    """A cluster service that sees whom it is told to see."""

    def __init__(self, sees: Iterable[str]) -> None:
        self.seen = set(sees)
        self.hangs = False

    async def sees(self) -> set[str]:
        if self.hangs:
            raise TimeoutError
        return self.seen


class Rig:
    """Two peers of ours in a full mesh, one of another member."""

    def __init__(self) -> None:
        self.now = 0.0
        self.kubos = {"kubo-1": FakeKubo("K1", {"K2", "F"}), "kubo-2": FakeKubo("K2", {"K1", "F"})}
        self.clusters = {name: FakeCluster({"C1", "C2"}) for name in ("cluster-1", "cluster-2")}
        self.watch = PeerWatch(PEERS, self.kubos, self.clusters, ADDRESSES, clock=lambda: self.now)

    async def poll(self) -> None:
        for attempt in await self.watch.poll():
            await attempt

    @property
    def causes(self) -> dict[str, str]:
        return {name: fitness.cause for name, fitness in self.watch.fitness.items() if not fitness.ready}


async def test_a_full_mesh_is_ready_and_left_alone() -> None:
    rig = Rig()
    await rig.poll()
    assert rig.watch.judged.is_set()
    assert rig.causes == {}
    assert rig.watch.attempts == 0


async def test_a_missing_connection_is_mended() -> None:
    rig = Rig()
    rig.kubos["kubo-1"].links = {"F"}
    rig.kubos["kubo-1"].connects = True
    await rig.poll()
    assert rig.causes == {"kubo-1": "not connected to kubo-2"}
    await rig.poll()
    assert rig.causes == {}
    assert rig.kubos["kubo-1"].dialled == ["/ip4/127.0.0.1/tcp/2/p2p/K2"]


async def test_attempts_for_a_pair_become_rarer_and_begin_anew_after_a_success() -> None:
    rig = Rig()
    rig.kubos["kubo-1"].links = {"K2"}
    when = []
    for tenth in range(400):
        rig.now = tenth / 10
        before = rig.watch.attempts
        await rig.poll()
        if rig.watch.attempts > before:
            when.append(rig.now)
    assert when == [0.0, 1.0, 3.0, 7.0, 15.0, 23.0, 31.0, 39.0]
    assert when[-1] - when[-2] == LONGEST_RETRY
    rig.kubos["kubo-1"].links.add("F")
    await rig.poll()
    rig.kubos["kubo-1"].links.discard("F")
    await rig.poll()
    assert len(rig.kubos["kubo-1"].dialled) == len(when) + 1


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (TemporaryError("refused"), "does not answer"),
        (PermanentError("401"), "401"),
        (TimeoutError(), "did not answer"),
    ],
)
async def test_a_kubo_that_does_not_answer_is_not_dialled(error: Exception, cause: str) -> None:
    rig = Rig()
    rig.kubos["kubo-2"].error = error
    rig.kubos["kubo-1"].links = {"F"}
    await rig.poll()
    assert rig.causes["kubo-2"].startswith(cause)
    assert "kubo-1" not in rig.causes
    assert rig.kubos["kubo-1"].dialled == []


async def test_a_cluster_service_that_hangs_is_not_ready_and_its_sibling_is() -> None:
    rig = Rig()
    rig.clusters["cluster-2"].hangs = True
    rig.clusters["cluster-1"].seen = {"C1"}
    await rig.poll()
    assert rig.causes == {"cluster-2": "did not answer within 2 s"}


async def test_another_kubo_or_cluster_service_at_the_address_is_found_out() -> None:
    rig = Rig()
    rig.kubos["kubo-2"].peer_id = "K9"
    rig.clusters["cluster-1"].seen = {"C2"}
    await rig.poll()
    assert rig.causes == {
        "kubo-2": "another kubo (K9) answers at its address: end it",
        "cluster-1": "another cluster service answers at its address: end it",
        "cluster-2": "its kubo-2 does not answer",
    }


async def test_it_runs_and_mends_until_cancelled() -> None:
    rig = Rig()
    rig.kubos["kubo-1"].links = {"F"}
    running = asyncio.create_task(rig.watch.run())
    await asyncio.wait_for(rig.kubos["kubo-1"].was_dialled.wait(), 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_member_without_peers_is_judged_too() -> None:
    watch = PeerWatch((), {}, {}, {})
    assert await watch.poll() == []
    assert watch.judged.is_set()
    assert watch.fitness == {}
