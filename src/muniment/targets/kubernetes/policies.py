"""Network policies: everything is closed, and each part is opened for those who need it, port by port. Pure.

One policy closes all pods of the consortium in both directions; names may be looked up. Then each line of `_FLOWS`
opens one port of one part to another part, at both ends. Parts of other operators in the same cluster are found by the
label of the consortium, whatever their namespace; those of other clusters come from the networks that the specification
names. A policy cannot name a host: what is outside is opened by port.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from muniment.spec.model import Consortium
from muniment.targets.containers.ports import PORTS
from muniment.targets.kubernetes.labels import labels
from muniment.targets.kubernetes.monitors import SCRAPED
from muniment.targets.kubernetes.pods import COMPONENT, MEMBER, Component, Manifest, Pod, metadata

_DNS_PORT = 53
_SQL_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}


@dataclass(frozen=True)
class _Flow:
    """Pods of component `source` connect to these ports of component `target`."""

    source: Component
    target: Component
    ports: tuple[int, ...]
    member: bool = True
    """Only within one member; else within the consortium, other operators' parts too."""


def _numbers(kind: str, *names: str) -> tuple[int, ...]:
    return tuple(PORTS[kind][name] for name in names)


_FLOWS = (
    _Flow(Component.NODE, Component.NODE, _numbers("node", "p2p", "raft"), member=False),
    # The agent beside a node judges it against its siblings, and looks after the peers.
    _Flow(Component.NODE, Component.NODE, (*_numbers("node", "rpc"), *_numbers("privacy", "status"))),
    _Flow(Component.NODE, Component.PEER, (*_numbers("kubo", "api"), *_numbers("cluster", "api"))),
    # A privacy manager talks to those of other members through their gateways.
    _Flow(Component.NODE, Component.GATEWAY, _numbers("gateway", "privacy"), member=False),
    _Flow(Component.NODE, Component.DATABASE, _numbers("database", "sql")),
    _Flow(
        Component.PEER,
        Component.PEER,
        (*_numbers("kubo", "swarm"), *_numbers("cluster", "swarm")),
        member=False,
    ),
    _Flow(
        Component.GATEWAY,
        Component.NODE,
        (*_numbers("node", "rpc", "ws"), *_numbers("privacy", "p2p", "status"), *_numbers("agent", "api")),
    ),
    _Flow(Component.NOTARY, Component.PEER, (*_numbers("kubo", "api"), *_numbers("cluster", "api"))),
    _Flow(Component.NOTARY, Component.GATEWAY, _numbers("gateway", "rpc")),
    _Flow(Component.NOTARY, Component.DATABASE, _numbers("database", "sql")),
)

_CLIENTS = {
    Component.GATEWAY: _numbers("gateway", "rpc", "ws"),
    Component.NOTARY: _numbers("notary", "api"),
}
"""Ports for clients, wherever they are: who may use them is their own affair."""

_OUTSIDE = {
    Component.NODE: _numbers("node", "p2p", "raft"),
    Component.PEER: (*_numbers("kubo", "swarm"), *_numbers("cluster", "swarm")),
    Component.GATEWAY: _numbers("gateway", "privacy"),
}
"""Ports that parts of the consortium in other clusters connect to."""

_CALLS_OUT = (Component.NODE, Component.PEER)


def policies(pods: Sequence[Pod], spec: Consortium) -> list[Manifest]:
    """The policies of all pods; none when the specification does not want them."""
    if not spec.kubernetes.network_policies:
        return []
    found = [_closed(spec)]
    for member in dict.fromkeys(pod.member for pod in pods):
        own = [pod for pod in pods if pod.member == member]
        present = dict.fromkeys(pod.component for pod in own)
        found += [_policy(member, component, own, spec) for component in present]
    return found


def _closed(spec: Consortium) -> Manifest:
    dns = [{"protocol": protocol, "port": _DNS_PORT} for protocol in ("UDP", "TCP")]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(f"{spec.name}-closed", spec, _labels(spec)),
        "spec": {
            "podSelector": {"matchLabels": labels(spec.name)},
            "policyTypes": ["Ingress", "Egress"],
            # Names are looked up wherever the cluster has its DNS.
            "egress": [{"ports": dns}],
        },
    }


def _policy(member: str, component: Component, pods: Sequence[Pod], spec: Consortium) -> Manifest:
    ingress = [
        _rule("from", flow.ports, _peers(flow.source, flow, member, spec))
        for flow in _FLOWS
        if flow.target is component
    ]
    egress = [
        _rule("to", flow.ports, _peers(flow.target, flow, member, spec)) for flow in _FLOWS if flow.source is component
    ]
    if component in _CLIENTS:
        ingress.append({"ports": _ports(_CLIENTS[component])})
    ingress += _scraping(component, pods, spec)
    ingress += _from_outside(component, spec)
    egress += _to_outside(component, spec)
    egress += _to_database(member, component, spec)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(f"{member}-{component}", spec, {**_labels(spec), MEMBER: member}),
        "spec": {
            "podSelector": {"matchLabels": _selector(spec, component, member)},
            "policyTypes": ["Ingress", "Egress"],
            # An empty list is not kept by the API, and would be a change at every apply.
            **{name: rules for name, rules in (("ingress", ingress), ("egress", egress)) if rules},
        },
    }


def _peers(component: Component, flow: _Flow, member: str, spec: Consortium) -> list[Manifest]:
    if flow.member:
        return [{"podSelector": {"matchLabels": _selector(spec, component, member)}}]
    inside: Manifest = {"podSelector": {"matchLabels": _selector(spec, component)}}
    # Members of other operators in this cluster have namespaces of their own.
    foreign = len(spec.own_members) < len(spec.members)
    return [{**inside, "namespaceSelector": {}}] if foreign else [inside]


def _scraping(component: Component, pods: Sequence[Pod], spec: Consortium) -> list[Manifest]:
    if not spec.kubernetes.monitoring:
        return []
    ports = sorted(
        {
            port.listen.port
            for pod in pods
            if pod.component is component
            for workload in pod.workloads
            for port in workload.ports
            if port.path.rpartition("/")[2] in SCRAPED
        }
    )
    return [_rule("from", ports, [{"namespaceSelector": {}}])] if ports else []


def _from_outside(component: Component, spec: Consortium) -> list[Manifest]:
    outside = spec.kubernetes.outside
    if outside is None or component not in _OUTSIDE:
        return []
    return [_rule("from", _OUTSIDE[component], _blocks(outside.from_networks))]


def _to_outside(component: Component, spec: Consortium) -> list[Manifest]:
    outside = spec.kubernetes.outside
    if outside is None or component not in _CALLS_OUT:
        return []
    # Which ports others have is theirs to say: load balancers and node ports count differently.
    return [{"to": _blocks(outside.from_networks)}]


def _to_database(member: str, component: Component, spec: Consortium) -> list[Manifest]:
    url = spec.members[member].database.url
    scheme = urlsplit(url).scheme
    if component not in (Component.NODE, Component.NOTARY) or scheme not in _SQL_PORTS:
        return []
    if f"@{member}-database." in url:
        return []
    places = url.partition("://")[2].partition("/")[0].rpartition("@")[2].split(",")
    given = (place.rpartition(":")[2] for place in places)
    ports = sorted({int(port) if port.isdecimal() else _SQL_PORTS[scheme] for port in given})
    return [{"ports": _ports(ports)}]


def _rule(direction: str, ports: Iterable[int], peers: Sequence[Manifest]) -> Manifest:
    return {direction: list(peers), "ports": _ports(ports)}


def _ports(numbers: Iterable[int]) -> list[Manifest]:
    return [{"protocol": "TCP", "port": number} for number in numbers]


def _blocks(networks: Iterable[str]) -> list[Manifest]:
    return [{"ipBlock": {"cidr": network}} for network in networks]


def _selector(spec: Consortium, component: Component, member: str | None = None) -> Mapping[str, str]:
    return {**labels(spec.name), COMPONENT: component.value, **({MEMBER: member} if member else {})}


def _labels(spec: Consortium) -> dict[str, str]:
    return {"app.kubernetes.io/name": "muniment", **labels(spec.name)}
