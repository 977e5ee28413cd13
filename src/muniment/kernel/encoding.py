"""Byte strings and JSON as the product writes them: 0x-hex, and JSON with sorted keys for files."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json


def to_hex(data: bytes) -> str:
    """Lower-case hexadecimal with the 0x prefix."""
    return "0x" + data.hex()


def from_hex(text: str) -> bytes:
    """The bytes of a 0x-hex string; raises `ValueError` without the prefix or on a bad digit."""
    if not text.startswith("0x"):
        raise ValueError("a byte string starts with 0x")
    return bytes.fromhex(text[2:])


def parse_json(text: bytes | bytearray | str) -> Any:
    """The value of a JSON document that came from outside; raises `ValueError` for anything else.

    Nesting is bounded. The standard library's parser counts on Python's recursion limit, which libraries raise
    (py_ecc to 100,000), and then a request of brackets overflows the stack of the process.
    """
    return from_json(text, allow_inf_nan=False)


def pretty_json(value: Any) -> str:
    """JSON for files that people read: two spaces, sorted keys, a final newline; the same value, the same bytes."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
