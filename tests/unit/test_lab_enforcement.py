"""NetworkPolicies as the lab's agent understands them: the text that it gives to nftables."""

from __future__ import annotations

from typing import Any

from tests.kubernetes.lab.enforcement import Cluster, tables

SERVER, CLIENT, STRANGER = "10.244.1.2", "10.244.1.3", "10.244.2.2"


def pod(name: str, address: str, node: str = "n1", namespace: str = "here", **labels: str) -> dict[str, Any]:
    ports = [{"name": "rpc", "containerPort": 8545}]
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name, **labels}},
        "spec": {"nodeName": node, "containers": [{"ports": ports}]},
        "status": {"podIP": address, "phase": "Running"},
    }


def policy(**spec: Any) -> dict[str, Any]:
    selector = {"podSelector": {"matchLabels": {"app": "server"}}}
    return {"metadata": {"name": "one", "namespace": "here"}, "spec": {**selector, **spec}}


def chains(*policies: dict[str, Any]) -> dict[str, list[str]]:
    """Statements by chain, on the server's node."""
    pods = [
        pod("server", SERVER),
        pod("client", CLIENT, role="client"),
        pod("stranger", STRANGER, "n2", "elsewhere", role="client"),
    ]
    made = tables(Cluster(pods, list(policies), {"here": {}, "elsewhere": {"trusted": "yes"}}))["n1"]
    found: dict[str, list[str]] = {}
    for line in made.splitlines():
        words = line.split()
        if words[:1] == ["chain"]:
            found[words[1]] = current = []
        elif found and words and words != ["}"]:
            current.append(line.strip())
    return found


def ingress(**rule: Any) -> list[str]:
    found = chains(policy(ingress=[rule]))[f"in_{SERVER.replace('.', '_')}"]
    assert found[-1] == "drop"
    return found[:-1]


def test_without_a_policy_nothing_is_dropped() -> None:
    assert set(chains()) == {"forward"}


def test_a_policy_without_rules_drops_all() -> None:
    found = chains(policy(policyTypes=["Ingress", "Egress"]))
    assert found["in_10_244_1_2"] == found["out_10_244_1_2"] == ["drop"]
    assert f"ip daddr vmap {{ {SERVER} : jump in_10_244_1_2 }}" in found["forward"]
    assert f"ip saddr vmap {{ {SERVER} : jump out_10_244_1_2 }}" in found["forward"]


def test_an_empty_rule_lets_all_through() -> None:
    assert ingress() == ["return"]


def test_pods_of_the_same_namespace() -> None:
    peer = {"podSelector": {"matchLabels": {"role": "client"}}}
    assert ingress(**{"from": [peer]}) == [f"ip saddr {{ {CLIENT} }} return"]


def test_pods_of_other_namespaces() -> None:
    peer = {"namespaceSelector": {"matchLabels": {"trusted": "yes"}}, "podSelector": {}}
    assert ingress(**{"from": [peer]}) == [f"ip saddr {{ {STRANGER} }} return"]


def test_a_rule_whose_peers_do_not_exist_lets_nobody_through() -> None:
    assert ingress(**{"from": [{"podSelector": {"matchLabels": {"role": "nobody"}}}]}) == []


def test_networks() -> None:
    block = {"cidr": "192.0.2.0/24", "except": ["192.0.2.7/32"]}
    assert ingress(**{"from": [{"ipBlock": block}]}) == [
        "ip saddr != { 192.0.2.7/32 } ip saddr 192.0.2.0/24 return",
    ]


def test_ports() -> None:
    ports = [{"port": "rpc"}, {"port": 9000, "endPort": 9010}, {"port": 53, "protocol": "UDP"}, {"protocol": "SCTP"}]
    assert ingress(ports=ports) == [
        "meta l4proto sctp return",
        "tcp dport 9000-9010 return",
        "tcp dport { 8545 } return",
        "udp dport 53 return",
    ]


def test_a_named_port_that_no_container_has_lets_nothing_through() -> None:
    assert ingress(ports=[{"port": "none"}]) == []


def test_policies_add_up() -> None:
    first = policy(ingress=[{"ports": [{"port": 1}]}])
    second = policy(ingress=[{"ports": [{"port": 2}]}])
    assert chains(first, second)["in_10_244_1_2"] == ["tcp dport 1 return", "tcp dport 2 return", "drop"]


def test_expressions() -> None:
    expressions = [
        {"key": "role", "operator": "In", "values": ["client"]},
        {"key": "app", "operator": "NotIn", "values": ["stranger"]},
        {"key": "role", "operator": "Exists"},
        {"key": "gone", "operator": "DoesNotExist"},
    ]
    peer = {"namespaceSelector": {}, "podSelector": {"matchExpressions": expressions}}
    assert ingress(**{"from": [peer]}) == [f"ip saddr {{ {CLIENT} }} return"]
