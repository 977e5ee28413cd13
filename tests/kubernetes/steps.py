"""What tests do with the consortium on Kubernetes, and what they ask of it."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from muniment.kernel.waiting import NotYetError
from tests.kubernetes.cluster import NAME, NODES, RELEASE, Cluster

STALL_SECONDS = 12.0
"""So long no block may come while one of three validators is away: two rounds, on a busy machine."""

LABEL = f"muniment.io/consortium={NAME}"
OPERATOR = f"app.kubernetes.io/instance={RELEASE}"


def check(report: dict[str, Any]) -> None:
    """No client at the gateway saw a failure, and blocks went on."""
    assert report["failed"] == [], report
    assert report["sent"] > 0, report
    assert report["gap"] < STALL_SECONDS, report


def delete(cluster: Cluster, *pods: str) -> None:
    """Delete pods, and wait until others are there."""
    before = {name: cluster.pod(name)["metadata"]["uid"] for name in pods}
    cluster.kubectl("delete", "pod", *pods, "--wait=false")

    def gone() -> None:
        there = {one["metadata"]["name"]: one["metadata"]["uid"] for one in cluster.pods()}
        left = [name for name, uid in before.items() if there.get(name) == uid]
        if left:
            raise NotYetError(f"{left} are there")

    cluster.wait(f"the end of {', '.join(pods)}", gone)


def seconded(names: list[str]) -> list[str]:
    """Pods whose loss no client at the gateway may notice: not gateways themselves, nor a member's one database."""
    return [name for name in names if "gateway" not in name and "database" not in name]


def rounds(names: list[str]) -> list[list[str]]:
    """Groups of pods, no two of one kind; a database is alone, since its member waits for it."""
    groups: list[list[str]] = []
    kinds: list[set[str]] = []
    for name in names:
        rest = name.partition("-")[2]
        kind = "database" if "database" in rest else f"{rest.split('-')[0] if not rest[0].isdigit() else 'node'}"
        for group, taken in zip(groups, kinds, strict=True):
            if kind not in taken and "database" not in taken and kind != "database":
                group.append(name)
                taken.add(kind)
                break
        else:
            groups.append([name])
            kinds.append({kind})
    return groups


def containers(cluster: Cluster, pod: str) -> list[dict[str, Any]]:
    """The containers of a pod that stay, sidecars first."""
    spec = cluster.pod(pod)["spec"]
    beside = [one for one in spec.get("initContainers", []) if one.get("restartPolicy") == "Always"]
    return [*beside, *spec["containers"]]


def running(cluster: Cluster, pod: str) -> list[str]:
    """Names of the containers of a pod that stay."""
    return [one["name"] for one in containers(cluster, pod)]


def restarted(cluster: Cluster, before: dict[tuple[str, str], int]) -> None:
    """Raises `NotYetError` while one of the containers was not started again."""
    for one, count in before.items():
        if cluster.restarts(*one) <= count:
            raise NotYetError(f"{one} was not started again")


def meshed(cluster: Cluster) -> None:
    """Raises `NotYetError` while a peer does not see all others, as the agents judge it."""
    for number in (1, 2, 3):
        for kind in ("kubo", "cluster"):
            url = f"http://127.0.0.1:9200/peers/alpha-{kind}-{number}/ready"
            status, said = cluster.asked("alpha-1-0", "alpha-agent-1", url)
            if status != 200:
                raise NotYetError(f"alpha-{kind}-{number}: {said}")


def spare_machine(cluster: Cluster) -> str:
    """A machine without a database: each member has one only. Not the first one, where clients are."""
    taken = {
        cluster.machine(pod["metadata"]["name"]) for pod in cluster.pods() if "database" in pod["metadata"]["name"]
    }
    return next(node.name for node in reversed(cluster.lab.nodes) if node.name not in taken)


def one_state(cluster: Cluster) -> None:
    """Raises `NotYetError` while alpha's nodes have different private states at the newest block."""
    roots = cluster.roots(NODES[:3], cluster.head())
    if len(roots) != 1:
        raise NotYetError(f"there are {len(roots)} private states")


def machine_is(cluster: Cluster, name: str, *, ready: bool) -> None:
    """Raises `NotYetError` while a machine is not as wanted."""
    conditions = cluster.lab.get("node", name)["status"]["conditions"]
    status = next(one["status"] for one in conditions if one["type"] == "Ready")
    if (status == "True") is not ready:
        raise NotYetError(f"its condition Ready is {status}")


@contextmanager
def no_operator(cluster: Cluster) -> Iterator[None]:
    """While this lasts nothing is mended: the operator's pod is gone, not only told to end."""
    name = cluster.get("deployment", "-l", OPERATOR)["items"][0]["metadata"]["name"]

    def gone() -> None:
        if cluster.get("pods", "-l", OPERATOR)["items"]:
            raise NotYetError("it has a pod")

    cluster.kubectl("scale", "deployment", name, "--replicas=0")
    try:
        cluster.wait("the end of the operator", gone)
        yield
    finally:
        cluster.kubectl("scale", "deployment", name, "--replicas=1")


def refused(cluster: Cluster, pod: str, sentence: str) -> None:
    """Wait until the first step of a pod refused it with this sentence."""

    def probe() -> None:
        said = cluster.kubectl("logs", pod, "-c", "place", "--tail=5")
        if sentence not in said:
            raise NotYetError(said)

    cluster.wait(f"the refusal of {pod}", probe, 120)


def copy_of(cluster: Cluster, name: str, claim: str) -> dict[str, Any]:
    """A pod as the StatefulSet `name` makes it, on the volume of another claim."""
    template = cluster.get("statefulset", name)["spec"]["template"]
    spec = template["spec"]
    spec["hostname"] = f"{name}-0"
    # Beside the one whose volume it takes: the volume is there only.
    spec.pop("topologySpreadConstraints", None)
    spec.pop("affinity", None)
    spec["volumes"] += [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "thief", "namespace": NAME}, "spec": spec}


def replace_secret(cluster: Cluster, secret: dict[str, Any], data: dict[str, str]) -> None:
    """Delete an immutable Secret and make it anew with other content."""
    metadata = {key: secret["metadata"][key] for key in ("name", "namespace", "labels")}
    cluster.kubectl("delete", "secret", metadata["name"])
    made = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": secret["type"], "data": data}
    cluster.kubectl("create", "-f", "-", text=json.dumps({**made, "immutable": secret.get("immutable", False)}))


def changed(cluster: Cluster, before: dict[str, str]) -> set[str]:
    """Nodes whose pods are others than before."""
    there = {one["metadata"]["name"]: one["metadata"]["uid"] for one in cluster.pods()}
    return {node for node, uid in before.items() if there.get(f"{node}-0", uid) != uid}


def away(cluster: Cluster) -> set[str]:
    """Nodes whose pods are not ready."""
    pods = {one["metadata"]["name"]: one for one in cluster.pods()}
    found = set()
    for node in NODES:
        conditions = pods.get(f"{node}-0", {}).get("status", {}).get("conditions", [])
        if [one["status"] for one in conditions if one["type"] == "Ready"] != ["True"]:
            found.add(node)
    return found


def code(cluster: Cluster, node: str, address: str) -> str:
    """The code of a contract in the node's private state."""
    found: str = cluster.console(node, "eth_getCode", address, "latest")
    return found


def create_privately(cluster: Cluster, *members: str) -> str:
    """Create a private contract through alpha's gateway, signed outside; its address, when all nodes have its block."""
    keys = [privacy_key(cluster, member) for member in members]
    said = json.loads(cluster.python("-m", "tests.support.create_privately", cluster.gateway, *keys))

    def probe() -> None:
        for node in NODES:
            if (head := int(cluster.console(node, "eth_blockNumber"), 16)) < said["block"]:
                raise NotYetError(f"{node} is at block {head}")

    cluster.wait(f"block {said['block']} everywhere", probe)
    address: str = said["contract"]
    return address


def privacy_key(cluster: Cluster, member: str) -> str:
    """The key by which private transactions name a member."""
    status, said = cluster.asked(f"{member}-1-0", f"{member}-privacy-1", "http://127.0.0.1:9101/keys")
    assert status == 200, said
    key: str = json.loads(said)["keys"][0]["key"]
    return key


def kill_each(cluster: Cluster, names: list[str]) -> None:
    """kill -9 of each container of these pods, one of each kind at a time; the pods stay."""
    for group in rounds(names):
        uids = {name: cluster.pod(name)["metadata"]["uid"] for name in group}
        depth = max(len(running(cluster, name)) for name in group)
        for place in range(depth):
            killed = [(name, running(cluster, name)[place]) for name in group if place < len(running(cluster, name))]
            before = {one: cluster.restarts(*one) for one in killed}
            for one in killed:
                cluster.kill_container(*one)
            cluster.wait(f"the restart of {killed}", functools.partial(restarted, cluster, before))
            cluster.wait_ready()
        assert {name: cluster.pod(name)["metadata"]["uid"] for name in group} == uids
