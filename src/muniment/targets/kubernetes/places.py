"""The first step of every pod: its files are put in place, with their secrets. Pure.

A ConfigMap holds the files as they were rendered, which name secrets but hold none, and a description of what goes
where. The step joins them with the Secret of the pod, in volumes that live in memory. It refuses

- a pod that is not the one pod of this identity: a second one would be the same node twice,
- a volume that belongs to another pod: two processes on one volume corrupt it,
- a Secret whose content is not that of this identity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from muniment.kernel.encoding import pretty_json
from muniment.kernel.errors import IntegrityError
from muniment.spec.model import Consortium
from muniment.targets.containers import views
from muniment.targets.containers.ports import PLACE, ROOT
from muniment.targets.containers.views import DESCRIPTION
from muniment.targets.kubernetes.addresses import KubernetesAddresses
from muniment.targets.kubernetes.pods import Component, Manifest, Pod, container_security, metadata, own_hosts
from muniment.topology.model import Program

TEMPLATES = "templates"
SECRETS = "secrets"
STEP = "place"
LARGEST_CONFIG_MAP = 1 << 20
"""Bytes that the API takes in one ConfigMap."""

LOOKED_UP_ONCE = frozenset({Program.GETH, Program.HAPROXY})
"""Programs that look names up at their start only: the step waits until the names are known."""

SINGLE = frozenset({Component.NODE, Component.PEER, Component.DATABASE})
"""Pods of which there is one for each identity."""

Digest = Callable[[str], str]

_CERTIFICATES = "/tls/"
"""In the place of a secret that is renewed from time to time."""

_PASSWORDS = "/database/"
"""In the place of a secret that people may have chosen: its digest would help to guess it."""


@dataclass(frozen=True)
class Placing:
    """What the first step of one pod needs."""

    pod: Pod
    spec: Consortium
    config_map: str
    data: dict[str, str]
    """Of the ConfigMap."""
    secrets: tuple[str, ...]
    """Places in the identity store of what the pod's Secret must hold."""
    digest: str
    """Changes when anything changes that the pod was started with."""

    @property
    def secret(self) -> str | None:
        """Name of the pod's Secret; None when its files name no secret."""
        return f"{self.pod.name}-identity" if self.secrets else None

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
            "command": ["python", "-I", "-S", str(PLACE), str(ROOT / TEMPLATES / DESCRIPTION)],
            "volumeMounts": [
                {"name": TEMPLATES, "mountPath": str(ROOT / TEMPLATES), "readOnly": True},
                *secrets,
                *({"name": name, "mountPath": str(ROOT / name)} for name in ("config", "data", "run")),
            ],
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
            "securityContext": container_security(),
        }


def placing(pod: Pod, spec: Consortium, digest: Digest | None = None) -> Placing:
    """The first step of this pod. `digest` gives the SHA-256 of a secret by its place in the identity store: with it a
    pod that got another secret refuses to start, and a renewed secret restarts it.

    Raises `IntegrityError` when two files would have one name, or are too large together.
    """
    addresses = KubernetesAddresses(spec)
    plain = views.view(pod.workloads, addresses, _place(pod, spec, {}))
    random = [path for path in plain.secrets if _PASSWORDS not in path]
    digests = {path: digest(path) for path in random} if digest else {}
    lasting = {path: found for path, found in digests.items() if _CERTIFICATES not in path}
    view = views.view(pod.workloads, addresses, _place(pod, spec, lasting))
    data = {**view.templates, DESCRIPTION: pretty_json(view.description)}
    _check(pod, data)
    return Placing(
        pod=pod,
        spec=spec,
        config_map=f"{pod.name}-config",
        data=data,
        secrets=view.secrets,
        digest=hashlib.sha256(pretty_json({"data": data, "secrets": digests}).encode()).hexdigest()[:16],
    )


def renewable(path: str) -> bool:
    """Whether the secret at this place may change while its owner stays the same."""
    return _CERTIFICATES in path or _PASSWORDS in path


def _place(pod: Pod, spec: Consortium, fingerprints: dict[str, str]) -> views.Place:
    single = pod.component in SINGLE
    asking = [workload for workload in pod.workloads if workload.program in LOOKED_UP_ONCE]
    return views.Place(
        templates=ROOT / TEMPLATES,
        secrets=ROOT / SECRETS,
        sole=f"{pod.name}-0" if single else None,
        owners={} if pod.component is Component.GATEWAY else {ROOT / "data": pod.name},
        fingerprints=fingerprints,
        hosts=tuple(own_hosts(asking, spec, pod.name)),
    )


def _check(pod: Pod, data: dict[str, str]) -> None:
    files = sum(len(workload.files) for workload in pod.workloads)
    if len(data) != files + 1:
        raise IntegrityError(f"two files of pod {pod.name} would have one name in its ConfigMap: rename one")
    if sum(len(name) + len(text.encode()) for name, text in data.items()) > LARGEST_CONFIG_MAP:
        raise IntegrityError(
            f"the files of pod {pod.name} are larger than a ConfigMap may be (1 MiB): split the consortium's members"
        )
