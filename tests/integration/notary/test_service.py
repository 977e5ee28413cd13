"""Promise: a notary that is killed at any moment loses no accepted file and anchors none twice."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from muniment.clients.notary import NotarisedFile, NotaryClient
from muniment.clients.quorum import QuorumClient
from muniment.kernel.encoding import to_hex
from muniment.proof.contract import ANCHORED_TOPIC, CONTRACT_ADDRESS, Anchored, decode_anchored
from muniment.proof.merkle import leaf_hash, root_from_path
from muniment.proof.receipt import Receipt, parse
from muniment.proof.unixfs import summary_of
from tests.support.goquorum import Chain
from tests.support.ipfs import Peers
from tests.support.notary_process import NotaryProcess, part
from tests.support.waiting import STARTED, wait_until

pytestmark = [pytest.mark.engines, pytest.mark.anyio]

STOPPED = 15.0
ANCHORED = 90.0


@pytest.fixture
def notary(root: Path, base: int, chain: Chain, peers: Peers) -> Iterator[NotaryProcess]:
    place = Path(tempfile.mkdtemp(dir=root))
    notary = NotaryProcess(place, base + 1900, chain, peers, window_seconds=0.2, max_files=200)
    notary.start()
    yield notary
    notary.remove()


async def anchored_events(chain: Chain) -> list[Anchored]:
    async with QuorumClient(chain.url("alpha-1")) as client:
        wanted = {"address": CONTRACT_ADDRESS, "topics": [to_hex(ANCHORED_TOPIC)], "fromBlock": "0x0"}
        return [decode_anchored(log) for log in await client.call("eth_getLogs", [wanted])]


def proved_root(receipt: Receipt) -> bytes:
    log = receipt.log
    assert log is not None
    return root_from_path(leaf_hash(receipt.statement), log.leaf_index, log.tree_size, log.path)


async def test_killed_again_and_again(notary: NotaryProcess, chain: Chain, peers: Peers) -> None:
    before = await anchored_events(chain)
    contents = [[os.urandom(500 + n) for n in range(40)] for _ in range(30)]
    async with NotaryClient(notary.url) as client:
        uploads = [asyncio.create_task(upload(client, number, some)) for number, some in enumerate(contents)]
        # Wherever it is by then: while files arrive, between the stages, while it starts again.
        for delay in (0.3, 0.9, 0.2, 1.4, 0.5, 2.0):
            await asyncio.wait(uploads, timeout=delay)
            await asyncio.to_thread(notary.kill)
            await asyncio.to_thread(notary.start)
        accepted = [file for some in await asyncio.gather(*uploads) for file in some]
        ids = [file.id for file in accepted]
        states = await client.states(ids, wait="anchored", seconds=ANCHORED)
        assert {(file.state, file.cause) for file in states} == {("anchored", "")}
        receipts = [parse(text.encode()) for text in await client.receipts(ids)]
    await check_proofs(receipts, await anchored_events(chain), before)
    flat = [content for some in contents for content in some]
    assert [receipt.subject.digests[0][2:] for receipt in receipts] == [summary_of(c).sha256 for c in flat]
    async with peers.kubo(1) as kubo:
        for receipt, content in list(zip(receipts, flat, strict=True))[::200]:
            assert b"".join([piece async for piece in kubo.cat(receipt.subject.cid)]) == content
    assert [path for path in (notary.data / "spool").iterdir() if path.stat().st_size] == []


async def upload(client: NotaryClient, number: int, contents: list[bytes]) -> list[NotarisedFile]:
    return await client.upload([part(f"{number}-{n}", content) for n, content in enumerate(contents)])


async def check_proofs(receipts: list[Receipt], events: list[Anchored], before: list[Anchored]) -> None:
    """Every file is one leaf under one root, and the chain holds each root once with as many leaves as files."""
    new = [event for event in events if event not in before]
    sizes = {event.root: event.size for event in new}
    assert len(sizes) == len(new)
    assert sum(sizes.values()) == len(receipts)
    leaves = {(proved_root(receipt), receipt.log.leaf_index) for receipt in receipts if receipt.log}
    assert len(leaves) == len(receipts)
    assert {root for root, _ in leaves} == set(sizes)


async def test_a_peer_that_is_down_is_done_without(notary: NotaryProcess, peers: Peers) -> None:
    peers.kill("alpha-kubo-3", "alpha-cluster-3")
    try:
        async with NotaryClient(notary.url) as client:
            (file,) = await client.upload([part("two copies", b"two copies")])
            (file,) = await client.states([file.id], wait="anchored", seconds=ANCHORED)
            assert file.state == "anchored", file
    finally:
        peers.start("alpha-kubo-3", "alpha-cluster-3")
        await peers.wait_mesh()


async def test_the_chain_away(notary: NotaryProcess, chain: Chain) -> None:
    chain.kill("alpha-1")
    try:
        async with NotaryClient(notary.url) as client:
            (file,) = await client.upload([part("waits", b"waits for the chain")])
            (file,) = await client.states([file.id], wait="stored", seconds=ANCHORED)
            assert file.state == "stored"
            ready = httpx2.get(f"{notary.url}/ready")
            assert ready.status_code == 503
            assert "gateway" in ready.json()["causes"]
            chain.launch("alpha-1")
            (file,) = await client.states([file.id], wait="anchored", seconds=ANCHORED)
            assert file.state == "anchored", file
    finally:
        if "alpha-1" not in chain.processes:
            chain.launch("alpha-1")


def test_stopped_within_seconds(notary: NotaryProcess) -> None:
    assert notary.stop(timeout=STOPPED) == 0


def test_ready_when_everything_is_there(notary: NotaryProcess) -> None:
    def ready() -> bool:
        answer = httpx2.get(f"{notary.url}/ready")
        assert answer.status_code == 200, answer.text
        return True

    wait_until("the notary to be ready", ready, timeout=STARTED)


async def test_the_same_key_is_the_same_file(notary: NotaryProcess) -> None:
    async with NotaryClient(notary.url) as client:
        (file,) = await client.upload([part("x", b"x")], key="only once")
        (again,) = await client.upload([part("x", b"x")], key="only once")
        assert again.id == file.id
    assert file.sha256 == summary_of(b"x").sha256.hex()
