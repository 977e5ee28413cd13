"""Payloads in CBOR, as late versions of Tessera keep them; written here by a general CBOR library."""

from __future__ import annotations

from dataclasses import replace

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.privacy.cbor import decode_cbor
from muniment.privacy.envelope import MOST_PARTIES
from muniment.privacy.errors import MalformedError
from muniment.privacy.values import Payload, PrivacyFlag
from tests.unit.privacy_payloads import STORED, A, B, payloads


def array(items: tuple[bytes, ...], *, indefinite: bool) -> bytes:
    written = b"".join(cbor2.dumps(item) for item in items)
    return b"\x9f" + written + b"\xff" if indefinite else cbor2.dumps(list(items))


def encode(payload: Payload, *, indefinite: bool, flag: int | None = None) -> bytes:
    pairs = tuple(item for pair in payload.affected.items() for item in pair)
    return b"".join(
        (
            *map(cbor2.dumps, (payload.sender, payload.ciphertext, payload.nonce, payload.recipient_nonce)),
            array(payload.boxes, indefinite=indefinite),
            array(payload.recipients, indefinite=indefinite),
            cbor2.dumps(int(payload.flag) if flag is None else flag),
            array(pairs, indefinite=indefinite),
            cbor2.dumps(payload.exec_hash),
            array(payload.mandatory, indefinite=indefinite),
            cbor2.dumps(payload.group_id),
        )
    )


@given(payloads(), st.booleans())
def test_every_payload_is_read_with_arrays_of_known_and_unknown_length(payload: Payload, indefinite: bool) -> None:
    assert decode_cbor(encode(payload, indefinite=indefinite)) == payload


@pytest.mark.parametrize("size", [16, 23, 24, 255, 256, 65535, 65536])
def test_every_width_of_a_length_is_read(size: int) -> None:
    payload = replace(STORED, ciphertext=bytes(size))
    assert decode_cbor(encode(payload, indefinite=True)) == payload


@pytest.mark.parametrize("flag", [4, 200, 70000])
def test_an_unknown_flag_is_read_as_standard(flag: int) -> None:
    assert decode_cbor(encode(STORED, indefinite=True, flag=flag)).flag is PrivacyFlag.STANDARD


@given(payloads(), st.booleans(), st.data())
def test_every_part_of_a_payload_is_refused(payload: Payload, indefinite: bool, data: st.DataObject) -> None:
    whole = encode(payload, indefinite=indefinite)
    with pytest.raises(MalformedError):
        decode_cbor(whole[: data.draw(st.integers(0, len(whole) - 1))])


def test_nothing_may_follow() -> None:
    with pytest.raises(MalformedError, match="1 bytes too many"):
        decode_cbor(encode(STORED, indefinite=False) + b"\x00")


@pytest.mark.parametrize(
    "item",
    [
        b"\x5f\x41a\xff",
        b"\x61a",
        b"\xc2\x41\x01",
        b"\x81" * 2000 + b"\x40",
        b"\xf6",
        b"\x5b" + b"\xff" * 8,
        b"\x5a\x7f\xff\xff\xff",
        b"\x5c",
    ],
    ids=["chunked", "text", "tagged", "nested", "null", "2^64 bytes", "2 GiB", "reserved"],
)
def test_anything_but_a_byte_string_is_refused_where_one_belongs(item: bytes) -> None:
    whole = encode(STORED, indefinite=True)
    with pytest.raises(MalformedError):
        decode_cbor(item + whole[len(cbor2.dumps(A)) :])
    assert decode_cbor(whole).sender == A


@pytest.mark.parametrize("head", [b"\x9b" + b"\xff" * 8, b"\x99\xff\xff", b"\x80" * 3, b"\x9f" * 1000])
def test_a_false_count_costs_nothing(head: bytes) -> None:
    start = b"".join(map(cbor2.dumps, (A, STORED.ciphertext, STORED.nonce, STORED.recipient_nonce)))
    with pytest.raises(MalformedError):
        decode_cbor(start + head)


def test_arrays_are_bounded() -> None:
    start = b"".join(map(cbor2.dumps, (A, STORED.ciphertext, STORED.nonce, STORED.recipient_nonce)))
    with pytest.raises(MalformedError, match="more than"):
        decode_cbor(start + b"\x9f" + b"\x40" * (MOST_PARTIES + 1) + b"\xff")
    with pytest.raises(MalformedError, match="cannot have"):
        decode_cbor(start + b"\x9a" + (MOST_PARTIES + 1).to_bytes(4, "big") + b"\x40" * (MOST_PARTIES + 1))


def test_an_affected_transaction_without_security_hash_is_refused() -> None:
    start = b"".join(map(cbor2.dumps, (A, STORED.ciphertext, STORED.nonce, STORED.recipient_nonce, [], [B], 1)))
    with pytest.raises(MalformedError, match="no security hash"):
        decode_cbor(start + b"".join(map(cbor2.dumps, ([b"\x01" * 64], b"", [], b""))))


@given(st.binary(max_size=400))
def test_rubbish_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_cbor(data)
