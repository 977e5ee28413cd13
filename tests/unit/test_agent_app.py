"""The agent's API over ASGI, without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from muniment.agent.app import Api
from muniment.agent.fitness import Limits, Sample
from muniment.agent.maintenance import Maintenance
from muniment.agent.mending import PeerWatch
from muniment.agent.mesh import Peer
from muniment.agent.watch import STANDSTILL, NodeWatch
from muniment.clients.kubo import KuboId
from muniment.kernel.errors import TemporaryError

pytestmark = pytest.mark.anyio


class FakeNode:
    """A healthy node."""

    def __init__(self, head: int) -> None:
        self.head = head

    async def sample(self) -> Sample:
        return Sample(head=self.head, head_time=float(self.head), peers=3)


class FakeKubo:
    """A kubo connected to one sibling."""

    def __init__(self, peer_id: str, *links: str) -> None:
        self.peer_id = peer_id
        self.links = set(links)

    async def id(self) -> KuboId:
        return KuboId(self.peer_id, ())

    async def swarm_peers(self) -> set[str]:
        return self.links

    async def swarm_connect(self, multiaddr: str) -> None:
        raise TemporaryError(multiaddr)


class FakeCluster:
    """A cluster service that sees both."""

    async def sees(self) -> set[str]:
        return {"C1", "C2"}


class Agent:
    """The API with two nodes, b ten blocks ahead, and two peers that lack a connection."""

    def __init__(self, directory: Path) -> None:
        self.now = 1000.0
        nodes = {"a": FakeNode(10), "b": FakeNode(20)}
        self.nodes = NodeWatch(nodes, {}, Limits(2, 3.0), Maintenance(directory, nodes), clock=lambda: self.now)
        peers = (Peer("kubo-1", "K1", "cluster-1", "C1"), Peer("kubo-2", "K2", "cluster-2", "C2"))
        self.peers = PeerWatch(
            peers,
            {"kubo-1": FakeKubo("K1", "far"), "kubo-2": FakeKubo("K2")},
            {"cluster-1": FakeCluster(), "cluster-2": FakeCluster()},
            {"K1": "/ip4/127.0.0.1/tcp/1", "K2": "/ip4/127.0.0.1/tcp/2", "F": "/ip4/127.0.0.1/tcp/3"},
        )
        transport = httpx2.ASGITransport(Api(self.nodes, self.peers).app())
        self.http = httpx2.AsyncClient(transport=transport, base_url="http://agent")

    async def poll(self) -> None:
        for name in ("a", "b"):
            await self.nodes.poll(name)
        for attempt in await self.peers.poll():
            await attempt


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    agent = Agent(tmp_path / "maintenance")
    await agent.poll()
    async with agent.http:
        yield agent


async def test_readiness_has_the_cause_and_the_numbers(agent: Agent) -> None:
    answer = await agent.http.get("/nodes/a/ready")
    assert answer.status_code == 503
    assert answer.json() == {
        "ready": False,
        "live": True,
        "cause": "10 blocks behind b",
        "head": 10,
        "lag_blocks": 10,
        "lag_seconds": 0.0,
        "peers": 3,
    }
    assert (await agent.http.get("/nodes/b/ready")).status_code == 200


async def test_an_unfit_node_may_be_live(agent: Agent) -> None:
    answer = await agent.http.get("/nodes/a/live")
    assert (answer.status_code, answer.json()) == (200, {"live": True, "cause": ""})


async def test_peers(agent: Agent) -> None:
    answer = await agent.http.get("/peers/kubo-1/ready")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "cause": "not connected to kubo-2"})
    assert (await agent.http.get("/peers/cluster-1/ready")).status_code == 200


async def test_maintenance_can_be_repeated(agent: Agent) -> None:
    for _ in range(2):
        answer = await agent.http.put("/nodes/b/maintenance")
        assert (answer.status_code, answer.json()) == (200, {"node": "b", "maintenance": True})
        assert (await agent.http.get("/nodes/b/ready")).json()["cause"] == "in maintenance"
    for _ in range(2):
        assert (await agent.http.delete("/nodes/b/maintenance")).json() == {"node": "b", "maintenance": False}
        assert (await agent.http.get("/nodes/b/ready")).status_code == 200


async def test_maintenance_that_cannot_be_kept_is_refused(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "maintenance").rmdir()
    (tmp_path / "maintenance").write_text("")
    answer = await agent.http.put("/nodes/b/maintenance")
    assert answer.status_code == 500
    assert "cannot be written" in answer.json()["cause"]
    assert (await agent.http.delete("/nodes/b/maintenance")).status_code == 500
    assert (await agent.http.get("/nodes/b/ready")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nodes/c/ready"),
        ("GET", "/nodes/c/live"),
        ("PUT", "/nodes/c/maintenance"),
        ("DELETE", "/nodes/..%2fa/maintenance"),
        ("GET", "/peers/c/ready"),
        ("GET", "/nothing"),
    ],
)
async def test_unknown_names_are_not_found(agent: Agent, method: str, path: str) -> None:
    answer = await agent.http.request(method, path)
    assert answer.status_code == 404
    assert answer.json()["cause"]


async def test_a_wrong_method_is_refused_in_json(agent: Agent) -> None:
    answer = await agent.http.post("/nodes/a/maintenance")
    assert answer.status_code == 405
    assert answer.json() == {"cause": "Method Not Allowed"}


async def test_liveness_ends_when_the_watch_stands_still(agent: Agent) -> None:
    assert (await agent.http.get("/live")).status_code == 200
    agent.now += STANDSTILL
    answer = await agent.http.get("/live")
    assert (answer.status_code, answer.json()["live"]) == (503, False)


async def test_metrics(agent: Agent) -> None:
    text = (await agent.http.get("/metrics")).text
    for line in (
        'muniment_node_ready{node="a"} 0.0',
        'muniment_node_ready{node="b"} 1.0',
        'muniment_node_live{node="a"} 1.0',
        'muniment_node_head{node="a"} 10.0',
        'muniment_node_lag_blocks{node="a"} 10.0',
        'muniment_node_lag_seconds{node="a"} 0.0',
        'muniment_node_peers{node="a"} 3.0',
        'muniment_peer_ready{peer="kubo-1"} 0.0',
        'muniment_peer_ready{peer="cluster-1"} 1.0',
        'muniment_kubo_connections{peer="kubo-1"} 1.0',
        'muniment_kubo_foreign_missing{peer="kubo-1"} 1.0',
        "muniment_mesh_attempts_total 3.0",
    ):
        assert line in text.splitlines()
