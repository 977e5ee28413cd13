"""The JSON of the node's interface, field by field."""

from __future__ import annotations

import contextlib
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.privacy import wire_json
from muniment.privacy.errors import MalformedError
from muniment.privacy.values import Payload, PrivacyFlag, Received, SendRequest, SignedRequest

KEY, HASH = bytes(range(32)), bytes(range(64))


def b64(data: bytes) -> str:
    return b64encode(data).decode()


def test_a_whole_request_to_send_is_read() -> None:
    request = wire_json.send_request(
        {
            "payload": b64(b"x"),
            "from": b64(KEY),
            "to": [b64(KEY)],
            "affectedContractTransactions": [b64(HASH)],
            "execHash": "abc=",
            "privacyFlag": 2,
            "mandatoryRecipients": [b64(KEY)],
        }
    )
    assert request == SendRequest(
        b"x", KEY, (KEY,), (HASH,), b"abc=", PrivacyFlag.MANDATORY_RECIPIENTS, mandatory=(KEY,)
    )


@pytest.mark.parametrize("nothing", [None, []])
def test_what_is_absent_or_null_is_nothing(nothing: object) -> None:
    lists = dict.fromkeys(("to", "affectedContractTransactions", "mandatoryRecipients"), nothing)
    document = {"hash": b64(HASH), "execHash": None, "privacyFlag": None, **lists}
    assert wire_json.signed_request(document) == SignedRequest(HASH)
    assert wire_json.send_request({"payload": b64(b"x"), "from": ""}) == SendRequest(b"x")


def test_an_answer_has_a_number_as_its_flag_and_text_as_its_exec_hash() -> None:
    told = wire_json.received(
        Received(b"x", KEY, (KEY,), PrivacyFlag.PRIVATE_STATE_VALIDATION, (HASH,), exec_hash=b"abc=")
    )
    assert told == {
        "payload": b64(b"x"),
        "affectedContractTransactions": [b64(HASH)],
        "execHash": "abc=",
        "privacyFlag": 3,
        "managedParties": [b64(KEY)],
        "senderKey": b64(KEY),
    }
    assert type(told["privacyFlag"]) is int


def test_an_encoded_payload_comes_back_as_it_was_but_for_its_flag() -> None:
    payload = Payload(KEY, b"c" * 20, bytes(24), (bytes(48),), bytes(24), (KEY,), affected={HASH: HASH})
    told = wire_json.encoded(payload)
    assert told["affectedContractTransactions"] == {b64(HASH): b64(HASH)}
    assert wire_json.encoded_payload(told) == Payload(KEY, b"c" * 20, bytes(24), (bytes(48),), bytes(24), (KEY,))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary().map(b64),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    "payload", "from", "to", "hash", "affectedContractTransactions", "execHash", "privacyFlag", "mandatoryRecipients",
    "senderKey", "cipherText", "cipherTextNonce", "recipientBoxes", "recipientNonce", "recipientKeys",
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(FIELDS), anything))
def test_rubbish_is_malformed_and_nothing_else(document: dict[str, Any]) -> None:
    for read in (
        wire_json.send_request,
        wire_json.signed_request,
        wire_json.store_request,
        wire_json.encoded_payload,
    ):
        with contextlib.suppress(MalformedError):
            read(document)
