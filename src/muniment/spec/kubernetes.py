"""The part of the specification that is about Kubernetes. Pure.

Names, quantities and policies follow Kubernetes' own: https://kubernetes.io/docs/reference/kubernetes-api/.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from muniment.spec.base import Host, Strict

LABEL_PATTERN = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
SIZE_PATTERN = "^[1-9][0-9]*(Mi|Gi|Ti)$"
CPU_PATTERN = "^([1-9][0-9]*m?|0\\.[0-9]*[1-9])$"
OBJECT_PATTERN = "^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"

Label = Annotated[str, StringConstraints(pattern=LABEL_PATTERN)]
Size = Annotated[str, StringConstraints(pattern=SIZE_PATTERN)]
Cpu = Annotated[str, StringConstraints(pattern=CPU_PATTERN)]
ObjectName = Annotated[str, StringConstraints(pattern=OBJECT_PATTERN)]


class PullPolicy(StrEnum):
    """When the kubelet fetches an image."""

    IF_NOT_PRESENT = "IfNotPresent"
    ALWAYS = "Always"
    NEVER = "Never"


class ServiceType(StrEnum):
    """How far a Service is seen."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class OutsideType(StrEnum):
    """How what is for other clusters is offered. Not by node ports: those are other ports than the public files say."""

    LOAD_BALANCER = "LoadBalancer"
    CLUSTER_IP = "ClusterIP"


class Volume(Strict):
    """One kind of volume."""

    size: Size
    """Size to ask for: a whole number and Mi, Gi or Ti."""

    storage_class: ObjectName | None = None
    """Storage class; the cluster's default when it is not given."""


class NodeVolume(Volume):
    """The volume of a node."""

    size: Size = "50Gi"
    """Size to ask for: a whole number and Mi, Gi or Ti."""


class PeerVolume(Volume):
    """The volume of a peer."""

    size: Size = "120Gi"
    """Size to ask for; at least ipfs.storage_max and a tenth more."""


class SmallVolume(Volume):
    """The volume of a service."""

    size: Size = "10Gi"
    """Size to ask for: a whole number and Mi, Gi or Ti."""


class AccessMode(StrEnum):
    """Who may mount a volume for writing."""

    ONE_MACHINE = "ReadWriteOnce"
    ONE_POD = "ReadWriteOncePod"


class Storage(Strict):
    """Volumes. Every node and every peer has one of its own, written by one pod only."""

    access_mode: AccessMode = AccessMode.ONE_MACHINE
    """ReadWriteOnce, or ReadWriteOncePod where the storage's driver (CSI) knows it: then the cluster itself keeps a
    second pod off a volume."""

    node: NodeVolume = NodeVolume()
    """Of a node: chain and state."""

    peer: PeerVolume = PeerVolume()
    """Of a peer: content and pins."""

    notary: SmallVolume = SmallVolume()
    """Of a notary: files that are not stored yet."""

    database: SmallVolume = SmallVolume()
    """Of the MariaDB that a member without a database of its own gets."""


class Resources(Strict):
    """What a container asks for, and what it may take. There is no limit of the processor: a validator that is slowed
    down misses its turn."""

    cpu: Cpu
    """Processor to reserve, for example 500m or 2."""

    memory: Size
    """Memory to reserve."""

    memory_limit: Size
    """Most memory: beyond it the container is ended and started again."""


def _resources(cpu: str, memory: str, limit: str) -> Resources:
    return Resources(cpu=cpu, memory=memory, memory_limit=limit)


class ContainerResources(Strict):
    """What containers ask for, by their part."""

    node: Resources = _resources("250m", "512Mi", "4Gi")
    """GoQuorum."""

    privacy: Resources = _resources("50m", "160Mi", "1Gi")
    """A privacy manager."""

    agent: Resources = _resources("20m", "96Mi", "256Mi")
    """The agent beside a node."""

    kubo: Resources = _resources("100m", "256Mi", "2Gi")
    """The kubo of a peer."""

    cluster: Resources = _resources("50m", "128Mi", "1Gi")
    """The cluster service of a peer."""

    gateway: Resources = _resources("50m", "64Mi", "512Mi")
    """A gateway (haproxy)."""

    notary: Resources = _resources("100m", "256Mi", "2Gi")
    """A notary."""

    database: Resources = _resources("100m", "256Mi", "1Gi")
    """MariaDB."""


class GatewayService(Strict):
    """The Service of the members' gateways, which clients use."""

    type: ServiceType = ServiceType.CLUSTER_IP
    """ClusterIP, NodePort or LoadBalancer."""

    annotations: dict[str, str] = Field(default={}, max_length=32)
    """Annotations, as a provider's load balancer asks for them."""


class Outside(Strict):
    """How other clusters reach what runs in this one: one further Service for each node, peer and gateway."""

    type: OutsideType = OutsideType.LOAD_BALANCER
    """LoadBalancer, or ClusterIP where something of yours leads to these Services, by the same ports."""

    annotations: dict[str, str] = Field(default={}, max_length=32)
    """Annotations of these Services."""

    addresses: dict[Label, Host] = Field(default={}, max_length=1024)
    """Host name or address by which other clusters reach a Service: alpha-1, alpha-peer-1, alpha-gateway. They stand in
    the public files that members exchange."""

    from_networks: tuple[Annotated[str, StringConstraints(pattern="^[0-9a-f.:]+/[0-9]{1,3}$")], ...] = Field(
        default=("0.0.0.0/0",), max_length=64
    )
    """Networks (CIDR) that the other members' nodes, peers and managers come from."""


class Kubernetes(Strict):
    """Settings of the Kubernetes target."""

    namespace: Label = "muniment"
    """Namespace that everything is put into."""

    image_pull_policy: PullPolicy = PullPolicy.IF_NOT_PRESENT
    """When images are fetched: IfNotPresent, Always or Never."""

    image_pull_secrets: tuple[ObjectName, ...] = Field(default=(), max_length=16)
    """Secrets with credentials of image registries."""

    storage: Storage = Storage()
    """Volumes."""

    resources: ContainerResources = ContainerResources()
    """What containers ask for."""

    gateway: GatewayService = GatewayService()
    """The Service that clients use."""

    outside: Outside | None = None
    """How other clusters reach this one; not given: everything is in this cluster."""

    monitoring: bool = False
    """Whether to write ServiceMonitors; the cluster must know them (Prometheus operator)."""

    network_policies: bool = True
    """Whether everything is closed but the ports that each part needs."""
