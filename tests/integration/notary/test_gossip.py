"""Promise: files go on when cluster peers are connected and one another's pins do not arrive."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from muniment.clients.notary import NotaryClient
from tests.support.goquorum import Chain
from tests.support.ipfs import Peers
from tests.support.notary_process import NotaryProcess, part

pytestmark = [pytest.mark.engines, pytest.mark.anyio]

ANCHORED = 90.0


class Deaf(Peers):
    """Peers in one swarm that tell of pins on a topic of their own each: ipfs-cluster, consensus/crdt/config.go."""

    def rendered(self, name: str) -> dict[Path, str]:
        shared = '"cluster_name": "test"'
        found = {
            path: text.replace(shared, f'"cluster_name": "{name}"') for path, text in super().rendered(name).items()
        }
        assert "cluster" not in name or found != super().rendered(name)
        return found


@pytest.fixture(scope="module")
def kind_of_peers() -> type[Peers]:
    return Deaf


@pytest.fixture
def notary(root: Path, base: int, chain: Chain, peers: Peers) -> Iterator[NotaryProcess]:
    notary = NotaryProcess(Path(tempfile.mkdtemp(dir=root)), base + 1900, chain, peers, window_seconds=0.2)
    notary.start()
    yield notary
    notary.remove()


async def test_a_pin_that_does_not_arrive_is_brought_to_each_peer(notary: NotaryProcess, peers: Peers) -> None:
    content = b"heard of by one peer only"
    async with NotaryClient(notary.url) as client:
        (file,) = await client.upload([part("file", content)])
        (file,) = await client.states([file.id], wait="anchored", seconds=ANCHORED)
    assert (file.state, file.cause) == ("anchored", "")
    async with peers.kubo(1) as one, peers.kubo(2) as two, peers.kubo(3) as three:
        held = [b"".join([piece async for piece in kubo.cat(file.cid)]) for kubo in (one, two, three)]
    assert held == [content] * 3
