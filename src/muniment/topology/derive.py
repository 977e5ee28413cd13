"""From a specification and identities to all workloads. Pure: the same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from muniment.identity.model import Identities
from muniment.kernel.errors import IntegrityError
from muniment.spec.model import Consortium
from muniment.topology import chain, database, edge, ipfs, privacy, services
from muniment.topology.layout import Layout
from muniment.topology.model import Addresses, Topology, Workload


def derive(
    spec: Consortium, identities: Identities, addresses: Addresses, genesis: str, layout: Layout = Layout.MEMBER
) -> Topology:
    """Every workload of this operator's own members, in starting order.

    Raises `InputError` when what other operators gave is not enough, `IntegrityError` when two workloads would share a
    name, a port or a data directory.
    """
    own = tuple(member for member in spec.members if member in identities.own)
    workloads = (
        *database.servers(spec, addresses),
        *privacy.managers(spec, identities, addresses),
        *chain.nodes(spec, identities, addresses, genesis, layout),
        *ipfs.peers(spec, identities, addresses, layout),
        *(edge.gateway(spec, member, identities, addresses, layout) for member in own),
        *(agent for member in own for agent in edge.agents(spec, member, identities, addresses, layout)),
        *(
            services.notary(spec, member, identities, addresses, layout)
            for member in own
            if spec.members[member].notary
        ),
    )
    check_distinct(workloads, addresses)
    return Topology(consortium=spec.name, workloads=workloads, genesis=genesis, members=own)


def check_distinct(workloads: Iterable[Workload], addresses: Addresses) -> None:
    """Raises `IntegrityError` naming both places when two workloads share a name or a port, or when their data
    directories are one or lie within one another."""
    names: dict[str, Workload] = {}
    ports: dict[tuple[str, str, int], str] = {}
    volumes: dict[PurePosixPath, str] = {}
    for workload in workloads:
        first = names.setdefault(workload.name, workload)
        if first is not workload:
            raise IntegrityError(
                f"two workloads are named {workload.name}: the {first.role} of {first.member} and the"
                f" {workload.role} of {workload.member}"
            )
        _check_ports(workload, ports)
        _check_volume(workload.name, addresses.data(workload.name), volumes)


def _check_ports(workload: Workload, taken: dict[tuple[str, str, int], str]) -> None:
    for listen, port in {port.listen: port for port in workload.ports}.items():
        place = f"{workload.name} ({port.name})"
        # Who is reached at different addresses may listen on the same port, each in its own network.
        other = taken.setdefault((port.reach.host, listen.host, listen.port), place)
        if other != place:
            raise IntegrityError(f"{other} and {place} would both listen on port {listen.port} of {listen.host}")


def _check_volume(name: str, data: PurePosixPath, taken: dict[PurePosixPath, str]) -> None:
    for other, owner in taken.items():
        if data == other or other in data.parents or data in other.parents:
            raise IntegrityError(
                f"{owner} and {name} would share a data directory ({other} and {data}): every workload needs its own"
            )
    taken[data] = name
