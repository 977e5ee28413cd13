"""Encodings: what comes from outside ends in a value or a ValueError."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.kernel.encoding import from_hex, parse_json, pretty_json, to_hex


@pytest.fixture
def generous_recursion() -> Iterator[None]:
    """The limit that py_ecc, a dependency of eth-account, sets for the whole process."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("generous_recursion")
@pytest.mark.parametrize("bracket", [b"[", b'{"a":'])
def test_deep_nesting_is_refused_and_does_not_end_the_process(bracket: bytes) -> None:
    with pytest.raises(ValueError, match="recursion"):
        parse_json(bracket * 1_000_000)


@given(st.binary(max_size=200))
def test_rubbish_only_raises_value_errors(rubbish: bytes) -> None:
    try:
        parse_json(rubbish)
    except ValueError:
        return


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_what_is_written_is_read(value: object) -> None:
    assert parse_json(pretty_json(value)) == value


@given(st.binary())
def test_hex_round_trip(data: bytes) -> None:
    assert from_hex(to_hex(data)) == data


def test_hex_needs_its_prefix() -> None:
    with pytest.raises(ValueError, match="0x"):
        from_hex("ff")
