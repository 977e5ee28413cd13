"""The other members' managers, with what is pushed to them counted."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Collection, Mapping, Sequence

from muniment.privacy.errors import PeerAwayError, PeerRefusedError
from muniment.privacy.metrics import Metrics
from muniment.privacy.ports import Peers
from muniment.privacy.values import Payload, Peer


class CountedPeers:
    """`ports.Peers`: those of `peers`."""

    def __init__(self, peers: Peers, metrics: Metrics) -> None:
        self._peers = peers
        self._metrics = metrics

    async def resolve(self, keys: Collection[bytes]) -> Mapping[bytes, Peer]:
        """See `ports.Peers`."""
        return await self._peers.resolve(keys)

    async def push(self, peer: Peer, payload: Payload) -> None:
        """See `ports.Peers`."""
        await self._counted(self._peers.push(peer, payload))

    async def push_batch(self, peer: Peer, payloads: Sequence[Payload]) -> None:
        """See `ports.Peers`."""
        await self._counted(self._peers.push_batch(peer, payloads))

    async def _counted(self, pushed: Awaitable[None]) -> None:
        begun = time.perf_counter()
        result = "taken"
        try:
            await pushed
        except PeerAwayError:
            result = "away"
            raise
        except PeerRefusedError:
            result = "refused"
            raise
        finally:
            self._metrics.pushed(result, time.perf_counter() - begun)
