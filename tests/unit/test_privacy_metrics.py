"""What a privacy manager counts, of its own answers and of what it hands to others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pytest

from muniment.privacy.counted import CountedPeers
from muniment.privacy.errors import PeerAwayError, PeerRefusedError
from muniment.privacy.metrics import Metrics
from muniment.privacy.values import Payload, Peer

pytestmark = pytest.mark.anyio

PEER = Peer("http://beta/")
PAYLOAD = Payload(bytes(32), b"x" * 17, bytes(24), (bytes(48),), bytes(24), (bytes(32),))


class Peers:
    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.taken: list[int] = []

    async def resolve(self, keys: Collection[bytes]) -> Mapping[bytes, Peer]:
        return dict.fromkeys(keys, PEER)

    async def push(self, peer: Peer, payload: Payload) -> None:
        await self.push_batch(peer, [payload])

    async def push_batch(self, peer: Peer, payloads: Sequence[Payload]) -> None:
        assert peer == PEER
        if self.failure:
            raise self.failure
        self.taken.append(len(payloads))


def test_requests_are_counted_by_route_and_status() -> None:
    metrics = Metrics()
    for status in (200, 404, 404):
        metrics.count("q2t", "/transaction/", status, 0.002)
    said = metrics.text().decode()
    assert 'muniment_privacy_requests_total{interface="q2t",route="/transaction/",status="404"} 2.0' in said
    assert 'muniment_privacy_seconds_count{interface="q2t",route="/transaction/"} 3.0' in said
    assert 'muniment_privacy_seconds_bucket{interface="q2t",le="0.001",route="/transaction/"} 0.0' in said


async def test_pushes_that_were_taken_are_counted() -> None:
    metrics, peers = Metrics(), Peers()
    counted = CountedPeers(peers, metrics)
    assert await counted.resolve([b"k"]) == {b"k": PEER}
    await counted.push(PEER, PAYLOAD)
    await counted.push_batch(PEER, [PAYLOAD, PAYLOAD])
    assert peers.taken == [1, 2]
    assert 'muniment_privacy_pushes_total{result="taken"} 2.0' in metrics.text().decode()


@pytest.mark.parametrize(("failure", "result"), [(PeerAwayError("x"), "away"), (PeerRefusedError("x"), "refused")])
async def test_pushes_that_failed_are_counted_and_raise_as_before(failure: Exception, result: str) -> None:
    metrics = Metrics()
    with pytest.raises(type(failure)):
        await CountedPeers(Peers(failure), metrics).push(PEER, PAYLOAD)
    said = metrics.text().decode()
    assert f'muniment_privacy_pushes_total{{result="{result}"}} 1.0' in said
    assert 'result="taken"' not in said
