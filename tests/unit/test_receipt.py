"""A receipt from anywhere is read strictly, or refused with one sentence; nothing else can happen."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.proof.canonical import MalformedError
from muniment.proof.receipt import MAX_BYTES, Level, MalformedReceiptError, build, parse
from tests.unit.proofs import HEADER, LEAVES, log_of, pending_receipt, receipt_of

VECTOR = Path(__file__).parents[1] / "vectors" / "receipt.json"
RECEIPT: dict[str, Any] = json.loads(receipt_of(1).to_json())


def test_every_version_reads_this_receipt() -> None:
    assert parse(VECTOR.read_bytes()) == receipt_of(1)


@pytest.mark.parametrize(
    ("receipt", "level"),
    [(pending_receipt(0), "pending"), (receipt_of(0, None), "batched"), (receipt_of(0), "anchored")],
)
def test_every_level_is_read_as_it_was_written(receipt: Any, level: str) -> None:
    text = receipt.to_json()
    assert "\n" not in text
    assert json.loads(text)["level"] == level
    assert parse(text.encode()) == receipt


def test_what_a_pending_receipt_does_not_have_is_left_out() -> None:
    assert list(json.loads(pending_receipt(0).to_json())) == ["format", "level", "subject", "statement"]


def test_the_subject_is_copied_from_the_statement() -> None:
    subject = RECEIPT["subject"]
    assert subject["size"] == 14
    assert subject["digests"][0].startswith("0x1220")
    assert subject["name_hint"] == "a name"
    assert b"a name" not in bytes.fromhex(RECEIPT["statement"][2:])


def test_a_long_name_is_cut() -> None:
    assert len(build(LEAVES[0], name_hint="名" * 5000).subject.name_hint or "") == 1024


def test_no_receipt_is_built_of_rubbish() -> None:
    with pytest.raises(MalformedError):
        build(b"rubbish")
    with pytest.raises(ValueError, match="level"):
        build(LEAVES[0], log=log_of(0))
    assert build(LEAVES[0], log=log_of(0), header=HEADER.encode()).level is Level.BATCHED


def changed(*path: Any, to: Any) -> bytes:
    """The receipt with another value at `path`, or without it when that is an ellipsis."""
    document = json.loads(json.dumps(RECEIPT))
    part = document
    for name in path[:-1]:
        part = part[name]
    if to is ...:
        del part[path[-1]]
    else:
        part[path[-1]] = to
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b'"text"',
        b"[" * 100_000,
        b'{"format":' * 20_000,
        b" " * (MAX_BYTES + 1),
        changed("format", to="notary-receipt/2"),
        changed("level", to="witnessed"),
        changed("level", to="pending"),
        changed("level", to="batched"),
        changed("more", to=1),
        changed("anchor", "header_rlp", to="0x"),
        changed("log", to=...),
        changed("batch", to=...),
        changed("anchor", to=None),
        changed("statement", to=RECEIPT["statement"][2:]),
        changed("statement", to=RECEIPT["statement"].upper()),
        changed("statement", to=RECEIPT["statement"][:-1]),
        changed("statement", to=RECEIPT["statement"] + "00"),
        changed("statement", to="0x"),
        changed("statement", to="0x" + "00" * 5000),
        changed("statement", to=RECEIPT["batch"]["header"]),
        changed("batch", "header", to=RECEIPT["statement"]),
        changed("log", "path", to=["0x" + "00" * 32] * 64),
        changed("log", "path", to=["0x00"]),
        changed("log", "leaf_index", to=-1),
        changed("log", "leaf_index", to=1.0),
        changed("log", "leaf_index", to="1"),
        changed("log", "tree_size", to=True),
        changed("log", "tree_size", to=2**63),
        changed("log", "vds", to="other"),
        changed("anchor", "contract", to="0x00"),
        changed("anchor", "seq", to=0),
        changed("anchor", "type", to="bitcoin"),
        changed("subject", "digests", to=[]),
        changed("subject", "digests", to=[RECEIPT["subject"]["digests"][0]] * 5),
        changed("subject", "name_hint", to="n" * 1025),
    ],
)
def test_what_is_no_receipt_is_refused_with_one_sentence(data: bytes) -> None:
    with pytest.raises(MalformedReceiptError) as refused:
        parse(data)
    assert refused.value.exit_status == 3
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_the_sentence_holds_no_terminal_codes() -> None:
    with pytest.raises(MalformedReceiptError) as refused:
        parse(changed("\x1b[2J" + "x" * 1000, to=1))
    assert "\x1b" not in str(refused.value)


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_rubbish_raises_nothing_else(rubbish: bytes) -> None:
    with pytest.raises(MalformedReceiptError):
        parse(rubbish)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def places(draw: st.DrawFn) -> list[Any]:
    """A path to some part of the receipt."""
    path: list[Any] = []
    part: Any = RECEIPT
    while isinstance(part, dict | list) and part and (not path or draw(st.booleans())):
        path.append(draw(st.sampled_from(list(part) if isinstance(part, dict) else list(range(len(part))))))
        part = part[path[-1]]
    return path


@given(places(), values)
def test_any_value_anywhere_raises_nothing_else(path: list[Any], value: Any) -> None:
    with contextlib.suppress(MalformedReceiptError):
        parse(changed(*path, to=value))


@given(st.data())
def test_any_changed_byte_raises_nothing_else(data: st.DataObject) -> None:
    text = VECTOR.read_bytes()
    place = data.draw(st.integers(0, len(text) - 1))
    byte = data.draw(st.integers(0, 255))
    with contextlib.suppress(MalformedReceiptError):
        parse(text[:place] + bytes([byte]) + text[place + 1 :])
