"""Tessera's binary format: byte for byte, and nothing but `MalformedError` for anything else."""

from __future__ import annotations

import base64
import hashlib
import struct
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.privacy.envelope import MOST_PARTIES, decode, encode, for_recipient
from muniment.privacy.errors import MalformedError, UnknownKeyError
from muniment.privacy.values import Payload, PrivacyFlag
from tests.unit.privacy_payloads import EXEC_HASH, STORED, VECTOR, A, B, C, payloads

PSV = replace(STORED, flag=PrivacyFlag.PRIVATE_STATE_VALIDATION, exec_hash=EXEC_HASH)
MANDATORY = replace(STORED, flag=PrivacyFlag.MANDATORY_RECIPIENTS, mandatory=(B,))


def number(value: int) -> bytes:
    return struct.pack(">q", value)


def field(data: bytes) -> bytes:
    return number(len(data)) + data


@pytest.mark.parametrize(("name", "payload"), [("stored", STORED), ("pushed", for_recipient(STORED, B))])
def test_the_vectors_are_written_byte_for_byte_and_read(name: str, payload: Payload) -> None:
    data = encode(payload)
    assert len(data) == VECTOR[name]["bytes"]
    assert hashlib.sha256(data).hexdigest() == VECTOR[name]["sha256"]
    assert decode(data) == payload
    assert base64.b64encode(payload.hash).decode() == VECTOR["hash"]


def test_the_first_fields_stand_where_tessera_looks_for_them() -> None:
    pushed = for_recipient(STORED, B)
    assert encode(pushed) == b"".join(
        (
            field(A),
            field(STORED.ciphertext),
            field(STORED.nonce),
            number(1) + field(STORED.boxes[0]),
            field(STORED.recipient_nonce),
            number(1) + field(B),
            field(b"\x00"),
            number(0),
        )
    )


@given(payloads())
def test_what_is_written_is_read_again(payload: Payload) -> None:
    assert decode(encode(payload)) == payload


def test_the_input_may_end_after_the_recipient_nonce_or_after_the_recipients() -> None:
    data = encode(STORED)
    without_flag = data[: -len(field(b"\x00") + number(0))]
    assert decode(without_flag) == STORED
    keys = number(2) + field(B) + field(A)
    assert decode(without_flag[: -len(keys)]) == replace(STORED, recipients=())


@pytest.mark.parametrize("flag", [4, 0x7F, 0xFF])
def test_an_unknown_flag_is_read_as_standard(flag: int) -> None:
    data = encode(STORED)
    assert decode(data[:-9] + bytes((flag,)) + data[-8:]) == STORED


@given(payloads(), st.data())
def test_a_part_of_a_payload_is_refused_or_is_an_older_payload(payload: Payload, data: st.DataObject) -> None:
    whole = encode(payload)
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        found = decode(part)
    except MalformedError:
        return
    assert (found.ciphertext, found.boxes) == (payload.ciphertext, payload.boxes)
    assert found.recipients in ((), payload.recipients)


@pytest.mark.parametrize("payload", [STORED, PSV, MANDATORY, for_recipient(PSV, B)])
def test_a_changed_byte_is_refused_or_seen(payload: Payload) -> None:
    whole = encode(payload)
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 0xFF
        try:
            found = decode(bytes(changed))
        except MalformedError:
            continue
        # The one exception: an unknown flag is 0, as in Tessera.
        assert found != payload or payload.flag is PrivacyFlag.STANDARD


@pytest.mark.parametrize("value", [-1, -(2**63), 2**63 - 1, 2**40, 2**31, MOST_PARTIES + 1])
@pytest.mark.parametrize("payload", [STORED, PSV, MANDATORY])
def test_a_false_length_or_count_costs_nothing(payload: Payload, value: int) -> None:
    whole = encode(payload)
    tracemalloc.start()
    try:
        for at in range(len(whole) - 7):
            changed = whole[:at] + number(value) + whole[at + 8 :]
            try:
                decode(changed)
            except MalformedError:
                continue
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_a_count_of_empty_fields_is_bounded() -> None:
    start = field(A) + field(STORED.ciphertext) + field(STORED.nonce)
    count = MOST_PARTIES + 1
    with pytest.raises(MalformedError, match=f"cannot have {count} times the field box"):
        decode(start + number(count) + number(0) * count)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sender": b"\x01" * 31}, "sender of a payload has 32 bytes, not 31"),
        ({"nonce": b""}, "nonce of a payload has 24 bytes"),
        ({"recipient_nonce": b"\x01" * 25}, "nonce of a payload has 24 bytes"),
        ({"ciphertext": b"\x01" * 15}, "at least 16 bytes"),
        ({"boxes": (b"\x01" * 47, b"\x01" * 48)}, "box of a payload has 48 bytes"),
        ({"recipients": (A, b"\x01")}, "recipient of a payload has 32 bytes"),
        ({"recipients": (A, A)}, "names a recipient twice"),
        ({"recipients": (A,)}, "more boxes than recipients"),
        ({"affected": {b"\x01" * 63: b"\x01" * 64}}, "hash of a payload has 64 bytes"),
        ({"affected": {b"\x01" * 64: b"\x01" * 65}}, "hash of a payload has 64 bytes"),
        ({"group_id": b"\x01" * 65}, "group id of a payload has at most"),
    ],
)
def test_fields_have_their_lengths(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(MalformedError, match=sentence):
        decode(encode(replace(STORED, **changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [b"", b"A", b"AAA", b"AAAA=", b"AA AA", b"\xff\xff\xff\xff", b"AAAA" * 33])
def test_an_exec_hash_is_base64_because_the_node_would_skip_the_transaction(text: bytes) -> None:
    with pytest.raises(MalformedError, match="exec hash"):
        decode(encode(replace(PSV, exec_hash=text)))


def test_mandatory_recipients_are_some() -> None:
    with pytest.raises(MalformedError, match="mandatory recipients if and only if"):
        decode(encode(replace(MANDATORY, mandatory=())))


def test_nothing_may_follow() -> None:
    for payload in (replace(STORED, group_id=b"g"), replace(PSV, group_id=b"g")):
        with pytest.raises(MalformedError, match="1 bytes too many"):
            decode(encode(payload) + b"\x00")


@given(st.binary(max_size=600))
def test_rubbish_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(data)


def test_a_recipient_gets_its_own_box_and_key() -> None:
    pushed = for_recipient(STORED, A)
    assert (pushed.recipients, pushed.boxes) == ((A,), (STORED.boxes[1],))


def test_with_private_state_validation_a_recipient_knows_all_and_comes_first() -> None:
    payload = replace(PSV, recipients=(B, C, A), boxes=(b"b" * 48, b"c" * 48, b"a" * 48))
    pushed = for_recipient(payload, C)
    assert (pushed.recipients, pushed.boxes) == ((C, B, A), (b"c" * 48,))
    assert decode(encode(pushed)) == pushed


def test_who_has_no_box_gets_nothing() -> None:
    for payload in (STORED, replace(PSV, recipients=(B, A, C))):
        with pytest.raises(UnknownKeyError, match="no box for this key"):
            for_recipient(payload, C)


def test_a_large_payload_is_copied_and_not_more() -> None:
    payload = replace(STORED, ciphertext=bytes(4 << 20))
    data = encode(payload)
    tracemalloc.start()
    try:
        assert decode(data) == payload
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(data) + 1_000_000
