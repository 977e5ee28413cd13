"""The watch over nodes: time-outs, maintenance, decoding, and its own life."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from muniment.agent.fitness import Limits, Sample
from muniment.agent.maintenance import Maintenance
from muniment.agent.watch import STANDSTILL, NodeProbe, NodeWatch
from muniment.clients.privacy_status import PrivacyStatusClient
from muniment.clients.quorum import NoAnswerError, QuorumClient, RpcError
from muniment.kernel.errors import InputError, PermanentError, TemporaryError

pytestmark = pytest.mark.anyio

HEALTHY = Sample(head=10, head_time=1000.0, peers=2)


class FakeNode:
    """A node that shows what it is told to show."""

    def __init__(self) -> None:
        self.shows: Sample | Exception = HEALTHY

    async def sample(self) -> Sample:
        if isinstance(self.shows, Exception):
            raise self.shows
        return self.shows


class Clock:
    """A clock that stands until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A watch over two fake nodes."""

    def __init__(self, directory: Path) -> None:
        self.nodes = {"a": FakeNode(), "b": FakeNode()}
        self.clock = Clock()
        self.maintenance = Maintenance(directory, self.nodes)
        self.watch = NodeWatch(self.nodes, {"a": 1, "b": 1}, Limits(2, 3.0), self.maintenance, clock=self.clock)

    async def poll(self) -> None:
        for name in self.nodes:
            await self.watch.poll(name)

    @property
    def causes(self) -> dict[str, str]:
        return {name: fitness.cause for name, fitness in self.watch.fitness.items()}


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "maintenance")


async def test_nothing_is_judged_before_every_node_was_asked(watched: Watched) -> None:
    await watched.watch.poll("a")
    assert not watched.watch.judged.is_set()
    assert watched.watch.fitness == {}
    await watched.watch.poll("b")
    assert watched.watch.judged.is_set()
    assert watched.causes == {"a": "", "b": ""}


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (TemporaryError("refused"), "does not answer"),
        (PermanentError("not a node"), "does not answer"),
        (RpcError("eth_syncing", -32601, "no such method"), "eth_syncing was refused"),
        (NoAnswerError("late"), "did not answer within 1 s"),
    ],
)
async def test_a_node_that_never_answered_is_unfit_at_once(watched: Watched, error: Exception, cause: str) -> None:
    watched.nodes["a"].shows = error
    await watched.poll()
    assert watched.causes["a"].startswith(cause)
    assert watched.causes["b"] == ""


async def test_one_late_answer_is_forgiven_and_two_in_a_row_are_not(watched: Watched) -> None:
    await watched.poll()
    watched.nodes["a"].shows = NoAnswerError("late")
    await watched.poll()
    assert watched.causes["a"] == ""
    watched.nodes["a"].shows = HEALTHY
    await watched.poll()
    watched.nodes["a"].shows = NoAnswerError("late")
    await watched.poll()
    assert watched.causes["a"] == ""
    await watched.poll()
    assert watched.causes["a"] == "did not answer within 1 s"
    await watched.poll()
    assert watched.causes["a"] == "did not answer within 1 s"


async def test_a_refused_connection_counts_at_once(watched: Watched) -> None:
    await watched.poll()
    watched.nodes["a"].shows = TemporaryError("refused")
    await watched.poll()
    assert watched.causes["a"] == "does not answer"


async def test_a_node_that_stands_still_while_its_sibling_goes_on_becomes_unfit_in_time(watched: Watched) -> None:
    await watched.poll()
    watched.nodes["b"].shows = Sample(head=11, head_time=1030.0, peers=2)
    await watched.poll()
    watched.clock.now += 3.0
    await watched.poll()
    assert watched.causes["a"] == ""
    watched.clock.now += 0.1
    await watched.poll()
    assert watched.causes["a"] == "1 block behind b for 3.1 s"


async def test_maintenance_counts_at_once_and_survives(watched: Watched, tmp_path: Path) -> None:
    await watched.poll()
    watched.watch.begin_maintenance("a")
    watched.watch.judge_again()
    assert watched.causes["a"] == "in maintenance"
    assert Maintenance(tmp_path / "maintenance", ["a", "b"]).names == {"a"}
    watched.watch.end_maintenance("a")
    watched.watch.end_maintenance("a")
    watched.watch.judge_again()
    assert watched.causes["a"] == ""
    assert Maintenance(tmp_path / "maintenance", ["a", "b"]).names == frozenset()


def test_a_maintenance_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be used"):
        Maintenance(tmp_path / "file" / "maintenance", ["a"])


async def test_it_is_alive_while_it_judges(watched: Watched) -> None:
    assert not watched.watch.alive
    await watched.poll()
    assert watched.watch.alive
    watched.clock.now += STANDSTILL
    assert not watched.watch.alive


async def test_it_runs_until_cancelled(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    running = asyncio.create_task(watched.watch.run())
    await asyncio.wait_for(watched.watch.judged.wait(), 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def rpc(block: Any, peers: Any = "0x2", syncing: Any = False) -> QuorumClient:
    results = {"eth_getBlockByNumber": block, "net_peerCount": peers, "eth_syncing": syncing}

    def handle(request: httpx2.Request) -> httpx2.Response:
        calls = json.loads(request.content)
        return httpx2.Response(200, json=[{"id": call["id"], "result": results[call["method"]]} for call in calls])

    return QuorumClient("http://node.invalid", transport=httpx2.MockTransport(handle))


def privacy(*statuses: int) -> PrivacyStatusClient:
    """A manager that answers with these, one after the other; 0 is no answer in time."""
    left = list(statuses)

    async def handle(request: httpx2.Request) -> httpx2.Response:
        assert request.url.path == "/ready"
        if not (status := left.pop(0)):
            raise TimeoutError
        return httpx2.Response(status, json={"cause": "the database is away"} if status == 503 else None)

    return PrivacyStatusClient("http://privacy.invalid/", transport=httpx2.MockTransport(handle))


async def test_a_sample_holds_what_the_node_showed() -> None:
    probe = NodeProbe(rpc({"number": "0x0a", "timestamp": "0x3e8"}, syncing={"currentBlock": "0x1"}), None)
    assert await probe.sample() == Sample(head=10, head_time=1000.0, peers=2, syncing=True)


async def test_raft_time_stamps_are_nanoseconds() -> None:
    probe = NodeProbe(rpc({"number": "0x1", "timestamp": hex(1_700_000_000_500_000_000)}), None)
    assert (await probe.sample()).head_time == 1_700_000_000.5


async def test_the_privacy_manager_is_asked_when_there_is_one() -> None:
    block = {"number": "0x0", "timestamp": "0x0"}
    assert (await NodeProbe(rpc(block), privacy(200)).sample()).privacy == ""
    assert "answered with status 500" in (await NodeProbe(rpc(block), privacy(500)).sample()).privacy
    refused = (await NodeProbe(rpc(block), privacy(503)).sample()).privacy
    assert refused == "its privacy manager is not ready: the database is away"


async def test_one_late_answer_of_a_manager_says_nothing() -> None:
    probe = NodeProbe(rpc({"number": "0x0", "timestamp": "0x0"}), privacy(200, 0, 200, 0, 0, 0, 200, 503, 0))
    said = [bool((await probe.sample()).privacy) for _ in range(9)]
    assert said == [False, False, False, False, True, True, False, True, True]


@pytest.mark.parametrize("block", [None, {}, {"number": "ten", "timestamp": "0x0"}, [], "0x1"])
async def test_a_malformed_head_is_no_answer(block: Any) -> None:
    with pytest.raises(TemporaryError, match="malformed head"):
        await NodeProbe(rpc(block), None).sample()
