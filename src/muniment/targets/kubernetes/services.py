"""Services: one for each pod, whose address is stable for as long as the Service exists. Pure.

Programs that look a name up only once (GoQuorum at its start for `static-nodes.json`, haproxy for its servers) rely on
that. So a Service is never deleted and made anew while the consortium runs; when that happened all the same, the pods
that knew the old address must be restarted.
"""

from __future__ import annotations

from collections.abc import Iterable

from muniment.spec.kubernetes import Outside
from muniment.spec.model import Consortium
from muniment.targets.containers.ports import kind_of
from muniment.targets.kubernetes.addresses import LOOPBACK
from muniment.targets.kubernetes.pods import Component, Manifest, Pod, metadata
from muniment.topology.model import Port, Workload

READY_ONLY = frozenset({Component.GATEWAY, Component.NOTARY})
"""Clients are sent to ready pods only. Nodes and peers find one another before they are ready: else none would be."""

_OUTSIDE = {
    "node": ("p2p", "raft"),
    "kubo": ("swarm",),
    "cluster": ("swarm",),
    "gateway": ("privacy",),
}
"""Ports that other clusters use."""


def services(pods: Iterable[Pod], spec: Consortium) -> list[Manifest]:
    """The Service of every pod, and where the specification says so one for other clusters."""
    found = []
    for pod in pods:
        found.append(_service(pod, spec))
        if spec.kubernetes.outside:
            found += _outside(pod, spec, spec.kubernetes.outside)
    return found


def port_name(workload: Workload, port: Port) -> str:
    """Name of a port in its Service: `rpc` of a node, `privacy-p2p` of a manager."""
    kind = kind_of(workload.name)
    return port.name if kind in ("node", "gateway", "notary") else f"{kind}-{port.name}"


def shared_ports(workload: Workload) -> list[Port]:
    """Ports that other pods may reach: one for each number, the first of those that share it."""
    first = {port.listen.port: port for port in reversed(workload.ports) if port.listen.host != LOOPBACK}
    return [port for port in workload.ports if first.get(port.listen.port) is port]


def _service(pod: Pod, spec: Consortium) -> Manifest:
    ports = [_port(workload, port) for workload in pod.workloads for port in shared_ports(workload)]
    gateway = spec.kubernetes.gateway
    is_gateway = pod.component is Component.GATEWAY
    notes = {"annotations": dict(gateway.annotations)} if is_gateway and gateway.annotations else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(pod.name, spec, pod.labels, **notes),
        "spec": {
            "type": gateway.type.value if is_gateway else "ClusterIP",
            "selector": pod.selector,
            "publishNotReadyAddresses": pod.component not in READY_ONLY,
            "ports": ports,
        },
    }


def _outside(pod: Pod, spec: Consortium, outside: Outside) -> list[Manifest]:
    ports = [
        _port(workload, port)
        for workload in pod.workloads
        for port in shared_ports(workload)
        if port.name in _OUTSIDE.get(kind_of(workload.name), ())
    ]
    if not ports:
        return []
    name = f"{pod.name}-outside"
    notes = {"annotations": dict(outside.annotations)} if outside.annotations else {}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(name, spec, pod.labels, **notes),
            "spec": {
                "type": outside.type.value,
                "selector": pod.selector,
                "publishNotReadyAddresses": pod.component not in READY_ONLY,
                "ports": ports,
            },
        }
    ]


def _port(workload: Workload, port: Port) -> Manifest:
    number = port.listen.port
    return {"name": port_name(workload, port), "port": number, "targetPort": number, "protocol": "TCP"}
