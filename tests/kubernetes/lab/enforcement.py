"""Enforces NetworkPolicies (networking.k8s.io/v1): reads them from the API, writes a table of nftables for each node.

Runs as a script in the control plane's network namespace: `enforcement.py API KEYS PREFIX`. The plain bridge of pods
knows no policies. What a node asks its own pods (probes) is always let through, as Kubernetes demands.
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

INTERVAL_SECONDS = 0.5
Document = Mapping[str, Any]


@dataclass
class Cluster:
    """What is known."""

    pods: Sequence[Document]
    policies: Sequence[Document]
    namespaces: Mapping[str, Document]


@dataclass
class Rules:
    """Rules for the pods of one node, by address; only pods with a policy are in it."""

    ingress: dict[str, set[str]] = field(default_factory=dict)
    egress: dict[str, set[str]] = field(default_factory=dict)


def main(api: str, keys: Path, prefix: str) -> None:
    """Keep the tables as the policies say."""
    written: dict[str, str] = {}
    while True:
        try:
            wanted = tables(read(api, keys))
        except (OSError, http.client.HTTPException, ValueError) as error:
            say(f"the API server does not answer: {error}")
        else:
            for node, text in wanted.items():
                if node.startswith(prefix) and written.get(node) != text and write(node, text):
                    written[node] = text
        time.sleep(INTERVAL_SECONDS)


def read(api: str, keys: Path) -> Cluster:
    """Ask for everything."""
    context = ssl.create_default_context(cafile=str(keys / "ca.crt"))
    context.load_cert_chain(keys / "admin.crt", keys / "admin.key")
    url = urlsplit(api)
    connection = http.client.HTTPSConnection(str(url.hostname), url.port, context=context, timeout=10)
    try:
        pods, policies, namespaces = (
            _items(connection, path)
            for path in ("/api/v1/pods", "/apis/networking.k8s.io/v1/networkpolicies", "/api/v1/namespaces")
        )
    finally:
        connection.close()
    live = [pod for pod in pods if _lives(pod)]
    labels = {one["metadata"]["name"]: one["metadata"].get("labels", {}) for one in namespaces}
    return Cluster(live, policies, labels)


def _items(connection: http.client.HTTPSConnection, path: str) -> list[Document]:
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != http.HTTPStatus.OK:
        raise OSError(f"{path}: status {answer.status}")
    items: list[Document] = json.loads(body)["items"]
    return items


def _lives(pod: Document) -> bool:
    status = pod["status"]
    alive = status.get("phase") in ("Running", "Pending")
    return bool(status.get("podIP")) and alive and not pod["spec"].get("hostNetwork")


def tables(cluster: Cluster) -> dict[str, str]:
    """The text for `nft -f` by node."""
    nodes: dict[str, Rules] = {}
    for pod in cluster.pods:
        rules = nodes.setdefault(pod["spec"]["nodeName"], Rules())
        for policy in cluster.policies:
            if policy["metadata"]["namespace"] == pod["metadata"]["namespace"] and selects(
                policy["spec"].get("podSelector", {}), _labels(pod)
            ):
                _add(rules, pod, policy, cluster)
    return {node: table(rules) for node, rules in nodes.items()}


def _add(rules: Rules, pod: Document, policy: Document, cluster: Cluster) -> None:
    spec = policy["spec"]
    types = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    if "Ingress" in types:
        own = rules.ingress.setdefault(_address(pod), set())
        for rule in spec.get("ingress") or []:
            own.update(allowed(rule.get("from"), rule.get("ports"), "saddr", policy, cluster, [pod]))
    if "Egress" in types:
        own = rules.egress.setdefault(_address(pod), set())
        for rule in spec.get("egress") or []:
            own.update(allowed(rule.get("to"), rule.get("ports"), "daddr", policy, cluster, cluster.pods))


def allowed(
    peers: Sequence[Document] | None,
    ports: Sequence[Document] | None,
    side: str,
    policy: Document,
    cluster: Cluster,
    owners: Iterable[Document],
) -> Iterator[str]:
    """Statements that let one rule's traffic through. Named ports are those of `owners`."""
    for place in places(peers, side, policy, cluster):
        for port in matches(ports, list(owners)):
            yield " ".join(part for part in (place, port, "return") if part)


def places(peers: Sequence[Document] | None, side: str, policy: Document, cluster: Cluster) -> Iterator[str]:
    """Matches of addresses; one empty match stands for all."""
    if not peers:
        yield ""
        return
    addresses: set[str] = set()
    for peer in peers:
        if "ipBlock" in peer:
            block = peer["ipBlock"]
            but = f"ip {side} != {{ {', '.join(block['except'])} }} " if block.get("except") else ""
            yield f"{but}ip {side} {block['cidr']}"
        else:
            addresses.update(_address(pod) for pod in cluster.pods if meant(peer, pod, policy, cluster))
    if addresses:
        yield f"ip {side} {{ {', '.join(sorted(addresses))} }}"


def meant(peer: Document, pod: Document, policy: Document, cluster: Cluster) -> bool:
    """Whether a peer of a policy means this pod."""
    namespace = pod["metadata"]["namespace"]
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], cluster.namespaces.get(namespace, {})):
            return False
    elif namespace != policy["metadata"]["namespace"]:
        return False
    return selects(peer.get("podSelector") or {}, _labels(pod))


def matches(ports: Sequence[Document] | None, owners: Sequence[Document]) -> Iterator[str]:
    """Matches of ports; one empty match stands for all."""
    if not ports:
        yield ""
        return
    for port in ports:
        protocol, number = port.get("protocol", "TCP").lower(), port.get("port")
        if number is None:
            yield f"meta l4proto {protocol}"
        elif isinstance(number, int):
            yield f"{protocol} dport {number}" + (f"-{port['endPort']}" if "endPort" in port else "")
        elif found := sorted(set(_named(number, owners))):
            yield f"{protocol} dport {{ {', '.join(map(str, found))} }}"


def _named(name: str, owners: Sequence[Document]) -> Iterator[int]:
    for pod in owners:
        for container in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ())):
            yield from (port["containerPort"] for port in container.get("ports", ()) if port.get("name") == name)


def selects(selector: Document, labels: Document) -> bool:
    """Whether a label selector selects these labels."""
    if any(labels.get(name) != value for name, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(one, labels) for one in selector.get("matchExpressions") or [])


def _holds(expression: Document, labels: Document) -> bool:
    name, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return labels.get(name) in values
        case "NotIn":
            return labels.get(name) not in values
        case "Exists":
            return name in labels
        case _:
            return name not in labels


def table(rules: Rules) -> str:
    """One table: a chain for each pod and direction, in which what is not let through is dropped."""
    lines = ["add table ip policies", "delete table ip policies", "table ip policies {"]
    directions = (("in", "daddr", rules.ingress), ("out", "saddr", rules.egress))
    for name, _, pods in directions:
        for address, statements in sorted(pods.items()):
            lines += [f" chain {_chain(name, address)} {{", *(f"  {one}" for one in sorted(statements)), "  drop", " }"]
    lines += [" chain forward {", "  type filter hook forward priority -5; policy accept;"]
    lines += ["  ct state established,related accept"]
    for name, side, pods in reversed(directions):
        if pods:
            jumps = ", ".join(f"{address} : jump {_chain(name, address)}" for address in sorted(pods))
            lines.append(f"  ip {side} vmap {{ {jumps} }}")
    return "\n".join([*lines, " }", "}"]) + "\n"


def _chain(direction: str, address: str) -> str:
    return f"{direction}_{address.replace('.', '_')}"


def _address(pod: Document) -> str:
    address: str = pod["status"]["podIP"]
    return address


def _labels(pod: Document) -> Document:
    labels: Document = pod["metadata"].get("labels") or {}
    return labels


def write(node: str, text: str) -> bool:
    """Put a table in place; whether that went well."""
    command = ["nsenter", f"--net=/run/netns/{node}", "--", "nft", "-f", "-"]
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        say(f"{node}: {done.stderr}\n{text}")
    return not done.returncode


def say(text: str) -> None:
    """Write to the log."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
