"""Identities of made-up members, computed from small numbers: the same in every run, without any file."""

from __future__ import annotations

from muniment.identity import keys, libp2p
from muniment.identity.model import Identities, MemberIdentity, NodeIdentity, PeerIdentity


def node_key(number: int) -> str:
    """The private key that is this number."""
    return f"{number:064x}"


def peer_id(number: int) -> str:
    """The peer ID whose seed is this number."""
    return libp2p.peer_id(libp2p.peer_key_of_seed(number.to_bytes(32, "big")))


def node(name: str, key: int, *, validator: bool = True) -> NodeIdentity:
    """A node with the key of this number."""
    private = node_key(key)
    return NodeIdentity(name=name, enode_id=keys.enode_id(private), coinbase=keys.address(private), validator=validator)


def member(
    name: str, *, first_key: int, nodes: int = 1, validators: int | None = None, peers: int = 0
) -> MemberIdentity:
    """A member whose nodes have the keys from `first_key` on, its account the one 1000 further."""
    count = nodes if validators is None else validators
    return MemberIdentity(
        member=name,
        account=keys.address(node_key(first_key + 1000)),
        nodes=tuple(node(f"{name}-{n + 1}", first_key + n, validator=n < count) for n in range(nodes)),
        peers=tuple(
            PeerIdentity(index=n + 1, kubo_id=peer_id(2 * (first_key + n)), cluster_id=peer_id(2 * (first_key + n) + 1))
            for n in range(peers)
        ),
    )


def consortium(*members: MemberIdentity) -> Identities:
    """These members, all of them ours."""
    return Identities(members=members, own=frozenset(one.member for one in members))
