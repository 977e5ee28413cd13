"""Just enough reading of dag-pb and CAR to check what the product writes, written apart from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import libipld

DAG_PB = 0x70


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and where the next thing begins."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers and values (numbers or bytes) of a protobuf message, in the order of the bytes."""
    at = 0
    while at < len(message):
        tag, at = read_varint(message, at)
        if tag & 7 == 0:
            value, at = read_varint(message, at)
            yield tag >> 3, value
        else:
            length, at = read_varint(message, at)
            yield tag >> 3, message[at : at + length]
            at += length


def links(node: bytes) -> list[tuple[bytes, bytes, int]]:
    """Name, CID and size of every link of a dag-pb node."""
    found = []
    for number, value in fields(node):
        if number == 2:
            link = dict(fields(value))
            found.append((link[2], link[1], link[3]))
    return found


def read_car(data: bytes) -> tuple[dict[str, Any], dict[bytes, bytes]]:
    """Header and blocks of a CAR; every block's hash is checked."""
    length, at = read_varint(data, 0)
    header = libipld.decode_dag_cbor(data[at : at + length])
    at += length
    blocks = {}
    while at < len(data):
        length, at = read_varint(data, at)
        cid, block = data[at : at + 36], data[at + 36 : at + length]
        assert cid[-32:] == hashlib.sha256(block).digest()
        blocks[cid] = block
        at += length
    assert at == len(data)
    return header, blocks


def file_content(cid: bytes, blocks: dict[bytes, bytes]) -> bytes:
    """The content of a file, its leaves in order."""
    block = blocks[cid]
    if cid[1] == 0x55:
        return block
    return b"".join(file_content(child, blocks) for _, child, _ in links(block))


def files_below(root: bytes, blocks: dict[bytes, bytes], path: str = "") -> Iterator[tuple[str, bytes]]:
    """Path and CID of every file below a directory."""
    for name, child, _ in links(blocks[root]):
        below = f"{path}/{name.decode()}".lstrip("/")
        if child[1] == DAG_PB and child in blocks and (1, b"\x08\x01") in fields(blocks[child]):
            yield from files_below(child, blocks, below)
        else:
            yield below, child
