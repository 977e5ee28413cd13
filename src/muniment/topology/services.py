"""The services of one member beside its agent: the notary. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath

from muniment.identity.model import Endpoint, Identities, account_paths, rest_password_path
from muniment.kernel.encoding import pretty_json
from muniment.kernel.errors import InputError
from muniment.proof.contract import CONTRACT_ADDRESS
from muniment.spec.model import Consensus, Consortium
from muniment.topology import database
from muniment.topology.ipfs import cluster_name, kubo_name
from muniment.topology.layout import Layout
from muniment.topology.model import Addresses, File, Port, Probe, Program, Role, Workload, secret

NOTARY_CONFIG = PurePosixPath("notary.json")
KEYSTORE = PurePosixPath("keystore.json")
PASSPHRASE = PurePosixPath("passphrase")
CLUSTER_PASSWORD = PurePosixPath("cluster-rest-password")
NOTARY_STOP_SECONDS = 20

BATCH_FILES = 5000
"""A batch closes at this many files: one directory of IPFS and one tree, still quick to import."""

BATCH_BYTES = 256 << 20
"""A batch closes at this many bytes of content."""

LONGEST_WINDOW_SECONDS = 5.0


def notary(
    spec: Consortium, member: str, identities: Identities, addresses: Addresses, layout: Layout = Layout.MEMBER
) -> Workload:
    """The member's notary: takes files, keeps them on the member's peers, anchors them through the member's gateway.

    Raises `InputError` when the member has fewer peers of its own than content must be pinned on.
    """
    _check_peers(spec, member, identities)
    name = f"{member}-notary"
    config = addresses.config(name)
    api = Port("api", addresses.listen(name, "api"), addresses.reach(name, "api"))
    metrics = Port("metrics", api.listen, api.reach, path="/metrics")
    keystore, passphrase = account_paths(member)
    connection, password = database.connection(spec.members[member].database, config)
    settings = {
        "listen": {"host": api.listen.host, "port": api.listen.port},
        "member": member,
        "network": spec.name,
        "chain_id": spec.chain.id,
        "consensus": spec.chain.consensus.value,
        "contract": CONTRACT_ADDRESS,
        "confirmations": _confirmations(spec, identities),
        "rpc": _url(addresses.reach(f"{member}-gateway", "rpc")),
        "keystore_file": str(config / KEYSTORE),
        "passphrase_file": str(config / PASSPHRASE),
        "database": connection,
        "data_dir": str(addresses.data(name)),
        "peers": [
            {
                "kubo": _url(addresses.reach(kubo_name(member, peer), "api")),
                "cluster": _url(addresses.reach(cluster_name(member, peer), "api")),
                "cluster_id": peer.cluster_id,
            }
            for peer in identities.of(member).peers
        ],
        "cluster_password_file": str(config / CLUSTER_PASSWORD),
        "replication": {
            "min": spec.ipfs.replication.min,
            "max": min(spec.ipfs.replication.max, sum(len(each.peers) for each in identities.members)),
        },
        "batch": {
            "window_seconds": min(float(spec.chain.block_period_seconds), LONGEST_WINDOW_SECONDS),
            "max_files": BATCH_FILES,
            "max_bytes": BATCH_BYTES,
        },
        **({"replicas": layout.notaries} if layout.notaries > 1 else {}),
    }
    return Workload(
        name=name,
        member=member,
        role=Role.NOTARY,
        program=Program.MUNIMENT,
        arguments=("notary", "serve", "--config", str(config / NOTARY_CONFIG)),
        ready=Probe(f"{api.url}/ready"),
        ports=(api, metrics),
        files=(
            File(NOTARY_CONFIG, pretty_json(settings)),
            File(KEYSTORE, secret(keystore)),
            File(PASSPHRASE, secret(passphrase)),
            *password,
            File(CLUSTER_PASSWORD, secret(rest_password_path(member))),
        ),
        stop_seconds=NOTARY_STOP_SECONDS,
    )


def _check_peers(spec: Consortium, member: str, identities: Identities) -> None:
    count, needed = len(identities.of(member).peers), spec.ipfs.replication.min
    if count < needed:
        raise InputError(
            f"the notary of member {member} needs {needed} peers of its own (ipfs.replication.min), and it has {count}:"
            f" raise members.{member}.peers, or set members.{member}.notary to false"
        )


def _confirmations(spec: Consortium, identities: Identities) -> int:
    """Blocks to wait for: none where a block is final at once; with clique a branch that more than half of the signers
    have built on, plus one (EIP-225: a signer may sign one of floor(n/2) + 1 blocks)."""
    if spec.chain.consensus is not Consensus.CLIQUE:
        return 0
    return len(identities.validators) // 2 + 1


def _url(endpoint: Endpoint) -> str:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"http://{host}:{endpoint.port}"
