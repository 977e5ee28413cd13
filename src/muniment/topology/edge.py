"""The edge of one member: the gateway (haproxy) and the agent whose judgement it follows. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath

from muniment.identity.model import Endpoint, Identities, MemberIdentity, PeerIdentity, rest_password_path
from muniment.kernel.encoding import pretty_json
from muniment.spec.model import Consortium, Tls
from muniment.topology import multiaddr, privacy
from muniment.topology.haproxy import Upstream, configuration
from muniment.topology.haproxy_privacy import Manager, PrivacyDoor
from muniment.topology.ipfs import kubo_swarm
from muniment.topology.layout import Layout
from muniment.topology.model import Addresses, File, Port, Probe, Program, Role, Workload, secret

GATEWAY_CONFIG = PurePosixPath("haproxy.cfg")
AGENT_CONFIG = PurePosixPath("agent.json")
CLUSTER_PASSWORD = PurePosixPath("cluster-rest-password")

MAX_LAG_BLOCKS = 2
"""A node may be this many blocks behind its best sibling, for as long as `MAX_LAG_SECONDS`."""

MAX_LAG_SECONDS = 3.0
"""Blocks travel in milliseconds; three seconds leave room for a busy machine."""

AGENT_STOP_SECONDS = 5
GATEWAY_STOP_SECONDS = 5


def gateway(
    spec: Consortium, member: str, identities: Identities, addresses: Addresses, layout: Layout = Layout.MEMBER
) -> Workload:
    """The member's gateway: one RPC and one WebSocket address in front of its fit nodes, and one address for the
    privacy managers of other members."""
    name = f"{member}-gateway"
    rpc, ws, metrics = (
        Port("rpc", addresses.listen(name, "rpc"), addresses.reach(name, "rpc")),
        Port("ws", addresses.listen(name, "ws"), addresses.reach(name, "ws"), scheme="ws"),
        Port("metrics", addresses.listen(name, "metrics"), addresses.reach(name, "metrics"), path="/metrics"),
    )
    upstreams = tuple(
        Upstream(
            node.name,
            addresses.reach(node.name, "rpc"),
            addresses.reach(node.name, "ws"),
            addresses.reach(layout.of_node(node.name), "api"),
        )
        for node in identities.of(member).nodes
    )
    door = _privacy_door(spec, member, identities, addresses)
    doors = (
        (Port("privacy", door.listen, addresses.reach(name, "privacy"), scheme=privacy.scheme(spec)),) if door else ()
    )
    return Workload(
        name=name,
        member=member,
        role=Role.GATEWAY,
        program=Program.HAPROXY,
        arguments=("-db", "-f", str(addresses.config(name) / GATEWAY_CONFIG)),
        ready=Probe(f"{rpc.url}/health"),
        ports=(rpc, ws, metrics, *doors),
        files=(
            File(
                GATEWAY_CONFIG,
                configuration(rpc.listen, ws.listen, metrics.listen, upstreams, door),
            ),
        ),
        stop_seconds=GATEWAY_STOP_SECONDS,
    )


def _privacy_door(spec: Consortium, member: str, identities: Identities, addresses: Addresses) -> PrivacyDoor | None:
    if not spec.privacy.enabled:
        return None
    names = [privacy.manager_name(node.name) for node in identities.of(member).nodes]
    return PrivacyDoor(
        listen=addresses.listen(f"{member}-gateway", "privacy"),
        managers=tuple(Manager(name, addresses.reach(name, "p2p"), addresses.reach(name, "status")) for name in names),
        tls=spec.privacy.tls is Tls.STRICT,
    )


def agents(
    spec: Consortium, member: str, identities: Identities, addresses: Addresses, layout: Layout = Layout.MEMBER
) -> tuple[Workload, ...]:
    """The member's agents. Each judges all of its nodes and peers, and mends the mesh of its kubos."""
    names = layout.agents(identities.of(member))
    return tuple(_agent(name, spec, member, identities, addresses) for name in names)


def _agent(name: str, spec: Consortium, member: str, identities: Identities, addresses: Addresses) -> Workload:
    api = Port("api", addresses.listen(name, "api"), addresses.reach(name, "api"))
    metrics = Port("metrics", api.listen, api.reach, path="/metrics")
    own = identities.of(member)
    settings = {
        "listen": {"host": api.listen.host, "port": api.listen.port},
        "member": member,
        "maintenance_dir": str(addresses.data(name) / "maintenance"),
        "max_lag_blocks": MAX_LAG_BLOCKS,
        "max_lag_seconds": MAX_LAG_SECONDS,
        "nodes": _nodes(spec, own, identities, addresses),
        "peers": [_own_peer(member, peer, addresses) for peer in own.peers],
        "others": [
            _other_peer(other.member, peer, identities, addresses)
            for other in identities.members
            if other.member != member
            for peer in other.peers
        ],
    }
    files: tuple[File, ...] = ()
    if own.peers:
        settings["cluster_password_file"] = str(addresses.config(name) / CLUSTER_PASSWORD)
        files = (File(CLUSTER_PASSWORD, secret(rest_password_path(member))),)
    return Workload(
        name=name,
        member=member,
        role=Role.AGENT,
        program=Program.MUNIMENT,
        arguments=("agent", "serve", "--config", str(addresses.config(name) / AGENT_CONFIG)),
        ready=Probe(f"{api.url}/live"),
        ports=(api, metrics),
        files=(File(AGENT_CONFIG, pretty_json(settings)), *files),
        stop_seconds=AGENT_STOP_SECONDS,
    )


def _nodes(
    spec: Consortium, own: MemberIdentity, identities: Identities, addresses: Addresses
) -> list[dict[str, object]]:
    min_peers = 0 if len(identities.nodes) == 1 else 1
    return [
        {
            "name": node.name,
            "rpc": _url(addresses.reach(node.name, "rpc")),
            # The status port: it is plain HTTP also where the others want certificates.
            "privacy": _url(addresses.reach(privacy.manager_name(node.name), "status"))
            if spec.privacy.enabled
            else None,
            "min_peers": min_peers,
        }
        for node in own.nodes
    ]


def _own_peer(member: str, peer: PeerIdentity, addresses: Addresses) -> dict[str, object]:
    kubo, cluster = f"{member}-kubo-{peer.index}", f"{member}-cluster-{peer.index}"
    return {
        "index": peer.index,
        "kubo_name": kubo,
        "kubo": _url(addresses.reach(kubo, "api")),
        "kubo_id": peer.kubo_id,
        "kubo_address": multiaddr.tcp(addresses.reach(kubo, "swarm")),
        "cluster_name": cluster,
        "cluster": _url(addresses.reach(cluster, "api")),
        "cluster_id": peer.cluster_id,
    }


def _other_peer(member: str, peer: PeerIdentity, identities: Identities, addresses: Addresses) -> dict[str, object]:
    swarm = kubo_swarm(member, peer, identities, addresses)
    return {"kubo_id": peer.kubo_id, "kubo_address": multiaddr.tcp(swarm), "cluster_id": peer.cluster_id}


def _url(endpoint: Endpoint) -> str:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"http://{host}:{endpoint.port}"
