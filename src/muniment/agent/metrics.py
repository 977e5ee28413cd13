"""The agent's metrics, computed from the latest judgements when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from muniment.agent.fitness import Fitness
from muniment.agent.mending import PeerWatch
from muniment.agent.watch import NodeWatch

_NODE_GAUGES: tuple[tuple[str, str, Callable[[Fitness], float | None]], ...] = (
    ("muniment_node_ready", "1 when the node may take traffic.", lambda f: f.ready),
    ("muniment_node_live", "1 when the node answers.", lambda f: f.live),
    ("muniment_node_head", "Number of the node's head block.", lambda f: f.head),
    ("muniment_node_lag_blocks", "Blocks behind the member's best head.", lambda f: f.lag_blocks),
    (
        "muniment_node_lag_seconds",
        "Seconds since a sibling first showed a block that the node lacks.",
        lambda f: f.lag_seconds,
    ),
    ("muniment_node_peers", "Connected devp2p peers.", lambda f: f.peers),
)


def registry(nodes: NodeWatch, peers: PeerWatch) -> CollectorRegistry:
    """A registry of the agent's own with everything that it knows, and its own process's memory and time."""
    own = CollectorRegistry()
    own.register(_Judgements(nodes, peers))
    ProcessCollector(registry=own)
    return own


class _Judgements(Collector):
    def __init__(self, nodes: NodeWatch, peers: PeerWatch) -> None:
        self._nodes = nodes
        self._peers = peers

    def collect(self) -> Iterable[Metric]:
        """All metric families."""
        for name, text, value_of in _NODE_GAUGES:
            yield self._node_gauge(name, text, value_of)
        yield from self._peer_metrics()

    def _node_gauge(self, name: str, text: str, value_of: Callable[[Fitness], float | None]) -> Metric:
        family = GaugeMetricFamily(name, text, labels=["node"])
        for node, fitness in self._nodes.fitness.items():
            value = value_of(fitness)
            if value is not None:
                family.add_metric([node], float(value))
        return family

    def _peer_metrics(self) -> Iterable[Metric]:
        ready = GaugeMetricFamily("muniment_peer_ready", "1 when the workload is in the full mesh.", labels=["peer"])
        for name, fitness in self._peers.fitness.items():
            ready.add_metric([name], float(fitness.ready))
        links = GaugeMetricFamily("muniment_kubo_connections", "Peers that the kubo is connected to.", labels=["peer"])
        foreign = GaugeMetricFamily(
            "muniment_kubo_foreign_missing", "Kubos of other members that it is not connected to.", labels=["peer"]
        )
        for name, view in self._peers.views.items():
            links.add_metric([name], len(view.links))
            foreign.add_metric([name], len(set(self._peers.foreign) - view.links))
        attempts = CounterMetricFamily("muniment_mesh_attempts", "Connections between kubos that were asked for.")
        attempts.add_metric([], self._peers.attempts)
        yield from (ready, links, foreign, attempts)
