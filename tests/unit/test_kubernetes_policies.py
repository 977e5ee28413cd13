"""Network policies: closed, and opened port by port for those who need it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from muniment.spec.model import Consortium
from muniment.targets.kubernetes.addresses import KubernetesAddresses, settled
from muniment.targets.kubernetes.monitors import monitors
from muniment.targets.kubernetes.pods import Pod, pods
from muniment.targets.kubernetes.policies import policies
from muniment.topology.derive import derive
from muniment.topology.layout import Layout
from tests.unit.identities import consortium, member

IDENTITIES = consortium(member("alpha", first_key=1, nodes=2, peers=2), member("beta", first_key=50, nodes=1))
MEMBERS: dict[str, Any] = {"alpha": {"nodes": 2, "peers": 2}, "beta": {"nodes": 1, "peers": 0, "notary": False}}


def world(
    kubernetes: dict[str, Any] | None = None, **members: Any
) -> tuple[Consortium, dict[str, Pod], list[dict[str, Any]]]:
    spec = Consortium.model_validate({"members": MEMBERS | members, "kubernetes": kubernetes or {}})
    spec = settled(spec)
    topology = derive(spec, IDENTITIES, KubernetesAddresses(spec), "{}", Layout.PODS)
    found = {pod.name: pod for pod in pods(topology, frozenset())}
    return spec, found, policies(list(found.values()), spec)


def allowed(found: list[dict[str, Any]], source: Pod, target: Pod) -> set[int]:
    """Ports of `target` that `source` may connect to: both ends must allow it."""
    return _side(found, source, target, "egress", "to") & _side(found, target, source, "ingress", "from")


def _side(found: list[dict[str, Any]], here: Pod, there: Pod, direction: str, key: str) -> set[int]:
    return {
        port["port"]
        for policy in found
        if _fits(policy["spec"]["podSelector"], here)
        for rule in policy["spec"].get(direction, [])
        if key not in rule
        or any(_fits(peer.get("podSelector", {"matchLabels": {"no": ""}}), there) for peer in rule[key])
        for port in rule.get("ports", [])
    }


def _fits(selector: dict[str, Any], pod: Pod) -> bool:
    return all(pod.labels.get(key) == value for key, value in selector["matchLabels"].items())


def rules(found: list[dict[str, Any]], name: str, direction: str) -> Iterator[dict[str, Any]]:
    (policy,) = [one for one in found if one["metadata"]["name"] == name]
    yield from policy["spec"][direction]


def test_ports_by_role() -> None:
    _, pod, found = world()
    assert allowed(found, pod["alpha-1"], pod["alpha-2"]) == {30303, 50400, 8545, 9102}
    assert allowed(found, pod["alpha-1"], pod["beta-1"]) == {30303, 50400}
    assert allowed(found, pod["alpha-gateway"], pod["alpha-1"]) == {8545, 8546, 9103, 9102, 9200}
    assert allowed(found, pod["alpha-gateway"], pod["beta-1"]) == set()
    assert allowed(found, pod["beta-1"], pod["alpha-gateway"]) == {9103}
    assert allowed(found, pod["alpha-notary"], pod["alpha-peer-1"]) == {5001, 9094}
    assert allowed(found, pod["alpha-peer-1"], pod["alpha-peer-2"]) == {4001, 9096}
    assert allowed(found, pod["beta-1"], pod["alpha-peer-1"]) == set()
    assert allowed(found, pod["alpha-1"], pod["alpha-database"]) == {3306}
    assert allowed(found, pod["beta-1"], pod["alpha-database"]) == set()
    assert allowed(found, pod["alpha-peer-1"], pod["alpha-1"]) == set()


def test_clients_reach_gateway_and_notary_only() -> None:
    _, _, found = world()
    open_to_all = {
        policy["metadata"]["name"]
        for policy in found
        for rule in policy["spec"].get("ingress", [])
        if "from" not in rule
    }
    assert open_to_all == {"alpha-gateway", "beta-gateway", "alpha-notary"}


def test_everything_else_is_closed_in_both_directions() -> None:
    _, pod, found = world()
    closed = found[0]
    assert closed["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in closed["spec"]
    assert all(_fits(closed["spec"]["podSelector"], each) for each in pod.values())
    assert {port["port"] for rule in closed["spec"]["egress"] for port in rule["ports"]} == {53}


def test_a_database_outside_is_opened_by_its_ports() -> None:
    url = "postgresql://me@one.example.org,two.example.org:6432/muniment"
    _, _, found = world(alpha={"nodes": 2, "peers": 2, "database": {"url": url}})
    ports = [rule["ports"] for rule in rules(found, "alpha-node", "egress") if "to" not in rule]
    assert [[port["port"] for port in one] for one in ports] == [[5432, 6432]]


def test_other_clusters_come_from_their_networks() -> None:
    _, _, found = world({"outside": {"from_networks": ["192.0.2.0/24"]}})
    blocks = [
        {port["port"] for port in rule["ports"]}
        for rule in rules(found, "alpha-peer", "ingress")
        if {"ipBlock": {"cidr": "192.0.2.0/24"}} in rule.get("from", [])
    ]
    assert blocks == [{4001, 9096}]


def test_metrics_are_scraped_where_they_are() -> None:
    spec, pod, found = world({"monitoring": True})
    made = {one["metadata"]["name"]: one["spec"]["endpoints"] for one in monitors(list(pod.values()), spec)}
    assert {(each["port"], each["path"]) for each in made["consortium-node"]} == {
        ("metrics", "/debug/metrics/prometheus"),
        ("privacy-status", "/metrics"),
        ("agent-api", "/metrics"),
    }
    assert {(each["port"], each["path"]) for each in made["consortium-gateway"]} == {("metrics", "/metrics")}
    (rule,) = [
        rule for rule in rules(found, "alpha-node", "ingress") if rule.get("from") == [{"namespaceSelector": {}}]
    ]
    assert [port["port"] for port in rule["ports"]] == [6060, 9102, 9200]


def test_none_when_they_are_not_wanted() -> None:
    assert world({"network_policies": False})[2] == []
