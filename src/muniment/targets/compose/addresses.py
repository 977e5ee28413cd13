"""Addresses with docker compose: every container has a fixed address of the consortium's own network. Pure.

Nodes name their peers by address, so addresses must not change when containers are made anew. Each own member has
256 addresses of the network, in the order of the specification; ports are those of `targets.containers.ports`.

Other operators' projects come in at ports of the host, which are counted as on one machine (`targets.loopback`).
"""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

from muniment.identity.model import Endpoint
from muniment.kernel.errors import InputError
from muniment.spec.model import Consortium
from muniment.targets.containers.ports import PORTS, ContainerPlaces, kind_of
from muniment.targets.loopback import LoopbackAddresses
from muniment.topology.database import on_servers

_ALONE = {"gateway": 2, "agent": 3, "notary": 4, "database": 5}
_COUNTED = {"node": 16, "privacy": 48, "kubo": 80, "cluster": 112}
"""The address of the first one is one more: there are at most sixteen of a kind (spec.model)."""

PER_MEMBER = 256
PUBLISHED = {
    "node": ("p2p", "raft"),
    "kubo": ("swarm",),
    "cluster": ("swarm",),
    "gateway": ("privacy",),
}
"""Ports that other members come in at, by kind of workload."""


class ComposeAddresses(ContainerPlaces):
    """The `Addresses` of the compose target. Raises `InputError` when the network is too small."""

    def __init__(self, spec: Consortium) -> None:
        network = IPv4Network(spec.compose.subnet)
        own = list(spec.own_members)
        if network.num_addresses < PER_MEMBER * (len(own) + 1):
            raise InputError(
                f"compose.subnet {network} is too small for {len(own)} members, which take {PER_MEMBER} addresses each:"
                f" choose one of at most /{32 - (PER_MEMBER * (len(own) + 1) - 1).bit_length()}"
            )
        # The first ones are the network's own and the bridge's.
        self._first = {name: network.network_address + PER_MEMBER * place for place, name in enumerate(own, start=1)}
        self._host = spec.compose.host
        self._outside = LoopbackAddresses(spec, Path("/"))

    def listen(self, workload: str, port: str) -> Endpoint:
        """Every address of the container: only its own network reaches it."""
        return Endpoint(host="0.0.0.0", port=PORTS[kind_of(workload)][port])  # noqa: S104 - in a container

    def reach(self, workload: str, port: str) -> Endpoint:
        """The container's address. The door for other members' managers is the host's, where the host has one."""
        if self._host and (kind_of(workload), port) == ("gateway", "privacy"):
            return self.published(workload, port)
        return Endpoint(host=self.address(workload), port=PORTS[kind_of(workload)][port])

    def address(self, workload: str) -> str:
        """The container's fixed address. Raises `KeyError` for a workload that there is not."""
        kind, member, number = kind_of(workload), workload.partition("-")[0], workload.rpartition("-")[2]
        place = _ALONE[kind] if kind in _ALONE else _COUNTED[kind] + int(number)
        return str(self._first[member] + place)

    def published(self, workload: str, port: str) -> Endpoint:
        """The host's address and port at which other members reach this port, where the host has one."""
        return Endpoint(host=self._host or "127.0.0.1", port=self._outside.listen(workload, port).port)


class OutsideAddresses:
    """Where other members reach what runs here: what `member export` writes into a public file.

    Raises `InputError` when the specification does not say by which address the host is reached.
    """

    def __init__(self, spec: Consortium) -> None:
        if spec.compose.host is None:
            raise InputError("compose.host is missing: give the address by which other members reach this host")
        self._inside = ComposeAddresses(spec)

    def reach(self, workload: str, port: str) -> Endpoint:
        """The host's address and port."""
        return self._inside.published(workload, port)


def settled(spec: Consortium) -> Consortium:
    """The specification as compose takes it: a database server for every own member, and certificates for the addresses
    by which managers are reached. `IdentityStore.ensure` and `derive` must both get this."""
    addresses = ComposeAddresses(spec)
    spec = on_servers(spec, addresses)
    members = {}
    for name, member in spec.members.items():
        if member.identity is None:
            managers = [f"{name}-privacy-{number}" for number in range(1, member.nodes + 1)]
            places = {addresses.address(workload) for workload in (f"{name}-gateway", *managers)}
            hosts = sorted({*places, *([spec.compose.host] if spec.compose.host else [])} - {*member.privacy_hosts})
            member = member.model_copy(update={"privacy_hosts": (*member.privacy_hosts, *hosts)})
        members[name] = member
    return spec.model_copy(update={"members": members})
