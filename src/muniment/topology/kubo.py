"""The repository of a kubo peer, rendered whole: a private swarm that calls nobody else. Pure.

A kubo repository is a directory with `config`, `version`, `datastore_spec` and `swarm.key`; kubo itself makes the rest
at its first start (repo/fsrepo/fsrepo.go). So `ipfs init` never runs: it would make keys that nobody knows beforehand.

Settings follow docs/config.md of kubo 0.42. What must hold in a private swarm: no value is "auto" (that asks a server
of the public network what to do), TCP is the only transport (a private network key works on no other), and there is no
address filter (the profile `server` rejects every private address).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from muniment.identity.model import SWARM_KEY, Endpoint, peer_key_path
from muniment.kernel.encoding import pretty_json
from muniment.topology import multiaddr
from muniment.topology.model import File, secret

REPOSITORY_VERSION = 18
"""Layout of the repository that kubo 0.42 reads (its version.go); another kubo refuses to start on it."""

SHUTDOWN_TIMEOUT_SECONDS = 60
"""After this time a stop that hangs ends by itself; kubo's own limit is 12 hours (config/internal.go)."""

_BLOOM_FILTER_BYTES = 1 << 20
_SHARDING = "/repo/flatfs/shard/v1/next-to-last/2"


@dataclass(frozen=True)
class Kubo:
    """What makes one kubo different from the next."""

    workload: str
    member: str
    peer_id: str
    storage_max: str
    """For example 100GB; only what it tells the cluster, not a limit that kubo enforces."""
    swarm_listen: Endpoint
    swarm_reach: Endpoint
    api_listen: Endpoint
    others: Mapping[str, Endpoint]
    """Swarm addresses of all other kubos of the consortium by peer ID."""


def repository(kubo: Kubo) -> tuple[File, ...]:
    """All files of the repository, in the data directory."""
    datastore = _datastore()
    config = {
        "Identity": {"PeerID": kubo.peer_id, "PrivKey": secret(peer_key_path(kubo.member, kubo.workload))},
        "Addresses": _addresses(kubo),
        "Peering": {"Peers": [{"ID": peer, "Addrs": [multiaddr.tcp(at)]} for peer, at in kubo.others.items()]},
        "Datastore": {
            "StorageMax": kubo.storage_max,
            "StorageGCWatermark": 90,
            "GCPeriod": "1h",
            "HashOnRead": False,
            "BloomFilterSize": _BLOOM_FILTER_BYTES,
            "BlockKeyCacheSize": None,
            "WriteThrough": True,
            "Spec": datastore,
        },
        **_no_public_network(),
        **_tcp_only(),
        **_imports(),
    }
    return (
        _in_data("config", pretty_json(config)),
        _in_data("version", f"{REPOSITORY_VERSION}\n"),
        _in_data("datastore_spec", _datastore_identity(datastore)),
        _in_data("swarm.key", secret(SWARM_KEY) + "\n"),
        _in_data("blocks/SHARDING", f"{_SHARDING}\n"),
        _in_data(f"blocks/{_empty_block()}", ""),
    )


def _empty_block() -> str:
    """Where flatfs keeps the block of the empty file.

    Every kubo must have it from the beginning: no kubo ever sends an empty block to another (boxo
    bitswap/server/internal/decision/engine.go, `blockSize != 0`), so that a peer that lacks it could never complete a
    batch with an empty file in it. The name is the multihash in base32 (boxo datastore/dshelp).
    """
    key = base64.b32encode(b"\x12\x20" + hashlib.sha256(b"").digest()).decode().rstrip("=")
    return f"{key[-3:-1]}/{key}.data"


def _addresses(kubo: Kubo) -> dict[str, Any]:
    reached_elsewhere = kubo.swarm_reach != kubo.swarm_listen
    return {
        "Swarm": [multiaddr.tcp(kubo.swarm_listen)],
        "API": multiaddr.tcp(kubo.api_listen),
        # No gateway: content leaves through the notary only.
        "Gateway": [],
        "Announce": [],
        "AppendAnnounce": [multiaddr.tcp(kubo.swarm_reach)] if reached_elsewhere else [],
        "NoAnnounce": [],
    }


def _datastore() -> dict[str, Any]:
    return {
        "type": "mount",
        "mounts": [
            {
                "type": "flatfs",
                "mountpoint": "/blocks",
                "path": "blocks",
                "prefix": "flatfs.datastore",
                "shardFunc": _SHARDING,
                "sync": False,
            },
            {
                "type": "levelds",
                "mountpoint": "/",
                "path": "datastore",
                "prefix": "leveldb.datastore",
                "compression": "none",
            },
        ],
    }


def _datastore_identity(datastore: Mapping[str, Any]) -> str:
    """What kubo compares with its configuration: the fields that fix the layout on disk, as minimal JSON in order."""
    layout = ("mountpoint", "path", "shardFunc", "type")
    mounts = [{field: mount[field] for field in layout if field in mount} for mount in datastore["mounts"]]
    return json.dumps({"mounts": mounts, "type": datastore["type"]}, separators=(",", ":"), sort_keys=True)


def _no_public_network() -> dict[str, Any]:
    return {
        "AutoConf": {"Enabled": False},
        "AutoTLS": {"Enabled": False},
        "AutoNAT": {"ServiceMode": "disabled"},
        "Bootstrap": [],
        "DNS": {"Resolvers": {}},
        "Discovery": {"MDNS": {"Enabled": False}},
        "Gateway": {"NoFetch": True, "ExposeRoutingAPI": False},
        "HTTPRetrieval": {"Enabled": False},
        "Ipns": {"DelegatedPublishers": [], "UsePubsub": False},
        "Plugins": {"Plugins": {"telemetry": {"Disabled": True}}},
        "Provide": {"Enabled": False},
        # Every kubo is connected to every other: blocks are asked for directly, nothing is looked up.
        "Routing": {"Type": "none", "DelegatedRouters": []},
        "Version": {"SwarmCheckEnabled": False},
    }


def _tcp_only() -> dict[str, Any]:
    transports = {
        "TCP": True,
        "QUIC": False,
        "WebTransport": False,
        "WebRTCDirect": False,
        "Websocket": False,
        "Relay": False,
    }
    return {
        "Swarm": {
            "AddrFilters": [],
            "DisableNatPortMap": True,
            "EnableHolePunching": False,
            "RelayClient": {"Enabled": False},
            "RelayService": {"Enabled": False},
            "Transports": {"Network": transports},
        },
        "Internal": {"ShutdownTimeout": f"{SHUTDOWN_TIMEOUT_SECONDS}s"},
    }


def _imports() -> dict[str, Any]:
    # The import profile of the product (proof.unixfs), also for those who add by hand.
    return {
        "Import": {
            "CidVersion": 1,
            "UnixFSRawLeaves": True,
            "UnixFSChunker": "size-1048576",
            "UnixFSFileMaxLinks": 174,
            "HashFunction": "sha2-256",
            "FastProvideRoot": False,
            "FastProvideDAG": False,
            "FastProvideWait": False,
        }
    }


def _in_data(name: str, text: str) -> File:
    return File(PurePosixPath(name), text, in_data=True)
