"""The first step of every pod: its files are put in place, with their secrets. Pure.

A ConfigMap holds the files as they were rendered, which name secrets but hold none, and a description of what goes
where. The step joins them with the Secret of the pod, in volumes that live in memory. It refuses

- a pod that is not the one pod of this identity: a second one would be the same node twice,
- a volume that belongs to another pod: two processes on one volume corrupt it,
- a Secret whose content is not that of this identity.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from muniment.kernel.encoding import pretty_json
from muniment.kernel.errors import IntegrityError
from muniment.kernel.files import PUBLIC_MODE, SECRET_MODE
from muniment.spec.model import Consortium
from muniment.targets.kubernetes import secret_keys
from muniment.targets.kubernetes.addresses import ROOT
from muniment.targets.kubernetes.pods import Component, Manifest, Pod, container_security, metadata, own_hosts
from muniment.topology.model import File, Program, Workload

TEMPLATES = "templates"
SECRETS = "secrets"
DESCRIPTION = "place.json"
STEP = "place"
PLACE = "/muniment/place.py"

LOOKED_UP_ONCE = frozenset({Program.GETH, Program.HAPROXY})
"""Programs that look names up at their start only: the step waits until the names are known."""

SINGLE = frozenset({Component.NODE, Component.PEER, Component.DATABASE})
"""Pods of which there is one for each identity."""

Digest = Callable[[str], str]
_MARKER = re.compile(r"@secret:([^@\n]+)@")


@dataclass(frozen=True)
class Placing:
    """What the first step of one pod needs."""

    pod: Pod
    spec: Consortium
    config_map: str
    data: dict[str, str]
    """Of the ConfigMap."""
    secret: str | None
    """Name of the pod's Secret; None when its files name no secret."""
    digest: str
    """Changes when anything changes that the pod was started with."""

    def manifest(self) -> Manifest:
        """The ConfigMap."""
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(self.config_map, self.spec, self.pod.labels),
            "data": self.data,
        }

    def secret_volumes(self) -> list[Manifest]:
        """The volume of the pod's Secret. It is not optional: without it the pod waits."""
        return [{"name": SECRETS, "secret": {"secretName": self.secret, "defaultMode": 0o440}}] if self.secret else []

    def container(self, image: str) -> Manifest:
        """The init container."""
        secrets = [{"name": SECRETS, "mountPath": str(ROOT / SECRETS), "readOnly": True}] if self.secret else []
        return {
            "name": STEP,
            "image": image,
            "imagePullPolicy": self.spec.kubernetes.image_pull_policy.value,
            "command": ["python", "-I", "-S", PLACE, str(ROOT / TEMPLATES / DESCRIPTION)],
            "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "volumeMounts": [
                {"name": TEMPLATES, "mountPath": str(ROOT / TEMPLATES), "readOnly": True},
                *secrets,
                *({"name": name, "mountPath": str(ROOT / name)} for name in ("config", "data", "run")),
            ],
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
            "securityContext": container_security(),
        }


def placing(pod: Pod, spec: Consortium, digest: Digest | None = None) -> Placing:
    """The first step of this pod. `digest` gives the digest of a secret's content by its place in the identity store:
    with it a pod that got another secret refuses to start.

    Raises `IntegrityError` when two files would have one name.
    """
    data: dict[str, str] = {}
    placed = []
    for workload in pod.workloads:
        for file in workload.files:
            name = flat_name(workload, file)
            if name in data:
                raise IntegrityError(f"two files of pod {pod.name} would be kept as {name}: rename one")
            data[name] = file.text
            placed.append(_placed(workload, file, name))
    paths = sorted({path for workload in pod.workloads for path in secret_keys.named_secrets(workload)})
    description = _description(pod, spec, placed, {path: digest(path) if digest else None for path in paths})
    data[DESCRIPTION] = pretty_json(description)
    return Placing(
        pod=pod,
        spec=spec,
        config_map=f"{pod.name}-config",
        data=data,
        secret=f"{pod.name}-identity" if paths else None,
        digest=hashlib.sha256(pretty_json(data).encode()).hexdigest()[:16],
    )


def flat_name(workload: Workload, file: File) -> str:
    """Key of a file in the ConfigMap: keys have no slash."""
    return ".".join((workload.name, "data" if file.in_data else "config", *file.path.parts))


def _placed(workload: Workload, file: File, name: str) -> dict[str, Any]:
    base = ROOT / ("data" if file.in_data else "config") / workload.name
    return {
        "template": str(ROOT / TEMPLATES / name),
        "target": str(base / file.path),
        "mode": SECRET_MODE if _MARKER.search(file.text) else PUBLIC_MODE,
    }


def _description(
    pod: Pod, spec: Consortium, placed: list[dict[str, Any]], secrets: dict[str, str | None]
) -> dict[str, Any]:
    single = pod.component in SINGLE
    asking = [workload for workload in pod.workloads if workload.program in LOOKED_UP_ONCE]
    return {
        "owner": pod.name if single else None,
        "pod": f"{pod.name}-0" if single else None,
        "volume": str(ROOT / "data"),
        "directories": [str(path) for path in _directories(pod.workloads)],
        "files": placed,
        "secrets": [
            {"path": path, "file": str(ROOT / SECRETS / secret_keys.key_of(path)), "digest": digest}
            for path, digest in secrets.items()
        ],
        "hosts": own_hosts(asking, spec, pod.name),
    }


def _directories(workloads: Iterable[Workload]) -> list[Any]:
    return [ROOT / kind / workload.name for workload in workloads for kind in ("config", "data", "run")]
