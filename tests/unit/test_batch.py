"""A batch header has one encoding, and its digest is over that."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from typing import Any

import libipld
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.proof import batch
from muniment.proof.canonical import MalformedError
from tests.unit.proofs import HEADER, LEAVES, cbor

FIELDS: dict[str, Any] = libipld.decode_dag_cbor(HEADER.encode())


def test_its_bytes_never_change() -> None:
    """What was anchored once must be readable for ever: another encoding needs another domain tag."""
    assert HEADER.digest().hex() == "eaa358651905e14a71f80013c8dc95253692b6b45e933568428cec10b7b9db1b"


def test_a_header_is_read_as_it_was_written() -> None:
    assert batch.decode(HEADER.encode()) == HEADER
    assert cbor(FIELDS) == HEADER.encode()
    assert next(iter(FIELDS.items())) == ("t", "notary-batch/1")


def test_its_digest_is_over_its_bytes() -> None:
    assert HEADER.digest() == hashlib.sha256(HEADER.encode()).digest() == batch.header_digest(HEADER.encode())


def test_the_origin_names_network_and_member() -> None:
    assert batch.origin_of("demo", "alpha") == HEADER.origin


@pytest.mark.parametrize(
    "change",
    [
        {"origin": ""},
        {"origin": "o" * 130},
        {"number": 0},
        {"number": 2**63},
        {"previous": bytes(31)},
        {"size": 0},
        {"root": bytes(33)},
        {"opened_at": -1},
        {"closed_at": 2**63},
    ],
)
def test_values_out_of_bounds_are_neither_written_nor_read(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedError, match=next(iter(change))):
        dataclasses.replace(HEADER, **change).encode()
    with pytest.raises(MalformedError):
        batch.decode(cbor(FIELDS | change))


@pytest.mark.parametrize(
    "change", [{"t": "notary-leaf/1"}, {"more": 1}, {"root": "text"}, {"number": True}, {"size": None}]
)
def test_other_fields_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        batch.decode(cbor(FIELDS | change))


def test_a_statement_is_no_header() -> None:
    with pytest.raises(MalformedError, match="domain tag"):
        batch.decode(LEAVES[0])


@given(st.binary(max_size=200))
def test_rubbish_raises_nothing_else(rubbish: bytes) -> None:
    with pytest.raises(MalformedError):
        batch.decode(rubbish)


@given(st.data())
def test_a_changed_byte_is_another_header_or_none(data: st.DataObject) -> None:
    encoded = HEADER.encode()
    place, bit = data.draw(st.integers(0, len(encoded) - 1)), data.draw(st.integers(0, 7))
    changed = encoded[:place] + bytes([encoded[place] ^ 1 << bit]) + encoded[place + 1 :]
    with contextlib.suppress(MalformedError):
        assert batch.decode(changed).encode() == changed
    assert batch.header_digest(changed) != HEADER.digest()
