"""A workload as a container: command, mounts, probes, resources. Pure.

- **Ready** is what the agent says of a node, and what every other part says of itself.
- **Live** is dull: a process that still takes connections is left alone. A node has no such probe at all: it ends by
  itself when it cannot go on, and a chain that stands still is no reason to restart whoever waits for it.
- **A restart keeps everything**: what the container needs is in volumes of the pod.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from muniment.spec.kubernetes import Resources
from muniment.spec.model import Consortium
from muniment.targets.containers.ports import ROOT, kind_of
from muniment.targets.kubernetes.pods import Manifest, Pod, container_security
from muniment.targets.kubernetes.services import port_name
from muniment.topology.model import Program, Role, Workload

DATA = "data"
CONFIG = "config"
RUN = "run"
SCRATCH = "scratch"

DRAIN_SECONDS = 5
"""A gateway or notary that shall end goes on for so long: until nobody is sent to it any more."""

START_SECONDS = 600
"""A manager may take so long for its start: its database must be there."""

_OWN_READINESS = {Role.KUBO: ("api", "/version"), Role.CLUSTER: ("api", "/health")}
"""Of peers: they answer. The kubelet cannot ask their agent, it does not know names of Services."""

_GO = frozenset({Program.GETH, Program.IPFS, Program.CLUSTER_SERVICE})
"""Written in Go, which collects its memory in time when it knows how much there is (package runtime, GOMEMLIMIT)."""

_MEBIBYTES = {"Mi": 1, "Gi": 1 << 10, "Ti": 1 << 20}

_DRAINED = frozenset({Role.GATEWAY, Role.NOTARY})


def container(workload: Workload, pod: Pod, spec: Consortium, image: str) -> Manifest:
    """The container of a workload; it has the workload's name."""
    program = workload.program.value
    probes = {"readinessProbe": _readiness(workload)}
    if live := _liveness(workload):
        probes["livenessProbe"] = live
    if workload.role in _DRAINED:
        probes["lifecycle"] = {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}}
    return {
        "name": workload.name,
        "image": image,
        "imagePullPolicy": spec.kubernetes.image_pull_policy.value,
        "command": [program, *workload.arguments],
        "workingDir": str(ROOT / "data" / workload.name),
        "env": environment(workload, spec),
        "ports": _ports(workload),
        "volumeMounts": mounts(workload),
        "resources": resources(resources_of(workload, spec)),
        "securityContext": container_security(),
        **probes,
    }


def sidecar(workload: Workload, pod: Pod, spec: Consortium, image: str) -> Manifest:
    """A workload that runs before and beside the others of its pod: they start when it is ready, it ends after them."""
    made = container(workload, pod, spec, image)
    started = {**_http(workload.ready.url), "periodSeconds": 1, "failureThreshold": START_SECONDS, "timeoutSeconds": 3}
    return {**made, "restartPolicy": "Always", "startupProbe": started}


def preparation(workload: Workload, spec: Consortium, image: str) -> Manifest:
    """The step that prepares a node's volume with its engine; it changes nothing when that was done before."""
    prepare = workload.prepare
    if prepare is None:
        raise ValueError(f"{workload.name} needs no preparation")
    return {
        "name": f"prepare-{workload.name}",
        "image": image,
        "imagePullPolicy": spec.kubernetes.image_pull_policy.value,
        "command": [prepare.program or workload.program.value, *prepare.arguments],
        "workingDir": str(ROOT / "data" / workload.name),
        "env": environment(workload, spec),
        "volumeMounts": mounts(workload),
        "resources": resources(resources_of(workload, spec)),
        "securityContext": container_security(),
    }


def environment(workload: Workload, spec: Consortium) -> list[Manifest]:
    """Variables of a container; no secret is among them."""
    values = {"HOME": str(ROOT / "data" / workload.name), "LANG": "C.UTF-8", **dict(workload.environment)}
    if workload.program in _GO:
        values["GOMEMLIMIT"] = _most_of(resources_of(workload, spec).memory_limit)
    return [{"name": name, "value": value} for name, value in values.items()]


def mounts(workload: Workload) -> list[Manifest]:
    """Of the pod's volumes a workload sees what is its own, its configuration for reading only."""
    name = workload.name
    return [
        {"name": CONFIG, "mountPath": str(ROOT / "config" / name), "subPath": name, "readOnly": True},
        {"name": DATA, "mountPath": str(ROOT / "data" / name), "subPath": name},
        {"name": RUN, "mountPath": str(ROOT / "run")},
        {"name": SCRATCH, "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod
    ]


def resources_of(workload: Workload, spec: Consortium) -> Resources:
    """What the specification gives to this kind of workload."""
    found: Resources = getattr(spec.kubernetes.resources, kind_of(workload.name))
    return found


def resources(wanted: Resources) -> Manifest:
    """Requests, and a limit of the memory."""
    return {"requests": {"cpu": wanted.cpu, "memory": wanted.memory}, "limits": {"memory": wanted.memory_limit}}


def stop_seconds(pod: Pod) -> int:
    """How long the pod may take to end: what runs beside others ends after them."""
    first = [workload.stop_seconds for workload in pod.workloads if workload.role is not Role.PRIVACY]
    then = [workload.stop_seconds for workload in pod.workloads if workload.role is Role.PRIVACY]
    drain = DRAIN_SECONDS if any(workload.role in _DRAINED for workload in pod.workloads) else 0
    return max(first, default=0) + max(then, default=0) + drain + 5


def _most_of(size: str) -> str:
    return f"{int(size[:-2]) * _MEBIBYTES[size[-2:]] * 4 // 5}MiB"


def _ports(workload: Workload) -> list[Manifest]:
    first = {port.listen.port: port for port in reversed(workload.ports)}
    return [
        {"name": port_name(workload, port), "containerPort": port.listen.port, "protocol": "TCP"}
        for port in workload.ports
        if first[port.listen.port] is port
    ]


def _readiness(workload: Workload) -> Manifest:
    asked: Manifest
    if workload.role in _OWN_READINESS:
        name, path = _OWN_READINESS[workload.role]
        asked = {"httpGet": {"path": path, "port": workload.port(name).listen.port}}
    elif workload.role is Role.DATABASE:
        asked = {"tcpSocket": {"port": workload.ports[0].listen.port}}
    else:
        asked = _http(workload.ready.url)
    return {**asked, "periodSeconds": 2, "timeoutSeconds": 3, "failureThreshold": 3}


def _http(url: str) -> Manifest:
    # Asked at the pod's own address: what a workload's readiness names is in the same pod.
    parts = urlsplit(url)
    return {"httpGet": {"path": parts.path, "port": parts.port}}


def _liveness(workload: Workload) -> Manifest:
    if workload.program is Program.GETH:
        return {}
    # The last port with plain TCP that all its traffic does not pass: metrics and status, where there is one.
    port: Any = next((one for one in workload.ports if one.name in ("status", "metrics")), workload.ports[0])
    if workload.role in _OWN_READINESS:
        port = workload.port("api")
    return {
        "tcpSocket": {"port": port.listen.port},
        "initialDelaySeconds": 10,
        "periodSeconds": 20,
        "timeoutSeconds": 5,
        "failureThreshold": 6,
    }
