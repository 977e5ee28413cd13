"""The UnixFS directory of a batch: all its files below one root CID, each found by a path. Pure.

A kubo refuses blocks over 2 MiB, and a directory with many entries is one block (kubo's own answer, HAMT sharding, is
an encoding of its own). So a directory that would be too large is split: the sorted names fall into consecutive ranges,
each range is a directory named by its number, and the root holds these; again if there are very many. The same entries
give the same root.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from muniment.proof.unixfs import Block, FileSummary, cid_binary, cid_text, encoded_link, node_block

NODE_BYTES = 512 * 1024
"""No directory node is larger than this; well below what bitswap and kubo carry (2 MiB)."""

NAME_BYTES = 255
"""The longest name, in UTF-8, as file systems have it."""

_DIRECTORY = b"\x08\x01"
_NODE_OVERHEAD = len(node_block((), _DIRECTORY).data)


@dataclass(frozen=True)
class Directory:
    """A batch's directory."""

    root: str
    """CID of the root as text."""
    nodes: tuple[Block, ...]
    """All directory nodes, children before parents; the root is the last."""
    paths: Mapping[str, str]
    """Path of every file below the root, by name."""

    def path_of(self, name: str) -> str:
        """Path below the root at which the file of this name is found: `ipfs cat ROOT/PATH`. Raises `KeyError`."""
        return self.paths[name]


class _Entry(NamedTuple):
    name: bytes
    link: bytes
    dag_bytes: int
    below: Sequence[str]
    """Names of the files below it."""


def build(files: Iterable[tuple[str, FileSummary]]) -> Directory:
    """The directory of these files by name. Raises `ValueError` for a name that is taken, or cannot be one."""
    entries = [_file(name, summary) for name, summary in files]
    entries.sort()
    paths = {entry.below[0]: entry.below[0] for entry in entries}
    if len(paths) != len(entries):
        raise ValueError("two files of one directory have the same name")
    nodes: list[Block] = []
    while True:
        groups = list(_groups(entries))
        blocks = [node_block((entry.link for entry in group), _DIRECTORY) for group in groups]
        nodes += blocks
        if len(blocks) == 1:
            return Directory(cid_text(blocks[0].cid), tuple(nodes), paths)
        entries = [
            _subdirectory(name, group, block)
            for name, group, block in zip(_numbers(len(groups)), groups, blocks, strict=True)
        ]
        for entry in entries:
            for file in entry.below:
                paths[file] = f"{entry.name.decode()}/{paths[file]}"


def _file(name: str, summary: FileSummary) -> _Entry:
    encoded = name.encode()
    if not 0 < len(encoded) <= NAME_BYTES or "/" in name or "\0" in name or name in (".", ".."):
        raise ValueError(f"{name!r} cannot be the name of a file in a directory")
    link = encoded_link(cid_binary(summary.cid), encoded, summary.dag_size)
    return _Entry(encoded, link, summary.dag_size, (name,))


def _subdirectory(name: bytes, group: Sequence[_Entry], block: Block) -> _Entry:
    dag_bytes = len(block.data) + sum(entry.dag_bytes for entry in group)
    below = [file for entry in group for file in entry.below]
    return _Entry(name, encoded_link(block.cid, name, dag_bytes), dag_bytes, below)


def _groups(entries: Sequence[_Entry]) -> Iterator[list[_Entry]]:
    """Consecutive entries, as many together as one node takes."""
    group: list[_Entry] = []
    size = _NODE_OVERHEAD
    for entry in entries:
        if size + len(entry.link) > NODE_BYTES:
            yield group
            group, size = [], _NODE_OVERHEAD
        group.append(entry)
        size += len(entry.link)
    yield group


def _numbers(count: int) -> Iterator[bytes]:
    """Names of equal length, so that their order as bytes is that of the numbers."""
    width = len(str(count - 1))
    return (f"{number:0{width}d}".encode() for number in range(count))
