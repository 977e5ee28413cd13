"""Deterministic CBOR of maps: one value has one encoding, and only that one is read.

Encoding: RFC 8949 section 4.2.1 (shortest integers, definite lengths, keys in the order of their encodings) for text,
byte strings, whole numbers from 0 to 2**64 - 1, booleans, and maps of these with text as keys. Nothing else is written
or read. libipld reads here but does not write: it writes every byte string that looks like a CID as a link (tag 42),
and a SHA-256 multihash looks like one.

The first entry of every map is its domain tag, which says what the bytes are, so that bytes made for one purpose can
never pass for another.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar, Final, TypeVar

import libipld

from muniment.kernel.errors import InputError

T = TypeVar("T")

TAG_KEY: Final = "t"
"""Key of the domain tag. It is the shortest and therefore the first; every other key is longer."""

_UNSIGNED, _BYTES, _TEXT, _MAP, _SIMPLE = 0, 2, 3, 5, 7
_FALSE, _TRUE = 20, 21
_ONE_BYTE: Final = 24
_LENGTHS: Final = ((24, 1), (25, 2), (26, 4), (27, 8))


class MalformedError(InputError):
    """Bytes that are not what they must be: a receipt, statement or header that nobody of us wrote (exit status 3)."""

    exit_status: ClassVar[int] = 3


def encode(tag: str, fields: dict[str, Any]) -> bytes:
    """The encoding of `fields` (text, bytes, whole numbers, booleans, maps of such) under the domain tag `tag`."""
    return _encoded({TAG_KEY: tag, **fields})


def decode(tag: str, data: bytes, *, limit: int) -> dict[str, Any]:
    """The fields of an encoding of at most `limit` bytes.

    Raises `MalformedError` when `data` is longer, is not CBOR of that kind, is not encoded canonically, or has another
    tag.
    """
    if len(data) > limit:
        raise MalformedError(f"{len(data)} bytes are too many for a {tag}: at most {limit}")
    try:
        value = libipld.decode_dag_cbor(data)
        canonical = _encoded(value) == data
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"the bytes of a {tag} are not deterministic CBOR: get it from its origin") from error
    if not canonical:
        raise MalformedError(f"the bytes of a {tag} are not encoded canonically: get it again from its origin")
    if not isinstance(value, dict) or value.pop(TAG_KEY, None) != tag:
        raise MalformedError(f"the bytes are not a {tag}: they lack its domain tag")
    return value


def take(fields: dict[str, Any], name: str, kind: type[T]) -> T:
    """Remove a field and return it; raises `MalformedError` when it is missing or of another type."""
    value = fields.pop(name, None)
    # A boolean is an instance of int in Python, never a number in CBOR.
    if type(value) is not kind:
        raise MalformedError(f"field {name} is missing or not of type {kind.__name__}: get it again from its origin")
    return value


def done(fields: dict[str, Any]) -> None:
    """Raise `MalformedError` when fields are left that nobody took."""
    if fields:
        raise MalformedError(f"unknown field {min(fields)}: this version of muniment does not know it")


def _encoded(value: Any) -> bytes:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bytes):
        return _head(_BYTES, len(value)) + value
    if isinstance(value, bool):
        return _head(_SIMPLE, _TRUE if value else _FALSE)
    if isinstance(value, int):
        return _head(_UNSIGNED, value)
    if isinstance(value, dict):
        entries = sorted([(_key(key), _encoded(inner)) for key, inner in value.items()])
        return _head(_MAP, len(entries)) + b"".join([part for entry in entries for part in entry])
    raise ValueError(f"{type(value).__name__} has no place here")


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _head(_TEXT, len(encoded)) + encoded


# The same few keys stand in every statement.
_key = lru_cache(maxsize=256)(_text)


def _head(major: int, argument: int) -> bytes:
    if 0 <= argument < _ONE_BYTE:
        return bytes((major << 5 | argument,))
    for code, length in _LENGTHS:
        if 0 <= argument < 1 << 8 * length:
            return bytes((major << 5 | code,)) + argument.to_bytes(length)
    raise ValueError(f"{argument} is not between 0 and 2**64 - 1")
