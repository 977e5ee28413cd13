"""Public parts of identities, as values. Secret parts never appear here: they stay in `identity.store`.

Names: node `alpha-1`; peer 1 of alpha is the pair `alpha-kubo-1` and `alpha-cluster-1`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from muniment.spec.base import Name, Strict

EnodeId = Annotated[str, StringConstraints(pattern="^[0-9a-f]{128}$")]
Address = Annotated[str, StringConstraints(pattern="^0x[0-9a-fA-F]{40}$")]
PrivacyKey = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9+/]{43}=$")]
"""Public key of a privacy manager: base64 of 32 bytes."""
PeerId = Annotated[str, StringConstraints(pattern="^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$")]


class Endpoint(Strict):
    """Where a port of something is reached."""

    host: str = Field(min_length=1, max_length=253, pattern="^[A-Za-z0-9.:_-]+$")
    """IP address or DNS name."""

    port: int = Field(ge=1, le=65535)
    """TCP port."""


class NodeIdentity(Strict):
    """Public part of one node."""

    name: str
    """`alpha-1`."""
    enode_id: EnodeId
    """Uncompressed public key of the node key without its 0x04, 128 hex digits."""
    coinbase: Address
    """Address of the node key: the validator's (QBFT, IBFT, clique) or minter's address, with checksum."""
    validator: bool
    """Whether it is in the genesis set."""
    p2p: Endpoint | None = None
    """devp2p address; set in exported files and for members of other operators."""
    raft: Endpoint | None = None
    """Raft address; likewise, with consensus raft only."""


class PeerIdentity(Strict):
    """Public part of one peer: the pair of kubo and cluster."""

    index: int = Field(ge=1)
    """1 for the first peer of the member."""
    kubo_id: PeerId
    cluster_id: PeerId
    kubo: Endpoint | None = None
    """Swarm address of kubo; set in exported files and for members of other operators."""
    cluster: Endpoint | None = None
    """Swarm address of the cluster service; likewise."""


class PrivacyIdentity(Strict):
    """Public part of what a member's privacy managers share."""

    keys: tuple[PrivacyKey, ...] = Field(min_length=1, max_length=16)
    """The first one is the sender when a transaction names none."""

    endpoint: Endpoint | None = None
    """Where managers of other members reach them; set in exported files and for members of other operators."""

    authority: Annotated[str, StringConstraints(pattern="^-----BEGIN CERTIFICATE-----\n", max_length=4096)] | None = (
        None
    )
    """Certificate (PEM) of the member's TLS authority, which signs the certificates of its managers and nodes."""


class MemberIdentity(Strict):
    """Public part of one member: what members exchange as one small file."""

    format: Literal["muniment-member/1"] = "muniment-member/1"
    member: Name
    account: Address
    """The member's submitting account: its notary signs anchors with it."""
    nodes: tuple[NodeIdentity, ...] = Field(min_length=1, max_length=16)
    peers: tuple[PeerIdentity, ...] = Field(max_length=16)
    privacy: PrivacyIdentity | None = None
    """Absent where there are no private transactions, and in files of versions that knew none."""


class Identities(Strict):
    """The public parts of all members of the consortium, in the order of the specification."""

    members: tuple[MemberIdentity, ...]
    own: frozenset[str]
    """Names of the members that this operator runs."""

    def of(self, member: str) -> MemberIdentity:
        """The member's public part; raises `KeyError` for an unknown name."""
        for identity in self.members:
            if identity.member == member:
                return identity
        raise KeyError(member)

    @property
    def nodes(self) -> tuple[NodeIdentity, ...]:
        """All nodes of all members."""
        return tuple(node for member in self.members for node in member.nodes)

    @property
    def validators(self) -> tuple[NodeIdentity, ...]:
        """All validating nodes of all members."""
        return tuple(node for node in self.nodes if node.validator)


# Places of secret parts in the identity store, relative to its root. The topology names them; only a target's
# `realise` step reads them.
SWARM_KEY = "consortium/swarm.key"
CLUSTER_SECRET = "consortium/cluster.secret"  # noqa: S105 - a path


def node_key_path(member: str, node: str) -> str:
    """Node key: 64 hex digits."""
    return f"{member}/nodes/{node}/nodekey"


def clique_keystore_paths(member: str, node: str) -> tuple[str, str]:
    """The node key once more, as a keystore v3, and its passphrase; with consensus clique only, whose engine signs
    blocks by an account."""
    return f"{member}/signers/{node}/keystore.json", f"{member}/signers/{node}/passphrase"


def peer_key_path(member: str, workload: str) -> str:
    """libp2p private key of a kubo or cluster workload: base64 of the protobuf."""
    return f"{member}/peers/{workload}/private_key"


def account_paths(member: str) -> tuple[str, str]:
    """Keystore v3 and its passphrase of the submitting account."""
    return f"{member}/account/keystore.json", f"{member}/account/passphrase"


def rest_password_path(member: str) -> str:
    """Password of the cluster REST API of this member's peers (user `muniment`)."""
    return f"{member}/cluster-rest-password"


def database_password_path(member: str) -> str:
    """Password of the member's database server, where it is not one file on this machine."""
    return f"{member}/database/password"


def privacy_key_path(member: str, number: int) -> str:
    """Secret key of a privacy key pair, number 1 on, in Tessera's file format for keys without a password."""
    return f"{member}/privacy/keys/{member}-key-{number}/secret.key"


def tls_authority_paths(member: str) -> tuple[str, str]:
    """Certificate of the member's TLS authority (PEM), and its secret key, which only making certificates needs."""
    return f"{member}/privacy/tls/authority.pem", f"{member}/privacy/tls/authority.key"


def tls_certificate_path(member: str) -> str:
    """Secret key and certificate (PEM, in one file, so that both change at once) of the member's managers and nodes."""
    return f"{member}/privacy/tls/certificate.pem"
