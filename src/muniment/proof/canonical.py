"""Deterministic CBOR of flat maps: one value has one encoding, and only that one is read.

Encoding: RFC 8949 section 4.2.1 within the IPLD DAG-CBOR specification (text keys in the order of their encodings,
shortest integers, definite lengths, no floating-point numbers). The first entry of every map is its domain tag, which
says what the bytes are, so that bytes made for one purpose can never pass for another.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, TypeVar

import libipld

from muniment.kernel.errors import InputError

T = TypeVar("T")

TAG_KEY: Final = "t"
"""Key of the domain tag. It is the shortest and therefore the first; every other key is longer."""


class MalformedError(InputError):
    """Bytes that are not what they must be: a receipt, statement or header that nobody of us wrote (exit status 3)."""

    exit_status: ClassVar[int] = 3


def encode(tag: str, fields: dict[str, Any]) -> bytes:
    """The encoding of `fields` (text, bytes, whole numbers, booleans, maps of such) under the domain tag `tag`."""
    return libipld.encode_dag_cbor({TAG_KEY: tag, **fields})


def decode(tag: str, data: bytes, *, limit: int) -> dict[str, Any]:
    """The fields of an encoding of at most `limit` bytes.

    Raises `MalformedError` when `data` is longer, is not CBOR, is not encoded canonically, or has another tag.
    """
    if len(data) > limit:
        raise MalformedError(f"{len(data)} bytes are too many for a {tag}: at most {limit}")
    try:
        value = libipld.decode_dag_cbor(data)
        canonical = libipld.encode_dag_cbor(value) == data
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise MalformedError(
            f"the bytes of a {tag} are not deterministic CBOR: get it again from its origin"
        ) from error
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
