"""Payloads are made and opened as Tessera does it; nobody else opens them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.privacy.boxes import KeyPair, SharedKeys, seal
from muniment.privacy.enclave import Enclave
from muniment.privacy.envelope import for_recipient
from muniment.privacy.errors import ConflictError, MalformedError, UnknownKeyError, UnopenableError
from muniment.privacy.values import Payload, PrivacyFlag, RawPayload
from tests.unit.privacy_payloads import (
    ALPHA,
    BETA,
    EXEC_HASH,
    GAMMA,
    PAIR_A,
    PAIR_B,
    PAIR_C,
    STORED,
    A,
    B,
    C,
    of_hex,
    payloads,
)

RAW = RawPayload(A, of_hex("ciphertext"), of_hex("raw_encrypted_key"), of_hex("nonce"))
BOTH = Enclave([PAIR_B, PAIR_C])
PSV = PrivacyFlag.PRIVATE_STATE_VALIDATION


def damaged(data: bytes) -> bytes:
    return data[:-1] + bytes((data[-1] ^ 1,))


# Keys


def test_the_first_key_is_the_default() -> None:
    assert (BOTH.keys, BOTH.default) == ((B, C), B)
    assert BOTH.holds(C)
    assert not BOTH.holds(A)
    with pytest.raises(ValueError, match="at least one"):
        Enclave([])


def test_the_fingerprint_names_the_set_of_keys() -> None:
    assert (
        BOTH.fingerprint == Enclave([PAIR_C, PAIR_B]).fingerprint == hashlib.sha256(min(B, C) + max(B, C)).hexdigest()
    )
    assert BOTH.fingerprint != BETA.fingerprint


def test_the_sender_and_those_who_always_get_everything_are_recipients_too() -> None:
    enclave = Enclave([PAIR_A], always_send_to=[C, B])
    assert enclave.recipients((B, B), A) == (B, A, C)
    assert enclave.recipients((), A) == (A, C, B)
    assert ALPHA.recipients((), A) == (A,)


# The vectors


@pytest.mark.parametrize(("enclave", "payload"), [(ALPHA, STORED), (BETA, STORED), (BETA, for_recipient(STORED, B))])
def test_the_vectors_open(enclave: Enclave, payload: Payload) -> None:
    assert enclave.open(payload) == b"hello"
    assert enclave.master_key(payload) == of_hex("master_key")
    assert enclave.opening_keys(payload) == enclave.keys


def test_the_raw_vector_opens_and_is_wrapped_to_the_stored_one() -> None:
    assert ALPHA.open_raw(RAW) == b"hello"
    known = replace(STORED, boxes=(), recipients=())
    assert ALPHA.wrap(RAW, (B, A), known=known) == STORED


# Making and opening


@given(st.binary(max_size=300), st.sampled_from([(A,), (B, A), (B, C, A)]))
def test_recipients_open_what_was_sealed_and_nobody_else(plain: bytes, recipients: tuple[bytes, ...]) -> None:
    payload = ALPHA.seal(plain, A, recipients)
    assert payload.recipients == recipients
    assert len(payload.ciphertext) == len(plain) + 16
    for enclave, key in ((ALPHA, A), (BETA, B), (GAMMA, C)):
        if key in recipients:
            assert enclave.open(for_recipient(payload, key)) == plain
            assert enclave.open(payload, key) == plain
        else:
            assert enclave.opening_keys(payload) == ()
            with pytest.raises(UnopenableError, match="no key held here"):
                enclave.open(payload)


def test_every_payload_has_its_own_keys_and_nonces() -> None:
    one, other = (ALPHA.seal(b"same", A, (B, A)) for _ in range(2))
    assert one.hash != other.hash
    assert len({one.nonce, one.recipient_nonce, other.nonce, other.recipient_nonce}) == 4


def test_flags_and_lists_are_kept() -> None:
    payload = ALPHA.seal(b"x", A, [B, A], flag=PSV, exec_hash=EXEC_HASH, group_id=b"g")
    assert (payload.flag, payload.exec_hash, payload.group_id) == (PSV, EXEC_HASH, b"g")
    mandatory = ALPHA.seal(b"x", A, [B, A], flag=PrivacyFlag.MANDATORY_RECIPIENTS, mandatory=[B])
    assert mandatory.mandatory == (B,)


def test_a_sender_that_is_not_held_cannot_send() -> None:
    for make in (lambda: ALPHA.seal(b"x", B, (B,)), lambda: ALPHA.seal_raw(b"x", B)):
        with pytest.raises(UnknownKeyError, match="not held"):
            make()


def test_a_recipient_that_is_no_key_is_refused() -> None:
    with pytest.raises(MalformedError, match="public key"):
        ALPHA.seal(b"x", A, (bytes(32), A))


def test_the_key_asked_for_is_used_and_no_other() -> None:
    payload = ALPHA.seal(b"x", A, (B, A))
    assert BOTH.open(payload, B) == b"x"
    for key in (C, A):
        with pytest.raises(UnopenableError):
            BOTH.open(payload, key)


def test_all_keys_that_open_are_named() -> None:
    payload = ALPHA.seal(b"x", A, (B, C, A))
    assert BOTH.opening_keys(payload) == (B, C)
    assert BOTH.opening_keys(for_recipient(payload, C)) == (C,)
    assert BOTH.opening_keys(replace(payload, boxes=(damaged(payload.boxes[0]), *payload.boxes[1:]))) == (C,)


def test_a_box_that_opens_is_not_enough() -> None:
    payload = ALPHA.seal(b"x", A, (B, A))
    wrong_master = seal(b"\x01" * 32, payload.recipient_nonce, SharedKeys(PAIR_A)(B))
    for spoilt in (
        replace(payload, ciphertext=damaged(payload.ciphertext)),
        replace(payload, boxes=(wrong_master, payload.boxes[1])),
        replace(payload, boxes=(seal(b"short", payload.recipient_nonce, SharedKeys(PAIR_A)(B)), payload.boxes[1])),
        replace(payload, nonce=damaged(payload.nonce)),
        replace(payload, recipient_nonce=damaged(payload.recipient_nonce)),
        replace(payload, sender=C),
    ):
        assert BETA.opening_keys(spoilt) == ()
        with pytest.raises(UnopenableError):
            BETA.open(spoilt)


def test_with_private_state_validation_the_box_of_a_recipient_is_the_first() -> None:
    payload = ALPHA.seal(b"x", A, (B, C, A), flag=PSV, exec_hash=EXEC_HASH)
    pushed = for_recipient(payload, C)
    assert pushed.recipients == (C, B, A)
    assert GAMMA.open(pushed) == b"x"
    assert BOTH.opening_keys(pushed) == (C,)
    with pytest.raises(UnopenableError):
        BETA.open(pushed)


def test_payloads_of_very_old_managers_open() -> None:
    payload = ALPHA.seal(b"x", A, (B, C))
    nameless = replace(payload, recipients=())
    assert GAMMA.open(nameless) == b"x"
    assert GAMMA.named(nameless) == replace(payload, boxes=payload.boxes[1:], recipients=(C,))
    assert BOTH.named(nameless) == payload
    # The sender kept no box for itself.
    assert ALPHA.open(payload) == b"x"
    assert ALPHA.named(payload) is payload
    with pytest.raises(UnopenableError):
        ALPHA.named(nameless)


@given(payloads())
def test_any_payload_opens_or_is_refused(payload: Payload) -> None:
    ours = replace(payload, sender=A, recipients=(*payload.recipients[:-1], A) if payload.recipients else ())
    for each in (payload, ours):
        assert ALPHA.opening_keys(each) == ()
        for refuse in (ALPHA.open, ALPHA.master_key):
            with pytest.raises(UnopenableError):
                refuse(each)


# Raw payloads


def test_a_raw_payload_is_for_its_sender_alone() -> None:
    raw = ALPHA.seal_raw(b"x", A)
    assert ALPHA.open_raw(raw) == b"x"
    for enclave, wrong in ((BETA, raw), (ALPHA, replace(raw, encrypted_key=damaged(raw.encrypted_key)))):
        with pytest.raises(UnopenableError):
            enclave.open_raw(wrong)


def test_wrapping_keeps_the_hash() -> None:
    raw = ALPHA.seal_raw(b"x", A)
    payload = ALPHA.wrap(raw, ALPHA.recipients((B,), A))
    assert payload.hash == raw.hash
    assert BETA.open(for_recipient(payload, B)) == b"x"
    assert ALPHA.wrap(raw, (B, A)).recipient_nonce != payload.recipient_nonce


def test_a_second_try_makes_the_same_boxes_and_adds_new_ones() -> None:
    raw = ALPHA.seal_raw(b"x", A)
    first = ALPHA.wrap(raw, (B, A))
    second = ALPHA.wrap(raw, (C, B, A), known=first)
    assert second.recipient_nonce == first.recipient_nonce
    assert second.boxes[1:] == first.boxes
    assert GAMMA.open(for_recipient(second, C)) == b"x"
    assert ALPHA.wrap(raw, (B, A), known=second) == first


def test_another_payload_is_not_taken_for_an_earlier_try() -> None:
    raw = ALPHA.seal_raw(b"x", A)
    with pytest.raises(ConflictError, match="sent before with other contents"):
        ALPHA.wrap(raw, (B, A), known=STORED)


# Affected transactions


def test_who_can_open_a_payload_proves_it_and_parties_agree() -> None:
    contract = ALPHA.seal(b"contract", A, (B, A), flag=PrivacyFlag.PARTY_PROTECTION)
    at_beta = for_recipient(contract, B)
    call = BETA.seal(b"call", B, (A, B), flag=PrivacyFlag.PARTY_PROTECTION, affected={contract.hash: at_beta})
    master = ALPHA.master_key(contract)
    expected = hashlib.sha3_512(call.ciphertext + contract.ciphertext + master).digest()
    assert call.affected == {contract.hash: expected}
    assert ALPHA.security_hash(call.ciphertext, contract) == expected
    assert ALPHA.proves(call, contract.hash, contract)
    assert BETA.proves(call, contract.hash, at_beta)


def test_who_cannot_open_a_payload_cannot_prove_it() -> None:
    contract = ALPHA.seal(b"contract", A, (B, A), flag=PrivacyFlag.PARTY_PROTECTION)
    with pytest.raises(UnopenableError):
        GAMMA.seal(b"call", C, (A, C), flag=PrivacyFlag.PARTY_PROTECTION, affected={contract.hash: contract})
    forged = replace(GAMMA.seal(b"call", C, (A, C)), affected={contract.hash: b"\x01" * 64})
    assert not ALPHA.proves(forged, contract.hash, contract)
    assert not ALPHA.proves(forged, b"\x02" * 64, contract)
    assert not GAMMA.proves(forged, contract.hash, contract)


def test_a_proof_is_for_one_transaction() -> None:
    contract = ALPHA.seal(b"contract", A, (B, A))
    call = ALPHA.seal(b"call", A, (B, A), affected={contract.hash: contract})
    replayed = replace(ALPHA.seal(b"other", A, (B, A)), affected=call.affected)
    assert not ALPHA.proves(replayed, contract.hash, contract)


# Challenges


def test_a_challenge_is_for_one_key_and_the_sender_has_no_box() -> None:
    payload = ALPHA.seal_challenge("6ba7b810-9dad-11d1-80b4-00c04fd430c8", B)
    assert (payload.sender, payload.recipients, payload.flag) == (A, (B,), PrivacyFlag.STANDARD)
    assert BETA.open(payload) == b"6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    with pytest.raises(MalformedError):
        ALPHA.seal_challenge("x", bytes(32))


# Payloads that come home


def test_our_own_payload_that_comes_home_gets_our_box_again() -> None:
    payload = ALPHA.seal(b"x", A, (B, C, A))
    home = ALPHA.complete(for_recipient(payload, B))
    assert home == replace(payload, boxes=(payload.boxes[0], payload.boxes[2]), recipients=(B, A))
    assert ALPHA.open(home) == b"x"
    assert ALPHA.complete(payload) == payload


def test_with_private_state_validation_it_names_all_recipients_again() -> None:
    payload = ALPHA.seal(b"x", A, (B, C, A), flag=PSV, exec_hash=EXEC_HASH)
    home = ALPHA.complete(for_recipient(payload, C))
    assert home == replace(payload, recipients=(C, A, B), boxes=payload.boxes[1:])
    assert ALPHA.opening_keys(home) == (A,)


def test_all_our_keys_get_their_boxes() -> None:
    two = Enclave([PAIR_A, PAIR_C])
    payload = two.seal(b"x", A, (B, C, A), flag=PSV, exec_hash=EXEC_HASH)
    home = two.complete(for_recipient(payload, B))
    assert dict(zip(home.recipients, home.boxes, strict=True)) == dict(
        zip(payload.recipients, payload.boxes, strict=True)
    )


@pytest.mark.parametrize("flag", PrivacyFlag)
def test_who_brings_a_payload_home_cannot_make_himself_a_party(flag: PrivacyFlag) -> None:
    payload = replace(ALPHA.seal(b"x", A, (B, A)), flag=flag)
    intruder = KeyPair.generate()
    box = seal(b"\x01" * 32, payload.recipient_nonce, SharedKeys(intruder)(A))
    home = ALPHA.complete(replace(payload, recipients=(B, intruder.public), boxes=(payload.boxes[0], box)))
    assert Enclave([intruder]).opening_keys(home) == ()
    assert home.recipients[: len(home.boxes)] == (B, A)
    home = ALPHA.complete(replace(payload, recipients=(B, intruder.public), boxes=payload.boxes[:1]))
    assert Enclave([intruder]).opening_keys(home) == ()


def test_what_does_not_open_or_is_not_ours_is_not_completed() -> None:
    payload = for_recipient(ALPHA.seal(b"x", A, (B, A)), B)
    with pytest.raises(UnopenableError):
        ALPHA.complete(replace(payload, ciphertext=damaged(payload.ciphertext)))
    with pytest.raises(UnopenableError):
        ALPHA.complete(replace(payload, boxes=()))
    with pytest.raises(UnknownKeyError):
        BETA.complete(payload)


def test_errors_tell_no_contents() -> None:
    payload = ALPHA.seal(b"secret contents", A, (B, A))
    with pytest.raises(UnopenableError) as raised:
        GAMMA.open(payload)
    assert "secret" not in str(raised.value)
    assert PAIR_B.secret.hex() not in repr(BETA)
