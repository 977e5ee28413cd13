"""Whether a peer (kubo and cluster) takes part in the full mesh. Pure: views in, judgements and missing links out.

A kubo is ready when it answers and is connected to every other kubo of its own member *that answers*. A cluster service
is ready when it answers, its kubo answers, and it sees every other cluster peer of its own member that answers. What
does not answer is not ready itself and makes nobody else unready: one dead peer must not stop its siblings. Peers of
other members are connected when possible and counted, never required.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """One own peer: names of its two workloads and their libp2p peer IDs."""

    kubo_name: str
    kubo_id: str
    cluster_name: str
    cluster_id: str


@dataclass(frozen=True)
class View:
    """What one own peer showed at one poll. A cause says why that half did not answer."""

    kubo_cause: str = ""
    links: frozenset[str] = frozenset()
    """Peer IDs that the kubo is connected to."""
    cluster_cause: str = ""
    sees: frozenset[str] = frozenset()
    """Peer IDs of the cluster peers that the cluster service knows as present, itself included."""


@dataclass(frozen=True)
class PeerFitness:
    """The judgement of one workload of a peer."""

    ready: bool
    cause: str


def judge(peers: Sequence[Peer], views: Mapping[str, View]) -> dict[str, PeerFitness]:
    """The fitness of every kubo and cluster workload by name; `views` is keyed by the kubo's name."""
    kubos = [peer for peer in peers if not views[peer.kubo_name].kubo_cause]
    clusters = [peer for peer in peers if not views[peer.kubo_name].cluster_cause]
    judged = {}
    for peer in peers:
        view = views[peer.kubo_name]
        judged[peer.kubo_name] = _fitness(view.kubo_cause or _unlinked(peer, view, kubos))
        judged[peer.cluster_name] = _fitness(
            view.cluster_cause
            or (f"its {peer.kubo_name} does not answer" if view.kubo_cause else "")
            or _unseen(peer, view, clusters)
        )
    return judged


def missing_links(
    peers: Sequence[Peer], views: Mapping[str, View], foreign: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """Pairs (own kubo's name, kubo ID to connect it to). Of two own kubos, one dials: the one named first."""
    answering = [peer for peer in peers if not views[peer.kubo_name].kubo_cause]
    missing = []
    for position, peer in enumerate(answering):
        links = views[peer.kubo_name].links
        wanted = [other.kubo_id for other in answering[position + 1 :]] + list(foreign)
        missing += [(peer.kubo_name, kubo_id) for kubo_id in wanted if kubo_id not in links]
    return tuple(missing)


def _fitness(cause: str) -> PeerFitness:
    return PeerFitness(ready=not cause, cause=cause)


def _unlinked(peer: Peer, view: View, answering: Sequence[Peer]) -> str:
    missing = [other.kubo_name for other in answering if other != peer and other.kubo_id not in view.links]
    return f"not connected to {', '.join(missing)}" if missing else ""


def _unseen(peer: Peer, view: View, answering: Sequence[Peer]) -> str:
    if peer.cluster_id not in view.sees:
        return "another cluster service answers at its address: end it"
    missing = [other.cluster_name for other in answering if other != peer and other.cluster_id not in view.sees]
    return f"does not see {', '.join(missing)}" if missing else ""
