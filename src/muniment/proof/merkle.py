"""The Merkle tree of a batch: RFC 9162 section 2.1 with SHA-256.

A leaf is hashed with 0x00 before it and a node with 0x01, so that no node can pass for a leaf; nothing is duplicated
and nothing sorted, so that a path proves position and size too.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from muniment.proof.canonical import MalformedError

HASH_BYTES: Final = 32
MAX_PATH: Final = 63
"""Hashes in the longest path that is read: trees have at most 2**63 leaves."""

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


class BrokenPathError(MalformedError):
    """A path that fits no tree of that size, whatever its hashes are."""


def leaf_hash(leaf: bytes) -> bytes:
    """Hash of a leaf (RFC 9162 section 2.1.1)."""
    return sha256(_LEAF + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node (RFC 9162 section 2.1.1)."""
    return sha256(_NODE + left + right).digest()


class Tree:
    """A tree over at least one leaf. It holds all its hashes (64 bytes per leaf), so that a path costs no hashing."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        if not leaves:
            raise ValueError("a tree has at least one leaf")
        level = [sha256(_LEAF + leaf).digest() for leaf in leaves]
        self._levels = [level]
        while len(level) > 1:
            pairs = zip(level[::2], level[1::2], strict=False)
            above = [sha256(_NODE + left + right).digest() for left, right in pairs]
            if len(level) % 2:
                # The last node without a neighbour goes up as it is.
                above.append(level[-1])
            self._levels.append(level := above)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0])

    @property
    def root(self) -> bytes:
        """Hash over the whole tree."""
        return self._levels[-1][0]

    def path(self, index: int) -> list[bytes]:
        """Hashes that lead from leaf `index` to the root, lowest first. Raises `IndexError`."""
        if not 0 <= index < self.size:
            raise IndexError(f"leaf {index} of a tree of {self.size}")
        hashes = []
        for level in self._levels[:-1]:
            if (neighbour := index ^ 1) < len(level):
                hashes.append(level[neighbour])
            index >>= 1
        return hashes


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root of the tree of `size` leaves whose leaf `index` has the hash `leaf` (RFC 9162 section 2.1.3.2).

    Raises `BrokenPathError` when `index` is outside the tree, or the path is longer or shorter than it must be.
    """
    if not 0 <= index < size or len(path) > MAX_PATH:
        raise BrokenPathError(f"leaf {index} with a path of {len(path)} hashes is not in any tree of {size} leaves")
    first, last, root = index, size - 1, leaf
    for neighbour in path:
        if len(neighbour) != HASH_BYTES or last == 0:
            raise BrokenPathError(f"the path of leaf {index} is too long or damaged for a tree of {size} leaves")
        if first & 1 or first == last:
            root = node_hash(neighbour, root)
            while not first & 1 and first:
                first >>= 1
                last >>= 1
        else:
            root = node_hash(root, neighbour)
        first >>= 1
        last >>= 1
    if last != 0:
        raise BrokenPathError(f"the path of leaf {index} is too short for a tree of {size} leaves")
    return root
