"""Identities of made-up members, computed from small numbers: the same in every run, without any file."""

from __future__ import annotations

from muniment.identity import keys, libp2p
from muniment.identity.model import Identities, MemberIdentity, NodeIdentity, PeerIdentity, PrivacyIdentity
from muniment.identity.privacy_keys import privacy_key_file, public_privacy_key

AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBjTCCATOgAwIBAgIUZOljiU+UkxqsKYGTWh7yREFzx8AwCgYIKoZIzj0EAwIw
IzEhMB8GA1UEAwwYbXVuaW1lbnQgYWxwaGEgYXV0aG9yaXR5MB4XDTI1MTIzMTIz
MDAwMFoXDTM2MDEwMjAwMDAwMFowIzEhMB8GA1UEAwwYbXVuaW1lbnQgYWxwaGEg
YXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEM8hce8RPoyo3OmEn
co2H2uFqiC9iLEESuMaUHBJpPzwrX3ep3b41suV9iFK0If5w6Wr+WR0KpL91pTIW
Z1C9IKNFMEMwEgYDVR0TAQH/BAgwBgEB/wIBADAOBgNVHQ8BAf8EBAMCAQYwHQYD
VR0OBBYEFMwtvIXRUeJ2kHRa/GsUrOnl5XQbMAoGCCqGSM49BAMCA0gAMEUCIEsY
KlIxx7onq5W5yZSCg/VjGPRYsQGDjbpIwxZ2B8EKAiEApVvRSMq/2veb4xSdHeIh
qMtLYlLySGiTigXw9sZWc1o=
-----END CERTIFICATE-----
"""
"""Certificate of an authority whose secret key nobody has."""


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


def privacy_key(number: int) -> str:
    """The public privacy key whose secret is this number."""
    return public_privacy_key(privacy_key_file(number.to_bytes(32, "big")))


def privacy(first_key: int, *, keys: int = 1, authority: str | None = AUTHORITY) -> PrivacyIdentity:
    """The privacy identity with so many keys."""
    return PrivacyIdentity(keys=tuple(privacy_key(first_key + n) for n in range(keys)), authority=authority)


def member(
    name: str,
    *,
    first_key: int,
    nodes: int = 1,
    validators: int | None = None,
    peers: int = 0,
    privacy_keys: int = 1,
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
        privacy=privacy(first_key, keys=privacy_keys) if privacy_keys else None,
    )


def consortium(*members: MemberIdentity) -> Identities:
    """These members, all of them ours."""
    return Identities(members=members, own=frozenset(one.member for one in members))
