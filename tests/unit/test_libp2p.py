from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.identity import libp2p

seeds = st.binary(min_size=32, max_size=32)


def test_known_vector() -> None:
    # RFC 8032, section 7.1, test 1: the seed and its public key; wrapped as libp2p's crypto.proto says.
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    key = libp2p.peer_key_of_seed(seed)
    assert base64.b64decode(key) == bytes.fromhex("08011240") + seed + public
    # Computed by kubo 0.42 from this very key (`ipfs id`).
    assert libp2p.peer_id(key) == "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV"


@given(seeds)
def test_every_key_has_an_id_of_the_known_form(seed: bytes) -> None:
    found = libp2p.peer_id(libp2p.peer_key_of_seed(seed))
    assert found.startswith("12D3KooW")
    assert len(found) == 52


def test_new_keys_differ() -> None:
    assert len({libp2p.peer_id(libp2p.new_peer_key()) for _ in range(20)}) == 20


@given(seeds, st.integers(0, 67), st.integers(1, 255))
def test_a_changed_byte_is_found(seed: bytes, at: int, mask: int) -> None:
    raw = bytearray(base64.b64decode(libp2p.peer_key_of_seed(seed)))
    raw[at] ^= mask
    with pytest.raises(ValueError, match="private key"):
        libp2p.peer_id(base64.b64encode(raw).decode())


@given(st.text(max_size=120))
def test_rubbish(text: str) -> None:
    with pytest.raises(ValueError, match="private key"):
        libp2p.peer_id(text)


def test_swarm_key_has_three_lines() -> None:
    first, second, third, end = libp2p.new_swarm_key().split("\n")
    assert (first, second, end) == ("/key/swarm/psk/1.0.0/", "/base16/", "")
    assert len(bytes.fromhex(third)) == 32


def test_cluster_secret() -> None:
    assert len(bytes.fromhex(libp2p.new_cluster_secret())) == 32
    assert libp2p.new_cluster_secret() != libp2p.new_cluster_secret()
