"""Pods and what keeps them running: StatefulSets with volumes, Deployments without. Pure.

Nodes and peers are StatefulSets of exactly one pod, each with an identity and a volume of its own. Notaries keep files
that are not stored yet, so each of the two has a volume too; gateways keep nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from muniment.spec.kubernetes import Volume
from muniment.spec.model import Consortium
from muniment.targets.kubernetes import containers
from muniment.targets.kubernetes.containers import CONFIG, DATA, RUN, SCRATCH
from muniment.targets.kubernetes.places import TEMPLATES, Placing
from muniment.targets.kubernetes.pods import (
    Component,
    Manifest,
    Pod,
    host_aliases,
    metadata,
    security,
    spread,
)
from muniment.topology.layout import Layout
from muniment.topology.model import Program, Role

CONFIG_DIGEST = "muniment.io/configuration"
"""Annotation of a pod: changes when a file changes that it was started with, and so restarts it."""

REPLICAS = {Component.GATEWAY: 2, Component.NOTARY: Layout.PODS.notaries}


class Update(StrEnum):
    """When pods of nodes, peers and notaries are replaced by changed ones."""

    ON_DELETE = "OnDelete"
    """When somebody deletes them: for manifests that are applied all at once, which must not restart all nodes."""
    AT_ONCE = "RollingUpdate"
    """When the StatefulSet is changed: for those who change one after the other."""


@dataclass(frozen=True)
class Rendering:
    """What is needed beside the topology."""

    spec: Consortium
    images: Mapping[Program, str]
    update: Update = Update.ON_DELETE


def controller(pod: Pod, placing: Placing, rendering: Rendering) -> Manifest:
    """The StatefulSet or Deployment of a pod."""
    if pod.component is Component.GATEWAY:
        return _deployment(pod, placing, rendering)
    return _stateful_set(pod, placing, rendering)


def claim(spec: Consortium, volume: Volume) -> list[Manifest]:
    """Template of the one volume that a pod of a StatefulSet has. It outlives pod and StatefulSet."""
    named = {"storageClassName": volume.storage_class} if volume.storage_class else {}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": DATA},
            "spec": {
                "accessModes": [spec.kubernetes.storage.access_mode.value],
                "resources": {"requests": {"storage": volume.size}},
                **named,
            },
        }
    ]


def digest(parts: Iterable[str]) -> str:
    """Of texts, in their order."""
    made = hashlib.sha256()
    for part in parts:
        made.update(part.encode() + b"\0")
    return made.hexdigest()[:16]


def _stateful_set(pod: Pod, placing: Placing, rendering: Rendering) -> Manifest:
    spec = rendering.spec
    volume: Volume = getattr(spec.kubernetes.storage, pod.component.value)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(pod.name, spec, pod.labels),
        "spec": {
            "replicas": REPLICAS.get(pod.component, 1),
            "serviceName": pod.name,
            "selector": {"matchLabels": pod.selector},
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": rendering.update.value},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "template": _template(pod, placing, rendering, []),
            "volumeClaimTemplates": claim(spec, volume),
        },
    }


def _deployment(pod: Pod, placing: Placing, rendering: Rendering) -> Manifest:
    spec = rendering.spec
    data: list[Manifest] = [{"name": DATA, "emptyDir": {"sizeLimit": "64Mi"}}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(pod.name, spec, pod.labels),
        "spec": {
            "replicas": REPLICAS[pod.component],
            "selector": {"matchLabels": pod.selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": _template(pod, placing, rendering, data),
        },
    }


def _template(pod: Pod, placing: Placing, rendering: Rendering, volumes: list[Manifest]) -> Manifest:
    spec = rendering.spec
    first, beside = _containers(pod, rendering)
    return {
        "metadata": {
            "labels": pod.labels,
            "annotations": {CONFIG_DIGEST: placing.digest},
        },
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "hostAliases": host_aliases(pod, spec),
            "securityContext": security(),
            "terminationGracePeriodSeconds": containers.stop_seconds(pod),
            **spread(pod),
            **pull_secrets(spec),
            "initContainers": [placing.container(rendering.images[Program.MUNIMENT]), *first],
            "containers": beside,
            "volumes": [
                {"name": TEMPLATES, "configMap": {"name": placing.config_map}},
                # In memory: what is placed there holds secrets.
                {"name": CONFIG, "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
                {"name": RUN, "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
                {"name": SCRATCH, "emptyDir": {}},
                *placing.secret_volumes(),
                *volumes,
            ],
        },
    }


def pull_secrets(spec: Consortium) -> Manifest:
    """`imagePullSecrets`, when the specification names any."""
    names = spec.kubernetes.image_pull_secrets
    return {"imagePullSecrets": [{"name": name} for name in names]} if names else {}


def _containers(pod: Pod, rendering: Rendering) -> tuple[list[Manifest], list[Manifest]]:
    """What runs before, and what runs in the end. A node's manager comes first and stays beside it: the engine ends
    when its manager is not ready at its start."""
    spec, images = rendering.spec, rendering.images
    first = [
        containers.preparation(workload, spec, images[workload.program])
        for workload in pod.workloads
        if workload.prepare
    ]
    beside: list[Manifest] = []
    for workload in pod.workloads:
        image = images[workload.program]
        if workload.role is Role.PRIVACY:
            first.append(containers.sidecar(workload, pod, spec, image))
        else:
            beside.append(containers.container(workload, pod, spec, image))
    return first, beside
