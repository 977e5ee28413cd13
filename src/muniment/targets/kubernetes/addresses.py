"""Addresses on Kubernetes: fixed ports, and the name of the Service in front of each pod. Pure.

A pod runs what belongs together: node, privacy manager and agent; kubo and cluster. Every pod that others must tell
apart has a Service of its own, whose address stays the same for as long as the Service exists, whatever becomes of the
pod. Within a pod the Service's name means the pod itself (`pods.host_aliases`).
"""

from __future__ import annotations

from collections.abc import Sequence

from muniment.identity.model import Endpoint
from muniment.spec.kubernetes import Outside
from muniment.spec.model import Consortium
from muniment.targets.containers.ports import PORTS, ContainerPlaces, kind_of
from muniment.topology.database import on_servers

ANY = "0.0.0.0"  # noqa: S104 - a pod's ports are guarded by network policies
LOOPBACK = "127.0.0.1"
CLUSTER_DOMAIN = "cluster.local"

_NODE_POD = frozenset({"node", "privacy", "agent"})
_PEER_POD = frozenset({"kubo", "cluster"})


def pod_of(workload: str) -> str:
    """The pod, and Service, of a workload: `alpha-1` for `alpha-privacy-1`, `alpha-peer-1` for `alpha-kubo-1`."""
    kind, member, number = kind_of(workload), workload.partition("-")[0], workload.rpartition("-")[2]
    if kind in _NODE_POD:
        return f"{member}-{number}"
    return f"{member}-peer-{number}" if kind in _PEER_POD else workload


class KubernetesAddresses(ContainerPlaces):
    """The `Addresses` of the Kubernetes target: pure, from the specification."""

    def __init__(self, spec: Consortium) -> None:
        self._namespace = spec.kubernetes.namespace
        self._outside = spec.kubernetes.outside or Outside()

    def listen(self, workload: str, port: str) -> Endpoint:
        """Every address of the pod; what only the pod itself may use, on loopback."""
        number = PORTS[kind_of(workload)][port]
        return Endpoint(host=LOOPBACK if port == "q2t" else ANY, port=number)

    def reach(self, workload: str, port: str) -> Endpoint:
        """The pod's Service. The door for other members' managers has one name for all of them, the outside one."""
        host = service_host(pod_of(workload), self._namespace)
        if (kind_of(workload), port) == ("gateway", "privacy"):
            host = self._outside.addresses.get(workload, host)
        return Endpoint(host=host, port=PORTS[kind_of(workload)][port])


class OutsideAddresses:
    """Where other clusters reach this one: what `member export` writes into a public file."""

    def __init__(self, spec: Consortium) -> None:
        self._inside = KubernetesAddresses(spec)
        self._outside = spec.kubernetes.outside or Outside()

    def reach(self, workload: str, port: str) -> Endpoint:
        """The address that the specification gives for the pod, else the one inside."""
        inside = self._inside.reach(workload, port)
        return inside.model_copy(update={"host": self._outside.addresses.get(pod_of(workload), inside.host)})


def service_host(service: str, namespace: str) -> str:
    """DNS name of a Service."""
    return f"{service}.{namespace}.svc"


def service_names(service: str, namespace: str) -> Sequence[str]:
    """All names that pods of the cluster may call a Service by."""
    host = service_host(service, namespace)
    return (service, f"{service}.{namespace}", host, f"{host}.{CLUSTER_DOMAIN}")


def settled(spec: Consortium) -> Consortium:
    """The specification as Kubernetes takes it: a database server for every member, and the Services' names among
    those that nodes answer to and certificates stand for. `IdentityStore.ensure` and `derive` must both get this."""
    spec = on_servers(spec, KubernetesAddresses(spec))
    namespace = spec.kubernetes.namespace
    members = {}
    for name, member in spec.members.items():
        if member.identity is None:
            services = (f"{name}-gateway", *(f"{name}-{number}" for number in range(1, member.nodes + 1)))
            hosts = [host for service in services for host in service_names(service, namespace)]
            outside = spec.kubernetes.outside.addresses if spec.kubernetes.outside else {}
            hosts += [outside[service] for service in services if service in outside]
            update = {"hosts": (*member.hosts, *hosts), "privacy_hosts": (*member.privacy_hosts, *hosts)}
            member = member.model_copy(update=update)
        members[name] = member
    return spec.model_copy(update={"members": members})
