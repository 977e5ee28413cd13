"""The IPFS peers of the consortium: for each own peer the pair of kubo and cluster service. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from muniment.identity.model import Endpoint, Identities, MemberIdentity, PeerIdentity
from muniment.kernel.errors import InputError
from muniment.spec.model import Consortium
from muniment.topology import cluster as cluster_files
from muniment.topology import kubo as kubo_files
from muniment.topology.layout import Layout
from muniment.topology.model import Addresses, Port, Probe, Program, Role, Workload

CLUSTER_STOP_SECONDS = 30


def peers(
    spec: Consortium, identities: Identities, addresses: Addresses, layout: Layout = Layout.MEMBER
) -> tuple[Workload, ...]:
    """Two workloads per peer of every own member: `alpha-kubo-1` and `alpha-cluster-1`, and so on.

    Every peer of the consortium, whoever runs it, is known to and trusted by every other. Raises `InputError` when
    another operator's public file lacks the addresses of its peers.
    """
    return tuple(
        workload
        for member in identities.members
        if member.member in identities.own
        for peer in member.peers
        for workload in (
            _kubo(spec, member, peer, identities, addresses, layout.of_peer(member, peer.index)),
            _cluster(spec, member, peer, identities, addresses, layout.of_peer(member, peer.index)),
        )
    )


def kubo_name(member: str, peer: PeerIdentity) -> str:
    """Name of the kubo workload of a peer."""
    return f"{member}-kubo-{peer.index}"


def cluster_name(member: str, peer: PeerIdentity) -> str:
    """Name of the cluster workload of a peer."""
    return f"{member}-cluster-{peer.index}"


def _kubo(
    spec: Consortium,
    member: MemberIdentity,
    peer: PeerIdentity,
    identities: Identities,
    addresses: Addresses,
    agent: str,
) -> Workload:
    name = kubo_name(member.member, peer)
    swarm, api = _port(addresses, name, "swarm", "tcp"), _port(addresses, name, "api")
    files = kubo_files.repository(
        kubo_files.Kubo(
            workload=name,
            member=member.member,
            peer_id=peer.kubo_id,
            storage_max=spec.ipfs.storage_max,
            swarm_listen=swarm.listen,
            swarm_reach=swarm.reach,
            api_listen=api.listen,
            others={
                other.kubo_id: kubo_swarm(owner, other, identities, addresses)
                for owner, other in _everyone(identities)
                if other.kubo_id != peer.kubo_id
            },
        )
    )
    return Workload(
        name=name,
        member=member.member,
        role=Role.KUBO,
        program=Program.IPFS,
        arguments=("daemon", "--migrate=false", "--enable-gc=false"),
        ready=_ready(agent, name, addresses),
        ports=(swarm, api),
        files=files,
        environment=(
            ("IPFS_PATH", str(addresses.data(name))),
            ("IPFS_TELEMETRY", "off"),
            # Without swarm.key kubo then refuses to start instead of joining the public network.
            ("LIBP2P_FORCE_PNET", "1"),
        ),
        stop_seconds=kubo_files.SHUTDOWN_TIMEOUT_SECONDS + 5,
    )


def _cluster(
    spec: Consortium,
    member: MemberIdentity,
    peer: PeerIdentity,
    identities: Identities,
    addresses: Addresses,
    agent: str,
) -> Workload:
    name = cluster_name(member.member, peer)
    swarm, api = _port(addresses, name, "swarm", "tcp"), _port(addresses, name, "api")
    metrics = _port(addresses, name, "metrics", path="/metrics")
    everyone = {
        other.cluster_id: _cluster_swarm(owner, other, identities, addresses) for owner, other in _everyone(identities)
    }
    data = addresses.data(name)
    files = cluster_files.folder(
        cluster_files.Cluster(
            workload=name,
            member=member.member,
            consortium=spec.name,
            peer_id=peer.cluster_id,
            kubo_api=addresses.reach(kubo_name(member.member, peer), "api"),
            swarm_listen=swarm.listen,
            swarm_reach=swarm.reach,
            api_listen=api.listen,
            metrics_listen=metrics.listen,
            everyone=everyone,
            replicas=cluster_files.Replicas(len(everyone), spec.ipfs.replication.min, spec.ipfs.replication.max),
            config=addresses.config(name),
            data=data,
        )
    )
    return Workload(
        name=name,
        member=member.member,
        role=Role.CLUSTER,
        program=Program.CLUSTER_SERVICE,
        arguments=("--config", str(data), "daemon"),
        ready=_ready(agent, name, addresses),
        ports=(swarm, api, metrics),
        files=files,
        stop_seconds=CLUSTER_STOP_SECONDS,
    )


def _everyone(identities: Identities) -> Iterator[tuple[str, PeerIdentity]]:
    return ((member.member, peer) for member in identities.members for peer in member.peers)


def kubo_swarm(member: str, peer: PeerIdentity, identities: Identities, addresses: Addresses) -> Endpoint:
    """Where the others reach the peer's kubo; raises `InputError` when a foreign public file does not say it."""
    if member in identities.own:
        return addresses.reach(kubo_name(member, peer), "swarm")
    return _given(member, peer, peer.kubo)


def _cluster_swarm(member: str, peer: PeerIdentity, identities: Identities, addresses: Addresses) -> Endpoint:
    if member in identities.own:
        return addresses.reach(cluster_name(member, peer), "swarm")
    return _given(member, peer, peer.cluster)


def _given(member: str, peer: PeerIdentity, endpoint: Endpoint | None) -> Endpoint:
    if endpoint is None:
        raise InputError(
            f"peer {peer.index} of {member} has no swarm address: ask its operator for a new public file"
            " (`muniment member export`)"
        )
    return endpoint


def _port(addresses: Addresses, workload: str, name: str, scheme: str = "http", path: str = "") -> Port:
    return Port(name, addresses.listen(workload, name), addresses.reach(workload, name), scheme, path)


def _ready(agent: str, workload: str, addresses: Addresses) -> Probe:
    api = Port("api", addresses.listen(agent, "api"), addresses.reach(agent, "api"), path=f"/peers/{workload}/ready")
    return Probe(api.url)
