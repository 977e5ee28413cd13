"""NaCl as the published vectors have it, and shared keys that are computed once."""

from __future__ import annotations

import base64
import hashlib

import pytest

from muniment.privacy.boxes import SHARED_KEYS, KeyPair, SharedKeys, fresh_key, fresh_nonce, seal, unseal
from muniment.privacy.errors import MalformedError, UnopenableError
from muniment.privacy.values import payload_hash
from tests.unit.privacy_payloads import PAIR_A, PAIR_B, STORED, VECTOR, A, B, of_hex


def test_public_keys_belong_to_their_secret_keys() -> None:
    assert base64.b64encode(A).decode() == VECTOR["public_a"]
    assert base64.b64encode(B).decode() == VECTOR["public_b"]


def test_both_ends_share_one_key() -> None:
    assert SharedKeys(PAIR_A)(B) == SharedKeys(PAIR_B)(A) == of_hex("shared_key")


def test_sealing_follows_the_vectors() -> None:
    master, nonce = of_hex("master_key"), of_hex("nonce")
    sealed = seal(VECTOR["plain"].encode(), nonce, master)
    assert sealed == STORED.ciphertext
    assert base64.b64encode(payload_hash(sealed)).decode() == VECTOR["hash"]
    shared = SharedKeys(PAIR_A)
    assert seal(master, of_hex("recipient_nonce"), shared(B)) == of_hex("box_b")
    assert seal(master, of_hex("recipient_nonce"), shared(A)) == of_hex("box_a")
    assert seal(master, nonce, shared(A)) == of_hex("raw_encrypted_key")


def test_what_was_sealed_opens_unless_it_was_changed() -> None:
    key, nonce = fresh_key(), fresh_nonce()
    assert (len(key), len(nonce)) == (32, 24)
    sealed = seal(b"", nonce, key)
    assert unseal(sealed, nonce, key) == b""
    for wrong in (sealed[:-1], b"", bytes(16), sealed + b"\x00"):
        with pytest.raises(UnopenableError):
            unseal(wrong, nonce, key)
    with pytest.raises(UnopenableError):
        unseal(sealed, nonce[:-1], key)


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), b"\x01" * 31, b""])
def test_what_is_no_public_key_is_refused(key: bytes) -> None:
    with pytest.raises(MalformedError, match="public key"):
        SharedKeys(PAIR_A)(key)


def test_shared_keys_are_kept_but_not_without_end() -> None:
    shared = SharedKeys(PAIR_A)
    first = shared(B)
    assert shared(B) is first
    for count in range(SHARED_KEYS):
        shared(KeyPair.of(hashlib.sha256(str(count).encode()).digest()).public)
    again = shared(B)
    assert again == first
    assert again is not first


def test_a_secret_key_is_not_shown() -> None:
    pair = KeyPair.generate()
    assert pair != KeyPair.generate()
    assert str(pair.secret) not in repr(pair)
    with pytest.raises(ValueError, match="32 bytes"):
        KeyPair.of(b"short")
