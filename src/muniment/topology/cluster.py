"""The folder of an IPFS Cluster peer, rendered whole: known peers, explicit trust, CRDT. Pure.

`ipfs-cluster-service --config FOLDER daemon` reads service.json and identity.json from one folder and keeps its store
and its lock there: that is the data directory. `init` never runs, because it truncates the peerstore
(cmd/ipfs-cluster-service/main.go).

Every peer is known in three ways that cover one another's gaps. `peer_addresses` and an explicit `trusted_peers` list
make addresses permanent (one from the peerstore alone is forgotten after an hour: cluster.go, NewCluster); the
peerstore says the same in a file of its own. At a clean stop a peer rewrites its peerstore with what it happens to know
(cluster.go, Shutdown). So that file lies in the *config* directory: containers mount it read-only, and on one machine
it is written anew before every start. What a peer wrote there is never read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from muniment.identity.model import CLUSTER_SECRET, Endpoint, peer_key_path, rest_password_path
from muniment.kernel.encoding import pretty_json
from muniment.topology import multiaddr
from muniment.topology.model import File, secret

REST_USER = "muniment"
PEERSTORE = PurePosixPath("peerstore")

# Not pebble, the default: go-ds-pebble writes without sync and keeps up to 32 KiB of its log in the process, so that
# kill -9 of all peers took every pin of the session from the pinset (tried: 0 of 15 left; with this store 15 of 15).
_BADGER = {"sync_writes": True, "mem_table_size": 16 << 20, "value_log_file_size": 64 << 20}


@dataclass(frozen=True)
class Replicas:
    """On how many of how many peers content is pinned, within what is possible."""

    peers: int
    wanted_min: int
    wanted_max: int

    @property
    def min(self) -> int:
        """At least this many copies, but never more than there are peers."""
        return min(self.wanted_min, self.peers)

    @property
    def max(self) -> int:
        """At most this many copies, but never more than there are peers."""
        return min(self.wanted_max, self.peers)

    @property
    def can_move(self) -> bool:
        """Whether a peer without a copy is left to take over from one that is lost."""
        return self.peers > self.max


@dataclass(frozen=True)
class Cluster:
    """What makes one cluster peer different from the next."""

    workload: str
    member: str
    consortium: str
    peer_id: str
    kubo_api: Endpoint
    swarm_listen: Endpoint
    swarm_reach: Endpoint
    api_listen: Endpoint
    metrics_listen: Endpoint
    everyone: Mapping[str, Endpoint]
    """Swarm addresses of all cluster peers of the consortium, this one included, by peer ID."""
    replicas: Replicas
    config: PurePosixPath
    data: PurePosixPath


def folder(cluster: Cluster) -> tuple[File, ...]:
    """All files of the peer: service.json and identity.json in the data directory, the peerstore beside it."""
    identity = {"id": cluster.peer_id, "private_key": secret(peer_key_path(cluster.member, cluster.workload))}
    return (
        File(PurePosixPath("service.json"), pretty_json(_service(cluster)), in_data=True),
        File(PurePosixPath("identity.json"), pretty_json(identity), in_data=True),
        File(PEERSTORE, "".join(f"{multiaddr.of_peer(at, peer)}\n" for peer, at in cluster.everyone.items())),
    )


def _service(cluster: Cluster) -> dict[str, Any]:
    return {
        "cluster": _cluster(cluster),
        "consensus": {
            "crdt": {
                "cluster_name": cluster.consortium,
                "trusted_peers": list(cluster.everyone),
                "batching": {"max_batch_size": 0, "max_batch_age": "0s"},
                "repair_interval": "1h0m0s",
                "rebroadcast_interval": "10s",
            }
        },
        "api": {"restapi": _rest_api(cluster)},
        "ipfs_connector": {
            "ipfshttp": {
                "node_multiaddress": multiaddr.tcp(cluster.kubo_api),
                "connect_swarms_delay": "5s",
                "ipfs_request_timeout": "1m0s",
                "pin_timeout": "30s",
                "unpin_timeout": "3h0m0s",
                "repogc_timeout": "24h0m0s",
                "informer_trigger_interval": 0,
            }
        },
        "pin_tracker": {
            "stateless": {"concurrent_pins": 10, "priority_pin_max_age": "24h0m0s", "priority_pin_max_retries": 5}
        },
        "monitor": {"pubsubmon": {"check_interval": "2s"}},
        "allocator": {"balanced": {"allocate_by": ["tag:group", "freespace"]}},
        "informer": {
            "disk": {"metric_ttl": "10s", "metric_type": "freespace"},
            "tags": {"metric_ttl": "10s", "tags": {"group": cluster.workload}},
        },
        "observations": {
            "metrics": {
                "enable_stats": True,
                "prometheus_endpoint": multiaddr.tcp(cluster.metrics_listen),
                "reporting_interval": "2s",
            },
        },
        "datastore": {"badger3": {"badger_options": _BADGER}},
    }


def _cluster(cluster: Cluster) -> dict[str, Any]:
    reached_elsewhere = cluster.swarm_reach != cluster.swarm_listen
    return {
        "peername": cluster.workload,
        "secret": secret(CLUSTER_SECRET),
        "leave_on_shutdown": False,
        "listen_multiaddress": [multiaddr.tcp(cluster.swarm_listen)],
        "announce_multiaddress": [multiaddr.tcp(cluster.swarm_reach)] if reached_elsewhere else [],
        "no_announce_multiaddress": [],
        "enable_relay_hop": False,
        "connection_manager": {"high_water": 400, "low_water": 100, "grace_period": "2m0s"},
        # Its limits are shares of the machine's memory, and many peers may share one machine.
        "resource_manager": {"enabled": False, "memory_limit_bytes": 0, "file_descriptors_limit": 0},
        "dial_peer_timeout": "3s",
        "state_sync_interval": "5m0s",
        "pin_recover_interval": "1m0s",
        "replication_factor_min": cluster.replicas.min,
        "replication_factor_max": cluster.replicas.max,
        "monitor_ping_interval": "2s",
        "peer_watch_interval": "5s",
        "mdns_interval": "0s",
        "pin_only_on_trusted_peers": True,
        "disable_repinning": not cluster.replicas.can_move,
        "peer_addresses": [
            multiaddr.of_peer(at, peer) for peer, at in cluster.everyone.items() if peer != cluster.peer_id
        ],
        "peerstore_file": _from_folder(cluster.data, cluster.config / PEERSTORE),
    }


def _rest_api(cluster: Cluster) -> dict[str, Any]:
    return {
        "http_listen_multiaddress": multiaddr.tcp(cluster.api_listen),
        "read_timeout": "0s",
        "read_header_timeout": "5s",
        "write_timeout": "0s",
        "idle_timeout": "2m0s",
        "max_header_bytes": 4096,
        "basic_auth_credentials": {REST_USER: secret(rest_password_path(cluster.member))},
        "headers": {},
        "cors_allowed_origins": [],
        "cors_allowed_methods": [],
    }


def _from_folder(folder: PurePosixPath, target: PurePosixPath) -> str:
    """`target` as seen from `folder`: the peer joins the two names (cluster_config.go, GetPeerstorePath)."""
    up = [".."] * (len(folder.parts) - 1)
    return str(PurePosixPath(*up, *target.parts[1:]))
