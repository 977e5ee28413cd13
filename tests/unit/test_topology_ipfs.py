"""The rendered IPFS peers: what must hold in a private cluster, setting by setting."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import pytest

from muniment.identity.model import Endpoint, Identities
from muniment.kernel.errors import InputError
from muniment.spec.model import Consortium, Ipfs, Member, Replication
from muniment.topology import ipfs
from muniment.topology.model import Program, Role, Workload, secret
from tests.unit.identities import member

PORTS = {"swarm": 1, "api": 2, "metrics": 3}


class Places:
    """Listens everywhere, is reached by name: as in containers."""

    def listen(self, workload: str, port: str) -> Endpoint:
        return Endpoint(host="0.0.0.0", port=4000 + PORTS[port])

    def reach(self, workload: str, port: str) -> Endpoint:
        return Endpoint(host=f"{workload}.test", port=5000 + PORTS[port])

    def config(self, workload: str) -> PurePosixPath:
        return PurePosixPath("/etc/muniment", workload)

    def data(self, workload: str) -> PurePosixPath:
        return PurePosixPath("/var/lib/muniment", workload)

    def run(self, workload: str) -> PurePosixPath:
        return PurePosixPath("/run/muniment", workload)


class Loopback(Places):
    """Is reached where it listens: as on one machine."""

    def listen(self, workload: str, port: str) -> Endpoint:
        return Endpoint(
            host="127.0.0.1", port=6000 + 10 * int(workload[-1]) + PORTS[port] if workload[-1].isdigit() else 6999
        )

    def reach(self, workload: str, port: str) -> Endpoint:
        return self.listen(workload, port)


def spec(peers: int = 3, minimum: int = 2, maximum: int = 3, **others: Member) -> Consortium:
    return Consortium(
        name="demo",
        ipfs=Ipfs(replication=Replication(min=minimum, max=maximum), storage_max="5TB"),
        members={"alpha": Member(peers=peers, notary=False), **others},
    )


def identities(peers: int = 3) -> Identities:
    return Identities(members=(member("alpha", first_key=1, peers=peers),), own=frozenset({"alpha"}))


def two_operators(endpoints: bool = True) -> Identities:
    """Beta belongs to another operator, who gave us its public file."""
    beta = member("beta", first_key=50, peers=1)
    if endpoints:
        peer = beta.peers[0].model_copy(
            update={"kubo": Endpoint(host="192.0.2.7", port=4001), "cluster": Endpoint(host="beta.example", port=9096)}
        )
        beta = beta.model_copy(update={"peers": (peer,)})
    return Identities(members=(member("alpha", first_key=1, peers=3), beta), own=frozenset({"alpha"}))


def workload(
    name: str, *, peers: int = 3, minimum: int = 2, maximum: int = 3, places: Places | None = None
) -> Workload:
    found = ipfs.peers(spec(peers, minimum, maximum), identities(peers), places or Places())
    return next(one for one in found if one.name == name)


def text(of: Workload, name: str) -> str:
    return next(file.text for file in of.files if str(file.path) == name)


def document(of: Workload, name: str) -> Any:
    return json.loads(text(of, name))


def values(document: Any) -> Iterator[Any]:
    """Every value in a JSON document."""
    yield document
    if isinstance(document, dict):
        for value in document.values():
            yield from values(value)
    if isinstance(document, list):
        for value in document:
            yield from values(value)


@pytest.fixture
def kubo() -> Workload:
    return workload("alpha-kubo-1")


@pytest.fixture
def cluster() -> Workload:
    return workload("alpha-cluster-1")


def test_every_own_peer_is_a_pair_of_workloads() -> None:
    found = ipfs.peers(spec(2), identities(2), Places())
    assert [(one.name, one.role, one.program) for one in found] == [
        ("alpha-kubo-1", Role.KUBO, Program.IPFS),
        ("alpha-cluster-1", Role.CLUSTER, Program.CLUSTER_SERVICE),
        ("alpha-kubo-2", Role.KUBO, Program.IPFS),
        ("alpha-cluster-2", Role.CLUSTER, Program.CLUSTER_SERVICE),
    ]


def test_the_same_input_gives_the_same_bytes() -> None:
    assert ipfs.peers(spec(), identities(), Places()) == ipfs.peers(spec(), identities(), Places())


def test_no_file_but_the_public_ones_goes_without_a_secret_marker(kubo: Workload, cluster: Workload) -> None:
    marked = {str(file.path) for one in (kubo, cluster) for file in one.files if "@secret:" in file.text}
    assert marked == {"config", "swarm.key", "service.json", "identity.json"}


def test_readiness_is_the_agents_judgement(kubo: Workload, cluster: Workload) -> None:
    assert kubo.ready.url == "http://alpha-agent.test:5002/peers/alpha-kubo-1/ready"
    assert cluster.ready.url == "http://alpha-agent.test:5002/peers/alpha-cluster-1/ready"


def test_ports_have_urls(kubo: Workload, cluster: Workload) -> None:
    assert [port.url for port in kubo.ports] == ["tcp://alpha-kubo-1.test:5001", "http://alpha-kubo-1.test:5002"]
    assert [port.url for port in cluster.ports] == [
        "tcp://alpha-cluster-1.test:5001",
        "http://alpha-cluster-1.test:5002",
        "http://alpha-cluster-1.test:5003/metrics",
    ]


# kubo


def test_kubo_refuses_to_run_without_the_private_network(kubo: Workload) -> None:
    assert dict(kubo.environment) == {
        "IPFS_PATH": "/var/lib/muniment/alpha-kubo-1",
        "IPFS_TELEMETRY": "off",
        "LIBP2P_FORCE_PNET": "1",
    }
    assert text(kubo, "swarm.key") == secret("consortium/swarm.key") + "\n"


def test_kubo_never_runs_init(kubo: Workload) -> None:
    assert kubo.prepare is None
    assert kubo.arguments[0] == "daemon"
    assert "--init" not in kubo.arguments
    assert all(file.in_data for file in kubo.files)


def test_nothing_in_kubos_configuration_is_left_to_the_public_network(kubo: Workload) -> None:
    config = document(kubo, "config")
    assert "auto" not in [value for value in values(config) if isinstance(value, str)]
    assert config["AutoConf"] == {"Enabled": False}
    assert config["AutoTLS"] == {"Enabled": False}
    assert config["Bootstrap"] == []
    assert config["DNS"] == {"Resolvers": {}}
    assert config["Routing"] == {"Type": "none", "DelegatedRouters": []}
    assert config["Ipns"]["DelegatedPublishers"] == []
    assert config["Provide"] == {"Enabled": False}
    assert config["HTTPRetrieval"] == {"Enabled": False}
    assert config["Discovery"] == {"MDNS": {"Enabled": False}}
    assert config["AutoNAT"] == {"ServiceMode": "disabled"}
    assert config["Version"] == {"SwarmCheckEnabled": False}


def test_kubo_speaks_tcp_only(kubo: Workload) -> None:
    config = document(kubo, "config")
    assert config["Swarm"]["Transports"]["Network"] == {
        "TCP": True,
        "QUIC": False,
        "WebTransport": False,
        "WebRTCDirect": False,
        "Websocket": False,
        "Relay": False,
    }
    assert config["Addresses"]["Swarm"] == ["/ip4/0.0.0.0/tcp/4001"]
    assert "quic" not in text(kubo, "config").replace('"QUIC"', "")


def test_kubo_filters_no_address_and_crosses_no_nat(kubo: Workload) -> None:
    config = document(kubo, "config")
    assert config["Swarm"]["AddrFilters"] == []
    assert config["Addresses"]["NoAnnounce"] == []
    assert config["Swarm"]["DisableNatPortMap"] is True
    assert config["Swarm"]["EnableHolePunching"] is False
    assert config["Swarm"]["RelayClient"] == config["Swarm"]["RelayService"] == {"Enabled": False}


def test_kubo_has_no_gateway(kubo: Workload) -> None:
    config = document(kubo, "config")
    assert config["Addresses"]["Gateway"] == []
    assert config["Gateway"]["NoFetch"] is True
    assert config["Gateway"]["ExposeRoutingAPI"] is False


def test_kubo_announces_where_it_is_reached_only_if_that_is_elsewhere() -> None:
    elsewhere = document(workload("alpha-kubo-1"), "config")["Addresses"]
    assert elsewhere["AppendAnnounce"] == ["/dns4/alpha-kubo-1.test/tcp/5001"]
    here = document(workload("alpha-kubo-1", places=Loopback()), "config")["Addresses"]
    assert here["AppendAnnounce"] == []
    assert here["API"] == "/ip4/127.0.0.1/tcp/6012"


def test_every_kubo_is_peered_with_all_others(kubo: Workload) -> None:
    own, second, third = identities().of("alpha").peers
    assert document(kubo, "config")["Peering"]["Peers"] == [
        {"ID": second.kubo_id, "Addrs": ["/dns4/alpha-kubo-2.test/tcp/5001"]},
        {"ID": third.kubo_id, "Addrs": ["/dns4/alpha-kubo-3.test/tcp/5001"]},
    ]
    assert document(kubo, "config")["Identity"] == {
        "PeerID": own.kubo_id,
        "PrivKey": secret("alpha/peers/alpha-kubo-1/private_key"),
    }


def test_kubo_keeps_blocks_in_flatfs_and_the_identity_of_its_store_agrees(kubo: Workload) -> None:
    datastore = document(kubo, "config")["Datastore"]
    blocks, rest = datastore["Spec"]["mounts"]
    assert (blocks["type"], blocks["sync"], blocks["mountpoint"]) == ("flatfs", False, "/blocks")
    assert (rest["type"], rest["mountpoint"]) == ("levelds", "/")
    assert datastore["StorageMax"] == "5TB"
    # Byte for byte what `ipfs init` of kubo 0.42 writes.
    assert text(kubo, "datastore_spec") == (
        '{"mounts":[{"mountpoint":"/blocks","path":"blocks","shardFunc":"/repo/flatfs/shard/v1/next-to-last/2",'
        '"type":"flatfs"},{"mountpoint":"/","path":"datastore","type":"levelds"}],"type":"mount"}'
    )
    assert text(kubo, "version") == "18\n"


def test_every_kubo_has_the_empty_block_since_nobody_would_send_it(kubo: Workload) -> None:
    assert text(kubo, "blocks/SHARDING") == "/repo/flatfs/shard/v1/next-to-last/2\n"
    # Where kubo 0.42 puts the block after `ipfs block put` of nothing.
    assert text(kubo, "blocks/QV/CIQOHMGEIKMPYHAUTL57JSEZN64SIJ5OIHSGJG4TJSSJLGI3PBJLQVI.data") == ""


def test_kubo_imports_by_the_products_profile(kubo: Workload) -> None:
    imports = document(kubo, "config")["Import"]
    assert imports["CidVersion"] == 1
    assert imports["UnixFSRawLeaves"] is True
    assert imports["UnixFSChunker"] == "size-1048576"
    assert imports["UnixFSFileMaxLinks"] == 174
    assert imports["HashFunction"] == "sha2-256"


def test_kubo_collects_no_garbage_by_itself_and_stops_in_time(kubo: Workload) -> None:
    assert "--enable-gc=false" in kubo.arguments
    assert document(kubo, "config")["Internal"]["ShutdownTimeout"] == "60s"
    assert kubo.stop_seconds > 60


# cluster


def test_the_cluster_peer_runs_on_its_volume_and_never_runs_init(cluster: Workload) -> None:
    assert cluster.prepare is None
    assert cluster.arguments == ("--config", "/var/lib/muniment/alpha-cluster-1", "daemon")


def test_the_peerstore_names_everybody_and_lies_where_a_target_can_protect_it(cluster: Workload) -> None:
    peers = identities().of("alpha").peers
    file = next(file for file in cluster.files if str(file.path) == "peerstore")
    assert not file.in_data
    assert file.text.splitlines() == [
        f"/dns4/alpha-cluster-{peer.index}.test/tcp/5001/p2p/{peer.cluster_id}" for peer in peers
    ]
    named = document(cluster, "service.json")["cluster"]["peerstore_file"]
    joined = PurePosixPath("/var/lib/muniment/alpha-cluster-1", named)
    assert named == "../../../../etc/muniment/alpha-cluster-1/peerstore"
    assert joined.parts.count("..") == 4


def test_addresses_are_permanent_by_explicit_trust_and_configuration(cluster: Workload) -> None:
    service = document(cluster, "service.json")
    ids = [peer.cluster_id for peer in identities().of("alpha").peers]
    assert service["consensus"]["crdt"]["trusted_peers"] == ids
    assert [address.rpartition("/")[2] for address in service["cluster"]["peer_addresses"]] == ids[1:]
    assert service["cluster"]["pin_only_on_trusted_peers"] is True


def test_the_cluster_peer_settings(cluster: Workload) -> None:
    service = document(cluster, "service.json")
    assert list(service["consensus"]) == ["crdt"]
    assert service["consensus"]["crdt"]["cluster_name"] == "demo"
    assert list(service["api"]) == ["restapi"]
    assert service["api"]["restapi"]["basic_auth_credentials"] == {"muniment": secret("alpha/cluster-rest-password")}
    assert service["monitor"]["pubsubmon"]["check_interval"] == "2s"
    assert {informer["metric_ttl"] for informer in service["informer"].values()} == {"10s"}
    assert service["informer"]["tags"]["tags"] == {"group": "alpha-cluster-1"}
    assert service["observations"]["metrics"]["enable_stats"] is True
    # Without it a pin that was answered is lost when all peers are killed together.
    assert service["datastore"]["badger3"]["badger_options"]["sync_writes"] is True
    assert service["ipfs_connector"]["ipfshttp"]["node_multiaddress"] == "/dns4/alpha-kubo-1.test/tcp/5002"
    own = service["cluster"]
    assert own["peername"] == "alpha-cluster-1"
    assert own["secret"] == secret("consortium/cluster.secret")
    assert own["leave_on_shutdown"] is False
    assert own["enable_relay_hop"] is False
    assert own["mdns_interval"] == "0s"
    assert own["monitor_ping_interval"] == "2s"
    assert own["pin_recover_interval"] == "1m0s"
    assert own["listen_multiaddress"] == ["/ip4/0.0.0.0/tcp/4001"]
    assert own["announce_multiaddress"] == ["/dns4/alpha-cluster-1.test/tcp/5001"]


def test_the_identity_of_the_cluster_peer_is_not_kubos(cluster: Workload) -> None:
    peer = identities().of("alpha").peers[0]
    assert document(cluster, "identity.json") == {
        "id": peer.cluster_id,
        "private_key": secret("alpha/peers/alpha-cluster-1/private_key"),
    }
    assert peer.cluster_id != peer.kubo_id


@pytest.mark.parametrize(
    ("peers", "wanted", "expected"),
    [
        (3, (2, 3), (2, 3, True)),
        (4, (2, 3), (2, 3, False)),
        (2, (2, 3), (2, 2, True)),
        (1, (2, 3), (1, 1, True)),
        (5, (1, 2), (1, 2, False)),
    ],
)
def test_replication_stays_within_the_number_of_peers(
    peers: int, wanted: tuple[int, int], expected: tuple[int, int, bool]
) -> None:
    own = document(workload("alpha-cluster-1", peers=peers, minimum=wanted[0], maximum=wanted[1]), "service.json")[
        "cluster"
    ]
    found = own["replication_factor_min"], own["replication_factor_max"], own["disable_repinning"]
    assert found == expected


# several members


def test_peers_of_other_operators_are_known_and_trusted_but_not_run() -> None:
    both = two_operators()
    beta = both.of("beta").peers[0]
    found = ipfs.peers(spec(beta=Member(identity="beta.yaml")), both, Places())
    assert {one.member for one in found} == {"alpha"}
    kubo, cluster = found[0], found[1]
    assert {"ID": beta.kubo_id, "Addrs": ["/ip4/192.0.2.7/tcp/4001"]} in document(kubo, "config")["Peering"]["Peers"]
    service = document(cluster, "service.json")
    address = f"/dns4/beta.example/tcp/9096/p2p/{beta.cluster_id}"
    assert address in service["cluster"]["peer_addresses"]
    assert address in text(cluster, "peerstore").splitlines()
    assert beta.cluster_id in service["consensus"]["crdt"]["trusted_peers"]
    assert service["cluster"]["disable_repinning"] is False


def test_a_public_file_without_addresses_is_refused_with_what_to_do() -> None:
    with pytest.raises(InputError, match=r"peer 1 of beta has no swarm address.*member export"):
        ipfs.peers(spec(beta=Member(identity="beta.yaml")), two_operators(endpoints=False), Places())


def test_a_member_without_peers_has_none() -> None:
    assert ipfs.peers(spec(0, 1, 1), identities(0), Places()) == ()
