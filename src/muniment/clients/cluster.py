"""The REST API of an IPFS Cluster peer (ipfscluster.io/documentation/reference/api).

A pin is asked of one peer and carried out by those it is allocated to. That the peer took it proves nothing: the
content is stored where `pin_status` says "pinned".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import httpx2

from muniment.clients.http import EngineHttp, RefusedError

USER = "muniment"

PINNED = "pinned"
"""The status of a peer that holds all of the content."""

UNPINNED = "unpinned"
"""The status of a peer that does not know of the pin."""

ALLOCATED_BY = ("tag:group", "freespace")
"""Metrics that a peer must have announced lately to be given content (allocator.balanced.allocate_by)."""

DEFAULT_TIMEOUT = 60.0
"""A peer that hangs delays its siblings' answers by up to 40 s (libp2p's keep-alive); then they answer."""


class ClusterId(NamedTuple):
    """Who answers, and whom it sees."""

    peer_id: str
    peers: frozenset[str]
    """Peer IDs of the cluster peers it knows as present, itself included."""
    kubo_id: str
    """Empty when its kubo does not answer."""
    error: str


class Metric(NamedTuple):
    """One value that a peer announced to the others, for example its free space."""

    name: str
    peer_id: str
    value: str
    valid: bool
    """False once it has expired: the peer is then taken for gone."""


class ClusterClient(EngineHttp):
    """An async client of one cluster peer. All methods raise `TemporaryError` or `PermanentError`.

    A peer that says "not enough peers" raises `TemporaryError`: others may come back.
    """

    engine = "the cluster peer"

    def __init__(
        self,
        url: str,
        password: str,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(url, timeout=timeout, credentials=(USER, password), transport=transport)

    async def id(self) -> ClusterId:
        """The peer's identity and whom it sees."""
        answer = await self._ask("GET", "/id")
        try:
            kubo = answer.get("ipfs") or {}
            return ClusterId(
                str(answer["id"]),
                frozenset(map(str, answer.get("cluster_peers") or ())),
                str(kubo.get("id") or ""),
                str(answer.get("error") or kubo.get("error") or ""),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise self._misfit(error) from error

    async def sees(self) -> set[str]:
        """Peer IDs of the cluster peers that it knows as present."""
        return set((await self.id()).peers)

    async def candidates(self) -> set[str]:
        """Peer IDs that this peer would allocate content to; seconds after a start not yet all that it sees."""
        known = [await self.metrics(name) for name in ALLOCATED_BY]
        return set.intersection(*({metric.peer_id for metric in metrics if metric.valid} for metrics in known))

    async def pin(
        self, cid: str, *, minimum: int, maximum: int, allocations: Sequence[str] = (), name: str = ""
    ) -> frozenset[str]:
        """Ask for `cid` to be pinned on `minimum` to `maximum` peers, on `allocations` rather than on others.

        `allocations` are cluster peer IDs; one that is no candidate at the moment is passed over, and another takes its
        place. Returns the peer IDs that it was allocated to. Asking again for the same is harmless.
        """
        parameters: dict[str, str | int] = {
            "mode": "recursive",
            "replication-min": minimum,
            "replication-max": maximum,
        }
        if name:
            parameters["name"] = name
        if allocations:
            parameters["user-allocations"] = ",".join(allocations)
        answer = await self._ask("POST", f"/pins/{cid}", parameters=parameters)
        try:
            return frozenset(map(str, answer.get("allocations") or ()))
        except (TypeError, AttributeError) as error:
            raise self._misfit(error) from error

    async def pin_status(self, cid: str) -> dict[str, str]:
        """What every peer says of `cid`, by cluster peer ID: "pinned", "pinning", "remote", "unpinned", "pin_error"…"""
        answer = await self._ask("GET", f"/pins/{cid}")
        try:
            return {str(peer): str(said["status"]) for peer, said in (answer.get("peer_map") or {}).items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise self._misfit(error) from error

    async def unpin(self, cid: str) -> None:
        """Take `cid` out of the pinset; harmless when it is not in it."""
        try:
            await self._ask("DELETE", f"/pins/{cid}")
        except RefusedError as error:
            if error.status != httpx2.codes.NOT_FOUND:
                raise

    async def metrics(self, name: str) -> list[Metric]:
        """The last value of the metric `name` (`ping`, `freespace`, `tag:group`) of every peer."""
        lines = await self._lines("GET", f"/monitor/metrics/{name}")
        try:
            return [_metric(metric) for line in lines for metric in _flat(line)]
        except (KeyError, TypeError) as error:
            raise self._misfit(error) from error


def _flat(line: Any) -> list[Any]:
    """The API answers with one JSON list where other calls answer with lines."""
    return line if isinstance(line, list) else [line]


def _metric(raw: Any) -> Metric:
    return Metric(str(raw["name"]), str(raw["peer"]), str(raw["value"]), bool(raw["valid"]))
