"""Keys of kubo and of the cluster service: ed25519 in libp2p's protobuf, peer IDs, and the secrets of the swarm.

A private key is the protobuf `PrivateKey{Type: Ed25519 (1), Data: seed ‖ public key}` in base64 (libp2p crypto.proto);
kubo reads it as `Identity.PrivKey`, the cluster service as `private_key` in identity.json. A peer ID is the base58 text
of the identity multihash of the protobuf of the public key (libp2p peer-ids specification): it begins with 12D3KooW.
"""

from __future__ import annotations

import base64
import binascii
import secrets

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_PRIVATE_HEAD = bytes.fromhex("08011240")
_PUBLIC_HEAD = bytes.fromhex("002408011220")
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_SEED_BYTES = 32

SWARM_KEY_HEAD = "/key/swarm/psk/1.0.0/\n/base16/\n"
"""The first two lines of a swarm key (libp2p pnet, version 1); 64 hex digits follow."""


def new_peer_key() -> str:
    """A fresh private key as base64 of its protobuf."""
    return peer_key_of_seed(secrets.token_bytes(_SEED_BYTES))


def peer_key_of_seed(seed: bytes) -> str:
    """The private key of a 32-byte ed25519 seed as base64 of its protobuf."""
    return base64.b64encode(_PRIVATE_HEAD + seed + _public_key(seed)).decode()


def peer_id(key: str) -> str:
    """The peer ID of a private key; raises `ValueError` when the key is damaged or its two halves disagree."""
    try:
        raw = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("a libp2p private key is base64") from error
    if len(raw) != len(_PRIVATE_HEAD) + 2 * _SEED_BYTES or not raw.startswith(_PRIVATE_HEAD):
        raise ValueError("this is not the protobuf of an ed25519 private key")
    seed, public = raw[-2 * _SEED_BYTES : -_SEED_BYTES], raw[-_SEED_BYTES:]
    if base64.b64encode(raw).decode() != key or _public_key(seed) != public:
        raise ValueError("the private key does not belong to the public key beside it")
    return _base58(_PUBLIC_HEAD + public)


def new_swarm_key() -> str:
    """The text of a fresh swarm key; whoever has it may enter the private swarm."""
    return f"{SWARM_KEY_HEAD}{secrets.token_hex(32)}\n"


def new_cluster_secret() -> str:
    """A fresh secret of the cluster's own private network: 64 hex digits, another value than the swarm key's."""
    return secrets.token_hex(32)


def _public_key(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def _base58(raw: bytes) -> str:
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return _BASE58[0] * (len(raw) - len(raw.lstrip(b"\0"))) + text
