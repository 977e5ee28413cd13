"""The lab is a real cluster: what the other tests rely on, proved with three small servers, one on each machine."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lightkube import Client, KubeConfig
from lightkube.resources.core_v1 import Node as NodeResource

from images.build import tag
from muniment.kernel.waiting import NotYetError, wait_blocking
from tests.kubernetes.lab.binaries import KUBERNETES
from tests.kubernetes.lab.lab import Lab
from tests.kubernetes.lab.node import Node
from tests.kubernetes.lab.processes import run
from tests.kubernetes.lab.settings import DOMAIN, STORAGE_CLASS

PLACE = "proof"
SERVERS = ("echo-0", "echo-1", "echo-2")
SECONDS = 120
GET = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=3).read().decode().strip())"


@pytest.fixture(scope="module", autouse=True)
def servers(lab: Lab) -> Iterator[None]:
    """Each says its name, and has a volume of its own."""
    lab.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}}])
    lab.apply([service("echo", clusterIP="None", publishNotReadyAddresses=True), service("door"), stateful_set()])
    lab.kubectl("-n", PLACE, "rollout", "status", "statefulset/echo", f"--timeout={SECONDS}s")
    yield
    used = {server: pod(lab, server)["spec"]["nodeName"] for server in SERVERS}
    volumes = {server: lab.get("-n", PLACE, "pvc", f"data-{server}")["spec"]["volumeName"] for server in SERVERS}
    lab.kubectl("delete", "namespace", PLACE, f"--timeout={SECONDS}s")
    for server, name in volumes.items():
        lab.kubectl("delete", "pv", name)
        lab.make_volume(lab.node(used[server]), name)


def test_every_node_is_ready(lab: Lab) -> None:
    nodes = lab.get("nodes")["items"]
    assert [node["metadata"]["name"] for node in nodes] == [node.name for node in lab.nodes]
    assert {node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes} == {KUBERNETES}
    assert all(ready(lab, node) == "True" for node in lab.nodes)


def test_names_lead_to_pods_on_other_machines(lab: Lab) -> None:
    assert len({machine(lab, server).name for server in SERVERS}) == len(SERVERS)
    for asking in SERVERS:
        for server in SERVERS:
            assert fetch(lab, asking, f"http://{server}.echo.{PLACE}.svc.{DOMAIN}:8080/name") == server
    with pytest.raises(AssertionError, match="Name or service not known"):
        fetch(lab, SERVERS[0], f"http://nobody.{PLACE}.svc.{DOMAIN}:8080/name")


def test_a_service_leads_to_every_machine(lab: Lab) -> None:
    for asking in SERVERS:
        until(f"all servers at the door of {asking}", functools.partial(check_door, lab, asking, set(SERVERS)))
    address = lab.get("-n", PLACE, "service", "door")["spec"]["clusterIP"]
    assert run(*lab.outside("curl", "-sS", "-m", "5", f"http://{address}:8080/name")).strip() in SERVERS


def test_the_api_is_reached_from_the_host(lab: Lab) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Client(config=KubeConfig.from_file(lab.forwarded(port)).get(), trust_env=False) as client:
        found = sorted(str(node.metadata and node.metadata.name) for node in client.list(NodeResource))
    assert found == [node.name for node in lab.nodes]


def test_policies_are_enforced(lab: Lab) -> None:
    until("an open door", lambda: check_reached(lab, "echo-1", True))
    lab.apply([policy()])
    try:
        until("a closed door", lambda: check_reached(lab, "echo-1", False))
        lab.kubectl("-n", PLACE, "label", "pod", "echo-1", "role=client")
        until("a door for clients", lambda: check_reached(lab, "echo-1", True))
        assert not reaches(lab, "echo-2", "echo-0")
    finally:
        lab.kubectl("-n", PLACE, "delete", "networkpolicy", "clients-only")
    until("an open door", lambda: check_reached(lab, "echo-2", True))


def test_a_deleted_pod_keeps_its_volume(lab: Lab) -> None:
    before = pod(lab, "echo-0")["metadata"]["uid"]
    inside(lab, "echo-0", "sh", "-c", "echo treasure >/data/kept")
    lab.kubectl("-n", PLACE, "delete", "pod", "echo-0")
    lab.kubectl("-n", PLACE, "rollout", "status", "statefulset/echo", f"--timeout={SECONDS}s")
    assert pod(lab, "echo-0")["metadata"]["uid"] != before
    assert inside(lab, "echo-0", "cat", "/data/kept").strip() == "treasure"


def test_a_machine_without_power_comes_back_with_its_volumes(lab: Lab) -> None:
    lost = machine(lab, "echo-1")
    inside(lab, "echo-1", "sh", "-c", "echo treasure >/data/kept; sync /data/kept")
    started = container(lab, "echo-1")
    lost.kill()
    with pytest.raises(AssertionError, match="switched off"):
        lost.run("true")
    try:
        until(f"the loss of {lost.name}", lambda: check_node(lab, lost, "Unknown"))
        others = set(SERVERS) - {"echo-1"}
        until("the others at the door", lambda: check_door(lab, "echo-0", others))
    finally:
        lost.start()
    until(f"the return of {lost.name}", lambda: check_node(lab, lost, "True"))
    until("the return of echo-1", lambda: check_restarted(lab, "echo-1", started))
    assert inside(lab, "echo-1", "cat", "/data/kept").strip() == "treasure"


def test_a_machine_off_the_network_lives_on(lab: Lab) -> None:
    away = machine(lab, "echo-2")
    server, lives_since = container(lab, "echo-2"), pod(lab, "echo-2")["metadata"]["uid"]
    away.cut()
    try:
        until(f"the loss of {away.name}", lambda: check_node(lab, away, "Unknown"))
        assert server.removeprefix("containerd://") in away.run("ctr", "-n", "k8s.io", "tasks", "list", "-q")
        with pytest.raises(AssertionError):
            fetch(lab, "echo-0", "http://echo-2.echo:8080/name")
    finally:
        away.heal()
    until(f"the return of {away.name}", lambda: check_node(lab, away, "True"))
    until("the return of echo-2", lambda: check_reached(lab, "echo-0", True, "echo-2"))
    # Unless it was away for so long that it had been given up.
    assert container(lab, "echo-2") == server or pod(lab, "echo-2")["metadata"]["uid"] != lives_since


def test_a_volume_is_made_anew(lab: Lab) -> None:
    node, name = lab.nodes[0], f"{lab.nodes[0].name}-spare"
    lab.make_volume(node, name)
    (node.volume(name) / "old").touch()
    lab.kubectl("delete", "pv", name)
    lab.make_volume(node, name)
    assert list(node.volume(name).iterdir()) == []
    assert lab.get("pv", name)["status"]["phase"] in ("Pending", "Available")
    lab.kubectl("delete", "pv", name)


def service(name: str, **options: object) -> dict[str, Any]:
    spec = {"selector": {"app": "echo"}, "ports": [{"port": 8080}], **options}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": PLACE}, "spec": spec}


def stateful_set() -> dict[str, Any]:
    apart = {"labelSelector": {"matchLabels": {"app": "echo"}}, "topologyKey": "kubernetes.io/hostname"}
    server = {
        "name": "echo",
        "image": tag("muniment"),
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", "hostname >/data/name; exec python -m http.server --directory /data 8080"],
        "readinessProbe": {"httpGet": {"path": "/name", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 5},
        "securityContext": {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": STORAGE_CLASS,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    template = {
        "metadata": {"labels": {"app": "echo"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}},
            "containers": [server],
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "echo", "namespace": PLACE},
        "spec": {
            "serviceName": "echo",
            "replicas": len(SERVERS),
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "echo"}},
            "template": template,
            "volumeClaimTemplates": [claim],
        },
    }


def policy() -> dict[str, Any]:
    """Only clients may ask."""
    clients = {"podSelector": {"matchLabels": {"role": "client"}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "clients-only", "namespace": PLACE},
        "spec": {
            "podSelector": {"matchLabels": {"app": "echo"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [clients], "ports": [{"port": 8080}]}],
        },
    }


def inside(lab: Lab, server: str, *command: str | Path) -> str:
    return lab.kubectl("-n", PLACE, "exec", server, "--", *command)


def fetch(lab: Lab, asking: str, url: str) -> str:
    return inside(lab, asking, "python", "-I", "-S", "-c", GET, url).strip()


def pod(lab: Lab, server: str) -> dict[str, Any]:
    found: dict[str, Any] = lab.get("-n", PLACE, "pod", server)
    return found


def container(lab: Lab, server: str) -> str:
    found: str = pod(lab, server)["status"]["containerStatuses"][0].get("containerID", "")
    return found


def machine(lab: Lab, server: str) -> Node:
    return lab.node(pod(lab, server)["spec"]["nodeName"])


def ready(lab: Lab, node: Node) -> str:
    conditions = lab.get("node", node.name)["status"]["conditions"]
    return next(str(one["status"]) for one in conditions if one["type"] == "Ready")


def check_node(lab: Lab, node: Node, wanted: str) -> None:
    assert ready(lab, node) == wanted


def check_door(lab: Lab, asking: str, wanted: set[str]) -> None:
    """The Service leads to these and to no others."""
    found = {fetch(lab, asking, "http://door:8080/name") for _ in range(12)}
    assert found == wanted


def check_reached(lab: Lab, asking: str, wanted: bool, asked: str = "echo-0") -> None:
    assert reaches(lab, asking, asked) == wanted


def reaches(lab: Lab, asking: str, asked: str) -> bool:
    """Whether a server answers another; packets that are dropped are no answer."""
    try:
        return fetch(lab, asking, f"http://{asked}.echo:8080/name") == asked
    except AssertionError as error:
        if "timed out" not in str(error):
            raise
        return False


def check_restarted(lab: Lab, server: str, before: str) -> None:
    status = pod(lab, server)["status"]["containerStatuses"][0]
    assert status["ready"]
    assert status["containerID"] != before


def until(what: str, check: Callable[[], None]) -> None:
    """Wait until a check passes."""

    def probe() -> None:
        try:
            check()
        except AssertionError as error:
            raise NotYetError(str(error)) from error

    wait_blocking(what, probe, timeout=SECONDS)
