"""CIDs of files as IPFS computes them, streaming and in constant memory.

The import profile is fixed for ever, because receipts carry its CIDs: CIDv1, SHA-256, chunks of 1 MiB as raw leaves, a
balanced tree with at most 174 links per node (`ipfs add --cid-version 1 --raw-leaves --chunker size-1048576
--max-file-links 174`). Encodings: IPLD dag-pb specification (links stand before data), UnixFS specification
(unixfs.proto). A file of one chunk is its leaf, without a node above it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import libipld

PROFILE = "cidv1 sha2-256 raw-leaves size-1048576 balanced max-links-174"
"""The import profile in words, for receipts."""

CHUNK_BYTES = 1 << 20
MAX_LINKS = 174

_RAW = bytes.fromhex("01551220")
_DAG_PB = bytes.fromhex("01701220")
_CID_BYTES = 36


class FileSummary(NamedTuple):
    """What is known of a file once it was read to its end."""

    size: int
    """Bytes of content."""
    sha256: bytes
    """SHA-256 of the content."""
    cid: str
    """CIDv1 in base32 under the import profile."""
    dag_size: int
    """Bytes of all blocks of the file in IPFS: its leaves and the nodes above them."""


class Block(NamedTuple):
    """A block of IPFS: its CID in binary and its content."""

    cid: bytes
    data: bytes


class Link(NamedTuple):
    """A leaf or node as the node above it sees it."""

    cid: bytes
    content_bytes: int
    """Bytes of the file's content below it."""
    dag_bytes: int
    """Bytes of all blocks from it downwards."""


class FileTree:
    """The balanced tree above the leaves of one file; holds at most 174 links per level.

    `emit` receives every inner node as soon as it is complete, children before parents.
    """

    def __init__(self, emit: Callable[[Block], None] | None = None) -> None:
        self._emit = emit
        self._levels: list[list[Link]] = [[]]

    def add(self, leaf: Link) -> None:
        """Append the next leaf. An empty file has one empty leaf."""
        self._put(0, leaf)

    def finish(self) -> Link:
        """Close the tree after its last leaf, and return its root."""
        level = 0
        while level < len(self._levels) - 1 or len(self._levels[level]) > 1:
            self._put(level + 1, self._node(self._levels[level]))
            level += 1
        return self._levels[level][0]

    def _put(self, level: int, link: Link) -> None:
        if level == len(self._levels):
            self._levels.append([])
        # A full group is closed only when another link follows it: alone, it becomes the root.
        if len(self._levels[level]) == MAX_LINKS:
            self._put(level + 1, self._node(self._levels[level]))
            self._levels[level] = []
        self._levels[level].append(link)

    def _node(self, links: Sequence[Link]) -> Link:
        size = sum(link.content_bytes for link in links)
        data = b"".join((b"\x08\x02\x18", varint(size), *(b"\x20" + varint(link.content_bytes) for link in links)))
        block = node_block((encoded_link(link.cid, b"", link.dag_bytes) for link in links), data)
        if self._emit is not None:
            self._emit(block)
        return Link(block.cid, size, len(block.data) + sum(link.dag_bytes for link in links))


class FileHasher:
    """Computes SHA-256 and CID of content that comes in pieces of any size, in one pass and constant memory."""

    def __init__(self) -> None:
        self._whole = hashlib.sha256()
        self._size = 0
        self._tree: FileTree | None = None
        self._leaf = self._whole
        """The leaf that is being filled. The first one is the whole content so far: it is hashed once, not twice."""
        self._leaf_size = 0

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next piece of content."""
        self._size += len(data)
        if self._tree is None and self._size <= CHUNK_BYTES:
            self._whole.update(data)
            self._leaf_size = self._size
            return
        view = memoryview(data)
        while view:
            if self._leaf_size == CHUNK_BYTES:
                self._close_leaf()
            piece = view[: CHUNK_BYTES - self._leaf_size]
            self._whole.update(piece)
            if self._leaf is not self._whole:
                self._leaf.update(piece)
            self._leaf_size += len(piece)
            view = view[len(piece) :]

    def finish(self) -> FileSummary:
        """The summary of everything taken so far; call it once, at the end."""
        if self._tree is None:
            digest = self._whole.digest()
            return FileSummary(self._size, digest, cid_text(raw_cid(digest)), self._size)
        self._close_leaf()
        root = self._tree.finish()
        return FileSummary(self._size, self._whole.digest(), cid_text(root.cid), root.dag_bytes)

    def _close_leaf(self) -> None:
        if self._tree is None:
            self._tree = FileTree()
        self._tree.add(Link(raw_cid(self._leaf.digest()), self._leaf_size, self._leaf_size))
        self._leaf = hashlib.sha256()
        self._leaf_size = 0


def summary_of(content: bytes) -> FileSummary:
    """The summary of content in memory."""
    hasher = FileHasher()
    hasher.update(content)
    return hasher.finish()


def cid_of(content: bytes) -> str:
    """The CID of content in memory."""
    return summary_of(content).cid


def raw_cid(digest: bytes) -> bytes:
    """Binary CIDv1 of the raw leaf with this SHA-256."""
    return _RAW + digest


def cid_text(cid: bytes) -> str:
    """A binary CIDv1 as text: multibase base32 in lower case."""
    return str(libipld.encode_cid(cid))


def cid_binary(text: str) -> bytes:
    """The binary form of the CIDv1 of a file or directory; raises `ValueError` for anything else."""
    try:
        base, cid = libipld.decode_multibase(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a CID") from error
    if base != "b" or len(cid) != _CID_BYTES or not cid.startswith((_RAW, _DAG_PB)) or cid_text(cid) != text:
        raise ValueError(f"{text!r} is not the CIDv1 of a file or directory")
    return bytes(cid)


def encoded_link(cid: bytes, name: bytes, dag_bytes: int) -> bytes:
    """A dag-pb link, ready to stand in a node."""
    size = varint(dag_bytes)
    # 4 for the heads of CID and name, 1 for the head of the size.
    length = varint(len(cid) + len(name) + len(varint(len(name))) + len(size) + 4)
    return b"".join((b"\x12", length, b"\x0a", varint(len(cid)), cid, b"\x12", varint(len(name)), name, b"\x18", size))


def node_block(links: Iterable[bytes], data: bytes) -> Block:
    """A dag-pb node of encoded links and its UnixFS `data`."""
    encoded = b"".join((*links, b"\x0a", varint(len(data)), data))
    return Block(_DAG_PB + hashlib.sha256(encoded).digest(), encoded)


def varint(number: int) -> bytes:
    """Unsigned LEB128, as in protobuf and multiformats."""
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
