"""ServiceMonitors (Prometheus operator, monitoring.coreos.com/v1): what is scraped, and where. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from muniment.spec.model import Consortium
from muniment.targets.kubernetes.labels import labels
from muniment.targets.kubernetes.pods import COMPONENT, POD, Component, Manifest, Pod, metadata
from muniment.targets.kubernetes.services import port_name, shared_ports

SCRAPED = frozenset({"metrics", "prometheus"})
"""Last part of the path of a port that has metrics."""

INTERVAL = "15s"


def monitors(pods: Sequence[Pod], spec: Consortium) -> list[Manifest]:
    """One for each kind of pods; none when the specification does not want them."""
    if not spec.kubernetes.monitoring:
        return []
    found = []
    for component in dict.fromkeys(pod.component for pod in pods):
        endpoints = _endpoints(pod for pod in pods if pod.component is component)
        if endpoints:
            found.append(_monitor(component, endpoints, spec))
    return found


def _endpoints(pods: Iterable[Pod]) -> list[Manifest]:
    scraped = {}
    for pod in pods:
        for workload in pod.workloads:
            named = {port.listen.port: port_name(workload, port) for port in shared_ports(workload)}
            for port in workload.ports:
                if port.path.rpartition("/")[2] in SCRAPED and port.listen.port in named:
                    scraped[named[port.listen.port]] = port.path
    return [{"port": name, "path": path, "interval": INTERVAL} for name, path in scraped.items()]


def _monitor(component: Component, endpoints: list[Manifest], spec: Consortium) -> Manifest:
    own = labels(spec.name)
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": metadata(f"{spec.name}-{component}", spec, {"app.kubernetes.io/name": "muniment", **own}),
        "spec": {
            "selector": {"matchLabels": {**own, COMPONENT: component.value}},
            "targetLabels": [POD],
            "endpoints": endpoints,
        },
    }
