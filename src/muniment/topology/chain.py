"""The nodes of the chain: GoQuorum 22.7.4 for every own member. Pure.

Every flag was tried on the real engine. What is not obvious:

- **`--gcmode archive`**: with the default, state stays in memory, and after a power cut the nodes come back at an old
  block and replace blocks that were final. It also keeps the index of transactions whole (`--txlookuplimit` becomes 0).
- **Namespaces on HTTP and WebSocket** are `eth`, `net`, `web3` and `txpool`, which read and take signed transactions.
  `eth` has also what private transactions signed elsewhere need: `eth_fillTransaction` (it stores the payload) and
  `eth_sendRawPrivateTransaction`. Not there, but on the node's IPC: `admin`, `personal`, `debug`, `miner` (they command
  the process), and `istanbul`, `raft`, `clique`, `quorumPermission`, `quorumExtension` (they vote validators in and
  out, change who may connect, or who is party to a contract).
- **The privacy manager must be ready first**: the engine asks it at its start, once, and ends when it is not (the
  launcher waits for it, see `Workload.needs`). Later the engine tries five times, a second apart, and then ends too.
- **Host names**: the engine answers requests for IP addresses, `localhost`, and the names that its own ports and its
  member's gateway are reached by. Anything else is refused, so that a web page cannot reach a node by rebinding a name.
- **Where devp2p listens** has no flag for the address; it stands in `geth.toml`. The raft transport always listens on
  all interfaces and knows no authentication (raft/handler.go): with consensus raft, keep its ports behind a firewall.
- **`--miner.recommit`** (QBFT): how soon a validator that waits with an empty block takes up a transaction, so small
  seems quick. But every such step starts the timer of the round anew, and lets the proposer of a later round send a
  proposal that nobody may accept (consensus/istanbul/qbft/core/request.go: no round changes are enclosed). Rounds
  last 1, 2, 4, 8 … request time-outs; the first one that is longer than this interval never ends while transactions
  come in, and the chain stands still until the clients pause. Seen with three validators, one restarted on a busy
  machine, and 2.5 s, for minutes; with four, one killed, and 1 s; with seven, two killed, and 3 s (the engine's
  default). So it never happens: a transaction that comes while an empty block waits is in the next block, after
  `empty_block_period_seconds` at the latest.
- **Peers** are the same sorted list on every node, itself included: with raft the place in `static-nodes.json` is the
  raft ID, so it must not depend on the order of members in an operator's specification.
- **clique** signs with an account, not with the node key. It is the same key, as a keystore beside the other secrets of
  the config directory, unlocked at the start. GoQuorum refuses that together with HTTP unless `--allow-insecure-unlock`
  is given. What this leaves open: whoever reaches the node's RPC may have it sign *transactions* of the signer's
  account (`eth_sendTransaction`), which has no funds and no rights in any contract; blocks and votes it cannot sign.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import PurePosixPath

from muniment.identity.model import (
    Endpoint,
    Identities,
    MemberIdentity,
    NodeIdentity,
    clique_keystore_paths,
    node_key_path,
    tls_certificate_path,
)
from muniment.kernel.encoding import pretty_json
from muniment.kernel.errors import InputError
from muniment.spec.model import Consensus, Consortium, Tls
from muniment.topology import privacy
from muniment.topology.layout import Layout
from muniment.topology.model import Addresses, File, Port, Prepare, Probe, Program, Role, Workload, secret

GENESIS = PurePosixPath("genesis.json")
NODE_KEY = PurePosixPath("nodekey")
ENGINE_CONFIG = PurePosixPath("geth.toml")
KEYSTORE = PurePosixPath("keystore")
PASSPHRASE = PurePosixPath("passphrase")
CERTIFICATE = PurePosixPath("tls/certificate.pem")
AUTHORITY = PurePosixPath("tls/authority.pem")
IPC = "geth.ipc"

HTTP_NAMESPACES = "eth,net,web3,txpool"
"""See the module's description for those that are left out."""

FEWEST_PEER_SLOTS = 50
"""The engine's default. A third of the slots is kept for outgoing connections, so larger consortia need more."""

IDLE_SECONDS = 10
"""So long a node keeps a connection to its manager that it does not use; managers keep them longer."""

STOP_SECONDS = 30

NEVER = "24h"
"""Longer than any round; the engine knows no other way to say never."""


def nodes(
    spec: Consortium, identities: Identities, addresses: Addresses, genesis: str, layout: Layout = Layout.MEMBER
) -> tuple[Workload, ...]:
    """One workload for each node of every own member.

    Raises `InputError` when another operator's public file lacks the addresses of its nodes.
    """
    peers = pretty_json([_enode(*place) for place in _places(spec, identities, addresses)])
    return tuple(
        _Node(spec, member, node, addresses, layout).workload(genesis, peers, identities)
        for member in identities.members
        if member.member in identities.own
        for node in member.nodes
    )


Place = tuple[NodeIdentity, Endpoint, Endpoint | None]
"""A node and where it is reached by devp2p and, with consensus raft, by raft."""


def _places(spec: Consortium, identities: Identities, addresses: Addresses) -> list[Place]:
    return [
        _place(spec, node, addresses, own=member.member in identities.own)
        for member in sorted(identities.members, key=lambda member: member.member)
        for node in member.nodes
    ]


def _place(spec: Consortium, node: NodeIdentity, addresses: Addresses, *, own: bool) -> Place:
    raft = spec.chain.consensus is Consensus.RAFT
    if own:
        return node, addresses.reach(node.name, "p2p"), addresses.reach(node.name, "raft") if raft else None
    if node.p2p is None or (raft and node.raft is None):
        raise InputError(
            f"{node.name} has no {'raft' if node.p2p else 'p2p'} address: ask its operator for a new public file"
            " (`muniment member export`)"
        )
    return node, node.p2p, node.raft if raft else None


def _enode(node: NodeIdentity, p2p: Endpoint, raft: Endpoint | None) -> str:
    if raft and raft.host != p2p.host:
        raise InputError(
            f"{node.name} is reached by raft at {raft.host} and by p2p at {p2p.host}: GoQuorum wants one host for both"
        )
    suffix = f"&raftport={raft.port}" if raft else ""
    return f"enode://{node.enode_id}@{_host_and_port(p2p)}?discport=0{suffix}"


class _Node:
    """One node while its workload is put together."""

    def __init__(
        self, spec: Consortium, member: MemberIdentity, node: NodeIdentity, addresses: Addresses, layout: Layout
    ) -> None:
        self.spec = spec
        self.member = member.member
        self.node = node
        self.addresses = addresses
        self.name = node.name
        self.agent = layout.of_node(node.name)
        self.config = addresses.config(node.name)
        self.data = addresses.data(node.name)
        self.manager = privacy.manager_name(node.name)
        self.private = spec.privacy.enabled
        self.authority = member.privacy.authority if member.privacy and spec.privacy.tls is Tls.STRICT else None

    def workload(self, genesis: str, peers: str, identities: Identities) -> Workload:
        """The whole workload."""
        place = ("--datadir", str(self.data), "--nodekey", str(self.config / NODE_KEY))
        agent = Port("api", *self._endpoints(self.agent, "api"))
        return Workload(
            name=self.name,
            member=self.member,
            role=Role.NODE,
            program=Program.GETH,
            arguments=(
                *("--config", str(self.config / ENGINE_CONFIG)),
                *place,
                *self._chain(),
                *self._network(len(identities.nodes)),
                *self._interfaces(),
                *self._privacy(),
                *self._consensus(),
            ),
            ready=Probe(f"{agent.url}/nodes/{self.name}/ready"),
            ports=self._ports(),
            files=(
                File(GENESIS, genesis),
                File(NODE_KEY, secret(node_key_path(self.member, self.name))),
                File(ENGINE_CONFIG, self._engine_config()),
                File(PurePosixPath("static-nodes.json"), peers, in_data=True),
                File(PurePosixPath("permissioned-nodes.json"), peers, in_data=True),
                *self._signer_files(),
                *self._certificates(),
            ),
            # Without a privacy manager private transactions are refused instead of waiting for one.
            environment=() if self.private else (("PRIVATE_CONFIG", "ignore"),),
            needs=(Probe(f"{self._status_url()}/ready"),) if self.private else (),
            prepare=Prepare(
                # With the node key, else the engine makes a second one and leaves it in the volume.
                arguments=(*place, "init", str(self.config / GENESIS)),
                # `init` writes chaindata whole before it begins with this.
                creates=PurePosixPath("geth/lightchaindata/CURRENT"),
            ),
            stop_seconds=STOP_SECONDS,
        )

    def _chain(self) -> tuple[str, ...]:
        # The gas limit stays that of the genesis: miners move it towards what these two say.
        gas = str(self.spec.chain.gas_limit)
        return (
            *("--networkid", str(self.spec.chain.id)),
            *("--syncmode", "full"),
            *("--gcmode", "archive"),
            # A snapshot serves the public chain's state sizes; here it only costs time at a restart.
            "--snapshot=false",
            *("--cache", str(self.spec.chain.cache_megabytes)),
            *("--miner.gastarget", gas),
            *("--miner.gaslimit", gas),
            *("--miner.gasprice", "0"),
            *("--miner.etherbase", self.node.coinbase),
        )

    def _network(self, node_count: int) -> tuple[str, ...]:
        return (
            "--nodiscover",
            "--permissioned",
            *("--nat", "none"),
            *("--maxpeers", str(max(FEWEST_PEER_SLOTS, 2 * node_count))),
        )

    def _interfaces(self) -> tuple[str, ...]:
        rpc, ws = self.addresses.listen(self.name, "rpc"), self.addresses.listen(self.name, "ws")
        metrics = self.addresses.listen(self.name, "metrics")
        return (
            *("--http", "--http.addr", rpc.host, "--http.port", str(rpc.port)),
            *("--http.api", HTTP_NAMESPACES, "--http.vhosts", ",".join(self._host_names())),
            # No --ws.origins and no --http.corsdomain: web pages of this machine may connect, no others.
            *("--ws", "--ws.addr", ws.host, "--ws.port", str(ws.port), "--ws.api", HTTP_NAMESPACES),
            *("--ipcpath", str(self.addresses.run(self.name) / IPC)),
            *("--metrics", "--metrics.addr", metrics.host, "--metrics.port", str(metrics.port)),
            *("--verbosity", "3"),
        )

    def _privacy(self) -> tuple[str, ...]:
        if not self.private:
            return ()
        manager = _host_and_port(self.addresses.reach(self.manager, "q2t"))
        certificate = str(self.config / CERTIFICATE)
        tls = (
            *("--ptm.tls.mode", "strict", "--ptm.tls.rootca", str(self.config / AUTHORITY)),
            *("--ptm.tls.clientcert", certificate, "--ptm.tls.clientkey", certificate),
        )
        return (
            *("--ptm.url", f"{privacy.scheme(self.spec)}://{manager}"),
            *("--ptm.timeout", str(privacy.NODE_TIMEOUT_SECONDS), "--ptm.dialtimeout", "1"),
            *("--ptm.http.idletimeout", str(IDLE_SECONDS)),
            *(tls if self.authority else ()),
        )

    def _status_url(self) -> str:
        return f"http://{_host_and_port(self.addresses.reach(self.manager, 'status'))}"

    def _certificates(self) -> tuple[File, ...]:
        if not self.authority:
            return ()
        return (
            # The engine reads it at every new connection (common/http/transport.go, `GetClientCertificate`).
            File(CERTIFICATE, secret(tls_certificate_path(self.member)), reloaded=True),
            File(AUTHORITY, self.authority),
        )

    def _consensus(self) -> tuple[str, ...]:
        chain = self.spec.chain
        if chain.consensus is Consensus.RAFT:
            port = self.addresses.listen(self.name, "raft").port
            milliseconds = chain.block_period_seconds * 1000
            names = () if _is_ip(self.addresses.reach(self.name, "raft").host) else ("--raftdnsenable",)
            return ("--raft", "--raftport", str(port), "--raftblocktime", str(milliseconds), *names)
        if not self.node.validator:
            return ()
        if chain.consensus is Consensus.QBFT:
            return ("--mine", "--miner.recommit", NEVER)
        if chain.consensus is Consensus.IBFT:
            return ("--mine",)
        return (
            "--mine",
            *("--keystore", str(self.config / KEYSTORE)),
            *("--unlock", self.node.coinbase, "--password", str(self.config / PASSPHRASE)),
            "--allow-insecure-unlock",
        )

    def _signer_files(self) -> tuple[File, ...]:
        if self.spec.chain.consensus is not Consensus.CLIQUE or not self.node.validator:
            return ()
        keystore, passphrase = clique_keystore_paths(self.member, self.name)
        return (File(KEYSTORE / "signer.json", secret(keystore)), File(PASSPHRASE, secret(passphrase)))

    def _engine_config(self) -> str:
        return f'[Node.P2P]\nListenAddr = "{_host_and_port(self.addresses.listen(self.name, "p2p"))}"\n'

    def _host_names(self) -> list[str]:
        reached = (self.addresses.reach(name, "rpc").host for name in (self.name, f"{self.member}-gateway"))
        further = self.spec.members[self.member].hosts
        return list(dict.fromkeys(["localhost", *(host for host in (*reached, *further) if not _is_ip(host))]))

    def _ports(self) -> tuple[Port, ...]:
        ports = (
            Port("rpc", *self._endpoints(self.name, "rpc")),
            Port("ws", *self._endpoints(self.name, "ws"), scheme="ws"),
            Port("p2p", *self._endpoints(self.name, "p2p"), scheme="tcp"),
            Port("metrics", *self._endpoints(self.name, "metrics"), path="/debug/metrics/prometheus"),
        )
        if self.spec.chain.consensus is Consensus.RAFT:
            return (*ports, Port("raft", *self._endpoints(self.name, "raft"), scheme="tcp"))
        return ports

    def _endpoints(self, workload: str, port: str) -> tuple[Endpoint, Endpoint]:
        return self.addresses.listen(workload, port), self.addresses.reach(workload, port)


def _host_and_port(endpoint: Endpoint) -> str:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{host}:{endpoint.port}"


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
