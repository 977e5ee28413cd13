"""A statement has one encoding, and only that one is read."""

from __future__ import annotations

import dataclasses
from typing import Any

import libipld
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.kernel.errors import InputError
from muniment.proof import canonical, statement
from muniment.proof.canonical import MalformedError
from muniment.proof.statement import MAX_BYTES, Statement
from muniment.proof.unixfs import CHUNK_BYTES, MAX_LINKS
from tests.unit.proofs import cbor, statement_of

STATEMENT = statement_of(b"the first file", 1)
FIELDS: dict[str, Any] = libipld.decode_dag_cbor(STATEMENT.encode())


def test_its_bytes_never_change() -> None:
    """What was anchored once must be readable for ever: another encoding needs another domain tag."""
    assert STATEMENT.encode().hex() == (
        "a961746d6e6f746172792d6c6561662f3163636964783b6261666b7265696868736f70717779666c67613563753372697062"
        "67706c726d62646f6d6e377637667a6b3332776b71707868636c686473717a6d6473616c7458203261b4a8fbe54b47c0109b"
        "1cc71a9cb5baa4c7bc53e6f8436a7bd757a73a8d596473697a650e6664696765737458221220e7939f0b60ab303a2a6e2878"
        "4cf5c5811b98dfd7e5cab7ab2a0fb9c4b38e50cb666d656d62657265616c706861676e6574776f726b6464656d6f6b636964"
        "5f70726f66696c65a4646861736868736861322d323536676368756e6b65726c73697a652d31303438353736696d61785f6c"
        "696e6b7318ae6a7261775f6c6561766573f56b72656365697665645f61741b0000018bcfe56801"
    )


def test_no_digest_becomes_a_link() -> None:
    """A SHA-256 multihash looks like a CID of version 0, and some salts look like one of version 1."""
    like_a_cid = bytes.fromhex("0155001c") + bytes(28)
    assert b"\xd8\x2a" not in dataclasses.replace(STATEMENT, salt=like_a_cid).encode()


def test_the_domain_tag_stands_first() -> None:
    assert STATEMENT.encode()[1:].startswith(b"\x61t\x6dnotary-leaf/1")


def test_a_statement_is_read_as_it_was_written() -> None:
    assert statement.decode(STATEMENT.encode()) == STATEMENT


def test_what_is_in_it() -> None:
    assert list(FIELDS) == ["t", "cid", "salt", "size", "digest", "member", "network", "cid_profile", "received_at"]
    assert FIELDS["digest"][:2] == b"\x12\x20"
    assert FIELDS["cid_profile"] == {
        "chunker": f"size-{CHUNK_BYTES}",
        "raw_leaves": True,
        "max_links": MAX_LINKS,
        "hash": "sha2-256",
    }


def test_the_salt_is_not_shown() -> None:
    assert "salt" not in repr(STATEMENT)


@pytest.mark.parametrize(
    "change",
    [
        {"digest": bytes(34)},
        {"digest": b"\x12\x20" + bytes(31)},
        {"size": -1},
        {"size": 2**63},
        {"cid": ""},
        {"cid": "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"},
        {"cid": STATEMENT.cid.upper()},
        {"salt": bytes(31)},
        {"received_at": -1},
        {"network": ""},
        {"network": "n" * 65},
        {"member": ""},
    ],
)
def test_values_out_of_bounds_are_neither_written_nor_read(change: dict[str, Any]) -> None:
    (name,) = change
    with pytest.raises(MalformedError, match=name):
        dataclasses.replace(STATEMENT, **change).encode()
    fields = FIELDS | change
    with pytest.raises(MalformedError):
        statement.decode(cbor(fields))


@pytest.mark.parametrize(
    "change",
    [
        {"t": "notary-batch/1"},
        {"t": None},
        {"more": 1},
        {"size": True},
        {"size": "1"},
        {"digest": "text"},
        {"cid_profile": {"chunker": "size-262144", "raw_leaves": True, "max_links": MAX_LINKS, "hash": "sha2-256"}},
        {"cid_profile": None},
        {"member": None},
    ],
)
def test_other_fields_are_refused(change: dict[str, Any]) -> None:
    fields = FIELDS | change
    with pytest.raises(MalformedError):
        statement.decode(cbor(fields))


@pytest.mark.parametrize("name", ["t", "cid", "salt", "size", "digest", "member", "network", "cid_profile"])
def test_a_missing_field_is_refused(name: str) -> None:
    fields = {key: value for key, value in FIELDS.items() if key != name}
    with pytest.raises(MalformedError):
        statement.decode(cbor(fields))


def test_another_encoding_of_the_same_statement_is_refused() -> None:
    encoded = STATEMENT.encode()
    longer_integer = encoded.replace(b"\x64size\x0e", b"\x64size\x18\x0e")
    assert longer_integer != encoded
    indefinite = b"\xbf" + encoded[1:] + b"\xff"
    long_map_header = b"\xb8\x09" + encoded[1:]
    swapped = encoded.replace(b"\x61t\x6dnotary-leaf/1", b"") + b"\x61t\x6dnotary-leaf/1"
    for other in (longer_integer, indefinite, long_map_header, swapped, encoded + b"\0", encoded[:-1]):
        with pytest.raises(MalformedError):
            statement.decode(other)


def test_the_length_is_bounded() -> None:
    with pytest.raises(MalformedError, match="too many"):
        statement.decode(bytes(MAX_BYTES + 1))


def test_malformed_input_is_wrong_input_with_a_status_of_its_own() -> None:
    assert issubclass(MalformedError, InputError)
    assert MalformedError.exit_status == 3


@given(st.binary(max_size=300))
def test_rubbish_raises_nothing_else(rubbish: bytes) -> None:
    with pytest.raises(MalformedError):
        statement.decode(rubbish)


@given(st.data())
def test_a_changed_byte_is_another_statement_or_none(data: st.DataObject) -> None:
    encoded = STATEMENT.encode()
    place, bit = data.draw(st.integers(0, len(encoded) - 1)), data.draw(st.integers(0, 7))
    changed = encoded[:place] + bytes([encoded[place] ^ 1 << bit]) + encoded[place + 1 :]
    try:
        decoded = statement.decode(changed)
    except MalformedError:
        return
    assert decoded != STATEMENT
    assert decoded.encode() == changed


nested = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=9) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=9,
)


def test_the_helper_of_these_tests_encodes_as_we_do() -> None:
    assert cbor(FIELDS) == STATEMENT.encode()


@given(nested)
def test_other_cbor_raises_nothing_else(value: Any) -> None:
    with pytest.raises(MalformedError):
        statement.decode(cbor(value))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(MalformedError):
        canonical.decode("x", b"\x81" * 4000, limit=MAX_BYTES)


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32), st.text(min_size=1, max_size=64))
def test_every_statement_is_read_as_it_was_written(number: int, salt: bytes, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    made = Statement(
        digest=b"\x12\x20" + salt,
        size=number,
        cid=STATEMENT.cid,
        salt=salt,
        received_at=number,
        network=name,
        member=name,
    )
    assert statement.decode(made.encode()) == made
