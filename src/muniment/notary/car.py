"""A batch as a CAR file (IPLD CARv1 specification), generated piece by piece: no file is ever in memory whole. Pure.

The blocks are built again from the content while it is read, and the CIDs are checked against those that were recorded
when it was accepted: content that changed since then never leaves under an old CID.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from muniment.kernel.errors import IntegrityError
from muniment.proof.unixfs import (
    CHUNK_BYTES,
    Block,
    FileSummary,
    FileTree,
    Link,
    cid_binary,
    cid_text,
    raw_cid,
    varint,
)

Content = Iterable[bytes]
"""The content of one file in pieces of any size; read once, lazily."""

# DAG-CBOR: {"roots": [42(h'00' || CID)], "version": 1}; keys by length, then bytes.
_HEADER_HEAD = b"\xa2\x65roots\x81\xd8\x2a\x58\x25\x00"
_HEADER_TAIL = b"\x67version\x01"


def car(root: str, nodes: Iterable[Block], files: Iterable[tuple[FileSummary, Content]]) -> Iterator[bytes]:
    """The bytes of the CAR in pieces of about 1 MiB: header, directory nodes, then the blocks of each file.

    Each content is read when its turn comes. Raises `IntegrityError` at the first file whose content does not have the
    CID of its summary; what was generated before must then be thrown away.
    """
    header = _HEADER_HEAD + cid_binary(root) + _HEADER_TAIL
    buffer = [varint(len(header)), header]
    for node in nodes:
        buffer += _section(node)
    pending = sum(map(len, buffer))
    for summary, content in files:
        for block in _blocks(summary, content):
            section = _section(block)
            buffer += section
            pending += len(section[0]) + len(section[1]) + len(section[2])
            if pending >= CHUNK_BYTES:
                yield b"".join(buffer)
                buffer.clear()
                pending = 0
    if buffer:
        yield b"".join(buffer)


def _section(block: Block) -> tuple[bytes, bytes, bytes]:
    return varint(len(block.cid) + len(block.data)), block.cid, block.data


def _blocks(summary: FileSummary, content: Content) -> Iterator[Block]:
    if summary.size <= CHUNK_BYTES:
        yield _single(summary, content)
        return
    finished: list[Block] = []
    tree = FileTree(finished.append)
    for chunk in _chunks(content):
        leaf = raw_cid(hashlib.sha256(chunk).digest())
        tree.add(Link(leaf, len(chunk), len(chunk)))
        yield Block(leaf, chunk)
        yield from finished
        finished.clear()
    root = tree.finish()
    _check(summary, root.cid)
    yield from finished


def _single(summary: FileSummary, content: Content) -> Block:
    pieces: list[bytes] = []
    size = 0
    for piece in content:
        size += len(piece)
        if size > summary.size:
            raise IntegrityError(_changed(summary, "is longer than it was"))
        pieces.append(piece)
    data = b"".join(pieces)
    cid = raw_cid(hashlib.sha256(data).digest())
    _check(summary, cid)
    return Block(cid, data)


def _chunks(content: Content) -> Iterator[bytes]:
    """The content in chunks of exactly 1 MiB, but for the last one; one empty chunk when there is none."""
    pending = bytearray()
    begun = False
    for piece in content:
        begun = begun or len(piece) > 0
        if not pending and len(piece) == CHUNK_BYTES:
            yield bytes(piece)
            continue
        view = memoryview(piece)
        while view:
            room = CHUNK_BYTES - len(pending)
            pending += view[:room]
            view = view[room:]
            if len(pending) == CHUNK_BYTES:
                yield bytes(pending)
                pending.clear()
    if pending or not begun:
        yield bytes(pending)


def _check(summary: FileSummary, cid: bytes) -> None:
    if cid_text(cid) != summary.cid:
        raise IntegrityError(_changed(summary, f"now has the CID {cid_text(cid)}"))


def _changed(summary: FileSummary, how: str) -> str:
    return f"content accepted as {summary.cid} {how}: it was changed after it was accepted; restore it from a backup"
