"""The nodes' workloads: what must be on the command line, what must not, and who the peers are."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

import pytest

from muniment.identity.model import Endpoint, Identities
from muniment.kernel.errors import InputError
from muniment.spec.model import Consortium, Privacy, Tls
from muniment.topology.chain import nodes
from muniment.topology.model import Role, Workload
from tests.unit import identities as made

GENESIS = '{"a": "genesis"}\n'
PORTS = {"rpc": 8545, "ws": 8546, "p2p": 30303, "raft": 50400, "metrics": 6060, "api": 9000}
PORTS |= {"q2t": 9101, "status": 9103}


@dataclass
class Fixed:
    """Addresses as of a container platform: everything has its own host."""

    host: str = "{}.example"

    def listen(self, workload: str, port: str) -> Endpoint:
        return Endpoint(host="10.0.0.1", port=PORTS[port])

    def reach(self, workload: str, port: str) -> Endpoint:
        return Endpoint(host=self.host.format(workload), port=PORTS[port])

    def config(self, workload: str) -> PurePosixPath:
        return PurePosixPath("/config") / workload

    def data(self, workload: str) -> PurePosixPath:
        return PurePosixPath("/data") / workload

    def run(self, workload: str) -> PurePosixPath:
        return PurePosixPath("/run") / workload


def specification(consensus: str = "qbft", **chain: object) -> Consortium:
    """Members alpha (3 nodes, 2 of them validators) and beta (1)."""
    return Consortium.model_validate(
        {
            "chain": {"consensus": consensus, **chain},
            "members": {"beta": {"nodes": 1, "peers": 1}, "alpha": {"nodes": 3, "peers": 1}},
        }
    )


ALPHA = made.member("alpha", first_key=1, nodes=3, validators=2)
BETA = made.member("beta", first_key=11)


def derived(
    consensus: str = "qbft", identities: Identities | None = None, addresses: Fixed | None = None, **chain: object
) -> dict[str, Workload]:
    """The nodes by name."""
    spec = specification(consensus, **chain)
    found = nodes(spec, identities or made.consortium(BETA, ALPHA), addresses or Fixed(), GENESIS)
    return {each.name: each for each in found}


def option(workload: Workload, name: str) -> str:
    """The value after an option."""
    assert workload.arguments.count(name) == 1
    return workload.arguments[workload.arguments.index(name) + 1]


def text(workload: Workload, path: str) -> str:
    """Text of one of its files."""
    (found,) = (file.text for file in workload.files if str(file.path) == path)
    return found


def test_the_command_line_of_a_validator() -> None:
    node = derived()["alpha-1"]
    assert (node.member, node.role, node.program) == ("alpha", Role.NODE, "geth")
    assert node.environment == ()
    assert [probe.url for probe in node.needs] == ["http://alpha-privacy-1.example:9103/ready"]
    assert " ".join(node.arguments) == (
        "--config /config/alpha-1/geth.toml --datadir /data/alpha-1 --nodekey /config/alpha-1/nodekey"
        " --networkid 1337 --syncmode full --gcmode archive --snapshot=false --cache 128"
        " --miner.gastarget 700000000 --miner.gaslimit 700000000 --miner.gasprice 0"
        f" --miner.etherbase {ALPHA.nodes[0].coinbase}"
        " --nodiscover --permissioned --nat none --maxpeers 50"
        " --http --http.addr 10.0.0.1 --http.port 8545 --http.api eth,net,web3,txpool"
        " --http.vhosts localhost,alpha-1.example,alpha-gateway.example"
        " --ws --ws.addr 10.0.0.1 --ws.port 8546 --ws.api eth,net,web3,txpool"
        " --ipcpath /run/alpha-1/geth.ipc --metrics --metrics.addr 10.0.0.1 --metrics.port 6060 --verbosity 3"
        " --ptm.url http://alpha-privacy-1.example:9101 --ptm.timeout 10 --ptm.dialtimeout 1 --ptm.http.idletimeout 10"
        " --mine --miner.recommit 24h"
    )


def test_without_private_transactions_there_is_no_manager_to_ask() -> None:
    spec = specification().model_copy(update={"privacy": Privacy(enabled=False)})
    for node in nodes(spec, made.consortium(BETA, ALPHA), Fixed(), GENESIS):
        assert node.environment == (("PRIVATE_CONFIG", "ignore"),)
        assert node.needs == ()
        assert not [argument for argument in node.arguments if argument.startswith("--ptm")]


def test_with_tls_a_node_shows_its_members_certificate_and_trusts_its_members_authority() -> None:
    spec = specification().model_copy(update={"privacy": Privacy(tls=Tls.STRICT)})
    node = nodes(spec, made.consortium(ALPHA, BETA), Fixed(), GENESIS)[0]
    assert option(node, "--ptm.url") == "https://alpha-privacy-1.example:9101"
    assert option(node, "--ptm.tls.mode") == "strict"
    assert option(node, "--ptm.tls.rootca") == "/config/alpha-1/tls/authority.pem"
    assert option(node, "--ptm.tls.clientcert") == "/config/alpha-1/tls/certificate.pem"
    assert option(node, "--ptm.tls.clientkey") == "/config/alpha-1/tls/certificate.pem"
    assert text(node, "tls/certificate.pem") == "@secret:alpha/privacy/tls/certificate.pem@"
    assert text(node, "tls/authority.pem") == made.AUTHORITY
    assert [str(file.path) for file in node.files if file.reloaded] == ["tls/certificate.pem"]
    assert node.needs[0].url.startswith("http://")


def test_the_engine_is_initialised_with_the_same_key_and_volume() -> None:
    node = derived()["alpha-2"]
    assert node.prepare is not None
    assert node.prepare.arguments == (
        *("--datadir", "/data/alpha-2", "--nodekey", "/config/alpha-2/nodekey"),
        *("init", "/config/alpha-2/genesis.json"),
    )
    assert text(node, "genesis.json") == GENESIS
    assert text(node, "nodekey") == "@secret:alpha/nodes/alpha-2/nodekey@"
    assert text(node, "geth.toml") == '[Node.P2P]\nListenAddr = "10.0.0.1:30303"\n'


@pytest.mark.parametrize("consensus", ["qbft", "ibft", "clique"])
def test_only_validators_mine(consensus: str) -> None:
    found = derived(consensus)
    assert {name for name, node in found.items() if "--mine" in node.arguments} == {"alpha-1", "alpha-2", "beta-1"}


@pytest.mark.parametrize("consensus", ["qbft", "ibft", "raft", "clique"])
def test_no_command_of_the_process_is_on_http(consensus: str) -> None:
    for node in derived(consensus).values():
        for name in ("--http.api", "--ws.api"):
            assert set(option(node, name).split(",")) == {"eth", "net", "web3", "txpool"}


def test_every_node_has_the_same_peers_whatever_the_order_of_members() -> None:
    texts = set()
    for order in ((ALPHA, BETA), (BETA, ALPHA)):
        for node in derived(identities=made.consortium(*order)).values():
            texts |= {text(node, "static-nodes.json"), text(node, "permissioned-nodes.json")}
    (only,) = texts
    assert json.loads(only) == [
        f"enode://{node.enode_id}@{node.name}.example:30303?discport=0" for node in (*ALPHA.nodes, *BETA.nodes)
    ]


def test_the_peer_files_are_inside_the_volume() -> None:
    node = derived()["beta-1"]
    in_data = {str(file.path) for file in node.files if file.in_data}
    assert in_data == {"static-nodes.json", "permissioned-nodes.json"}


def test_members_of_others_are_peers_at_their_own_endpoints_and_no_workloads() -> None:
    theirs = BETA.model_copy(
        update={"nodes": (BETA.nodes[0].model_copy(update={"p2p": Endpoint(host="203.0.113.7", port=1234)}),)}
    )
    found = derived(identities=Identities(members=(ALPHA, theirs), own=frozenset({"alpha"})))
    assert set(found) == {"alpha-1", "alpha-2", "alpha-3"}
    peers = json.loads(text(found["alpha-1"], "static-nodes.json"))
    assert peers[-1] == f"enode://{BETA.nodes[0].enode_id}@203.0.113.7:1234?discport=0"


@pytest.mark.parametrize("consensus", ["qbft", "raft"])
def test_a_member_of_others_without_an_endpoint_is_refused(consensus: str) -> None:
    theirs = BETA
    if consensus == "raft":
        p2p = Endpoint(host="203.0.113.7", port=1234)
        theirs = BETA.model_copy(update={"nodes": (BETA.nodes[0].model_copy(update={"p2p": p2p}),)})
    with pytest.raises(InputError, match=r"beta-1 has no (p2p|raft) address: ask its operator"):
        derived(consensus, Identities(members=(ALPHA, theirs), own=frozenset({"alpha"})))


def test_raft_has_its_port_its_block_time_and_its_place_in_the_list() -> None:
    node = derived("raft", block_period_seconds=2)["alpha-3"]
    assert node.arguments[-6:] == ("--raft", "--raftport", "50400", "--raftblocktime", "2000", "--raftdnsenable")
    assert "--mine" not in node.arguments
    assert re.search(r":30303\?discport=0&raftport=50400$", json.loads(text(node, "static-nodes.json"))[2])
    assert node.port("raft").url == "tcp://alpha-3.example:50400"


def test_raft_needs_no_names_where_hosts_are_addresses() -> None:
    node = derived("raft", addresses=Fixed("127.0.0.1"))["alpha-1"]
    assert "--raftdnsenable" not in node.arguments
    assert option(node, "--http.vhosts") == "localhost"


def test_raft_on_another_host_than_p2p_is_refused() -> None:
    ends = {"p2p": Endpoint(host="203.0.113.7", port=1), "raft": Endpoint(host="203.0.113.8", port=2)}
    theirs = BETA.model_copy(update={"nodes": (BETA.nodes[0].model_copy(update=ends),)})
    with pytest.raises(InputError, match="GoQuorum wants one host for both"):
        derived("raft", Identities(members=(ALPHA, theirs), own=frozenset({"alpha"})))


def test_a_clique_signer_unlocks_its_node_key_from_secret_files() -> None:
    found = derived("clique")
    signer, other = found["alpha-2"], found["alpha-3"]
    assert option(signer, "--unlock") == ALPHA.nodes[1].coinbase
    assert option(signer, "--keystore") == "/config/alpha-2/keystore"
    assert option(signer, "--password") == "/config/alpha-2/passphrase"
    assert text(signer, "keystore/signer.json") == "@secret:alpha/signers/alpha-2/keystore.json@"
    assert text(signer, "passphrase") == "@secret:alpha/signers/alpha-2/passphrase@"
    assert "--unlock" not in other.arguments
    assert not [file for file in other.files if "signers" in file.text]


@pytest.mark.parametrize("consensus", ["qbft", "ibft", "raft"])
def test_nobody_else_has_an_account(consensus: str) -> None:
    for node in derived(consensus).values():
        assert not {"--unlock", "--allow-insecure-unlock", "--keystore"} & set(node.arguments)


def test_a_large_consortium_has_room_for_all_peers() -> None:
    many = made.consortium(
        *(made.member(f"m{chr(97 + i)}", first_key=100 + 16 * i, nodes=16, peers=0) for i in range(3))
    )
    spec = Consortium.model_validate({"members": {each.member: {"nodes": 16, "peers": 1} for each in many.members}})
    node = nodes(spec, many, Fixed(), GENESIS)[0]
    assert option(node, "--maxpeers") == "96"


def test_an_ipv6_address_is_written_in_brackets() -> None:
    node = derived(addresses=Fixed("2001:db8::7"))["alpha-1"]
    assert "@[2001:db8::7]:30303?discport=0" in json.loads(text(node, "static-nodes.json"))[0]


def test_ports_and_readiness() -> None:
    node = derived()["alpha-1"]
    assert {port.name: port.url for port in node.ports} == {
        "rpc": "http://alpha-1.example:8545",
        "ws": "ws://alpha-1.example:8546",
        "p2p": "tcp://alpha-1.example:30303",
        "metrics": "http://alpha-1.example:6060/debug/metrics/prometheus",
    }
    assert node.ready.url == "http://alpha-agent.example:9000/nodes/alpha-1/ready"
