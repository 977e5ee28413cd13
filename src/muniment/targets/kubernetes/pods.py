"""Which workloads make one pod, and what is the same for all pods. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from muniment.spec.model import Consortium
from muniment.targets.containers.ports import USER, kind_of
from muniment.targets.kubernetes.addresses import LOOPBACK, pod_of, service_names
from muniment.targets.kubernetes.labels import labels
from muniment.topology.model import Topology, Workload

COMPONENT = "app.kubernetes.io/component"
MEMBER = "muniment.io/member"
POD = "muniment.io/pod"
VALIDATOR = "muniment.io/validator"

Manifest = dict[str, Any]


class Component(StrEnum):
    """What a pod is."""

    NODE = "node"
    PEER = "peer"
    GATEWAY = "gateway"
    NOTARY = "notary"
    DATABASE = "database"


_COMPONENTS = {
    "node": Component.NODE,
    "privacy": Component.NODE,
    "agent": Component.NODE,
    "kubo": Component.PEER,
    "cluster": Component.PEER,
    "gateway": Component.GATEWAY,
    "notary": Component.NOTARY,
    "database": Component.DATABASE,
}


@dataclass(frozen=True)
class Pod:
    """What is scheduled as one."""

    name: str
    """Of its Service and controller: alpha-1, alpha-peer-1, alpha-gateway."""
    consortium: str
    member: str
    component: Component
    workloads: tuple[Workload, ...]
    validator: bool = False

    @property
    def labels(self) -> dict[str, str]:
        """Labels of everything that belongs to it."""
        validator = {VALIDATOR: "true"} if self.validator else {}
        return {
            "app.kubernetes.io/name": "muniment",
            **labels(self.consortium),
            COMPONENT: self.component.value,
            MEMBER: self.member,
            POD: self.name,
            **validator,
        }

    @property
    def selector(self) -> dict[str, str]:
        """Labels that find it, and never change."""
        return {**labels(self.consortium), POD: self.name}

    def workload(self, kind: str) -> Workload:
        """Its workload of this kind. Raises `KeyError`."""
        for workload in self.workloads:
            if kind_of(workload.name) == kind:
                return workload
        raise KeyError(f"{self.name} has no {kind}")


def pods(topology: Topology, validators: frozenset[str]) -> tuple[Pod, ...]:
    """The pods of a topology, in starting order of their first workload."""
    together: dict[str, list[Workload]] = {}
    for workload in topology.workloads:
        together.setdefault(pod_of(workload.name), []).append(workload)
    return tuple(
        Pod(
            name=name,
            consortium=topology.consortium,
            member=workloads[0].member,
            component=_COMPONENTS[kind_of(workloads[0].name)],
            workloads=tuple(workloads),
            validator=name in validators,
        )
        for name, workloads in together.items()
    )


def metadata(name: str, spec: Consortium, own: Mapping[str, str], **further: Any) -> Manifest:
    """The metadata of an object."""
    return {"name": name, "namespace": spec.kubernetes.namespace, "labels": dict(own), **further}


def security() -> Manifest:
    """A pod's security context: what the profile `restricted` of the Pod Security Standards asks for."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        # A volume of many files is not walked through at every start.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    """A container's security context, by the same profile, and without a file system to write to."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def host_aliases(pod: Pod, spec: Consortium) -> list[Manifest]:
    """Within a pod its Service's names mean the pod itself: what is in one pod does not go through the network."""
    return [{"ip": LOOPBACK, "hostnames": list(service_names(pod.name, spec.kubernetes.namespace)[1:])}]


def spread(pod: Pod) -> Manifest:
    """Where the pod goes: pods of one kind are spread over machines, and over zones where there are any.

    Machines that are lost do not count (nodeTaintsPolicy), so that what they ran can go to others.
    """
    alike = {**labels(pod.consortium), COMPONENT: pod.component.value}
    if pod.component in (Component.GATEWAY, Component.NOTARY):
        alike[MEMBER] = pod.member
    siblings = {**labels(pod.consortium), COMPONENT: pod.component.value, MEMBER: pod.member}
    return {
        "affinity": {
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 100,
                        "podAffinityTerm": {
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": {"matchLabels": siblings},
                        },
                    }
                ]
            }
        },
        "topologySpreadConstraints": [
            _evenly("kubernetes.io/hostname", "DoNotSchedule", alike),
            _evenly("topology.kubernetes.io/zone", "ScheduleAnyway", alike),
        ],
    }


def _evenly(domain: str, otherwise: str, alike: Mapping[str, str]) -> Manifest:
    return {
        "maxSkew": 1,
        "topologyKey": domain,
        "whenUnsatisfiable": otherwise,
        "nodeTaintsPolicy": "Honor",
        "labelSelector": {"matchLabels": dict(alike)},
    }


def own_hosts(workloads: Iterable[Workload], spec: Consortium, but: str) -> list[str]:
    """Names of Services of this namespace that stand in the workloads' files, without the pod `but`."""
    found = re.compile(rf"[a-z0-9-]+\.{re.escape(spec.kubernetes.namespace)}\.svc(?![a-z0-9.-])")
    own = service_names(but, spec.kubernetes.namespace)
    texts = (file.text for workload in workloads for file in workload.files)
    return sorted({name for text in texts for name in found.findall(text) if name not in own})
