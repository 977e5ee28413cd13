"""Payloads for tests: the published vectors, three members' enclaves, and arbitrary valid payloads."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from muniment.privacy.boxes import KeyPair
from muniment.privacy.enclave import Enclave
from muniment.privacy.values import Payload, PrivacyFlag

VECTOR: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "privacy.json").read_text())

PAIR_A = KeyPair.of(bytes.fromhex(VECTOR["secret_a"]))
PAIR_B = KeyPair.of(bytes.fromhex(VECTOR["secret_b"]))
PAIR_C = KeyPair.of(b"\x0c" * 32)
A, B, C = PAIR_A.public, PAIR_B.public, PAIR_C.public
ALPHA, BETA, GAMMA = Enclave([PAIR_A]), Enclave([PAIR_B]), Enclave([PAIR_C])

EXEC_HASH = base64.b64encode(b"\x07" * 32)


def of_hex(name: str) -> bytes:
    """A vector's bytes."""
    return bytes.fromhex(VECTOR[name])


STORED = Payload(
    sender=A,
    ciphertext=of_hex("ciphertext"),
    nonce=of_hex("nonce"),
    boxes=(of_hex("box_b"), of_hex("box_a")),
    recipient_nonce=of_hex("recipient_nonce"),
    recipients=(B, A),
)
"""The vector's payload as its sender keeps it."""

_keys = st.binary(min_size=32, max_size=32)


@st.composite
def payloads(draw: st.DrawFn) -> Payload:
    """Any payload that Tessera could have made; its contents are random bytes."""
    flag = draw(st.sampled_from(PrivacyFlag))
    recipients = draw(st.lists(_keys, max_size=5, unique=True))
    few = flag is PrivacyFlag.PRIVATE_STATE_VALIDATION or not recipients
    boxes = draw(st.integers(0, len(recipients) or 2)) if few else len(recipients)
    hashes = st.binary(min_size=64, max_size=64)
    return Payload(
        sender=draw(_keys),
        ciphertext=draw(st.binary(min_size=16, max_size=200)),
        nonce=draw(st.binary(min_size=24, max_size=24)),
        boxes=tuple(draw(st.binary(min_size=48, max_size=48)) for _ in range(boxes)),
        recipient_nonce=draw(st.binary(min_size=24, max_size=24)),
        recipients=tuple(recipients),
        flag=flag,
        affected=draw(st.dictionaries(hashes, hashes, max_size=3)),
        exec_hash=EXEC_HASH if flag is PrivacyFlag.PRIVATE_STATE_VALIDATION else b"",
        mandatory=tuple(draw(st.lists(_keys, min_size=1, max_size=3)))
        if flag is PrivacyFlag.MANDATORY_RECIPIENTS
        else (),
        group_id=draw(st.binary(max_size=32)),
    )
