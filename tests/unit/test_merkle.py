"""The tree agrees with the vectors of Certificate Transparency, and a path proves its own leaf only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.proof.merkle import MAX_PATH, BrokenPathError, Tree, leaf_hash, node_hash, root_from_path

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "rfc6962_tree.json").read_text())
LEAVES = [bytes.fromhex(leaf) for leaf in VECTORS["leaves"]]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_of_the_vectors(size: int) -> None:
    assert Tree(LEAVES[:size]).root.hex() == VECTORS["roots"][size - 1]


@pytest.mark.parametrize("vector", VECTORS["paths"], ids=lambda vector: f"{vector['index']}-{vector['size']}")
def test_paths_of_the_vectors(vector: dict[str, Any]) -> None:
    index, size = vector["index"], vector["size"]
    path = Tree(LEAVES[:size]).path(index)
    assert [neighbour.hex() for neighbour in path] == vector["path"]
    assert root_from_path(leaf_hash(LEAVES[index]), index, size, path).hex() == VECTORS["roots"][size - 1]


def test_a_tree_has_a_leaf() -> None:
    with pytest.raises(ValueError, match="at least one leaf"):
        Tree([])


def test_a_path_of_a_leaf_that_is_not_there() -> None:
    for index in (-1, 3):
        with pytest.raises(IndexError):
            Tree(LEAVES[:3]).path(index)


def recursive_root(leaves: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.1 word for word."""
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    from_left = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = recursive_root(leaves[:from_left]), recursive_root(leaves[from_left:])
    return node_hash(left, right)


@given(st.integers(1, 300))
def test_the_root_is_that_of_the_definition(size: int) -> None:
    leaves = [number.to_bytes(4) for number in range(size)]
    assert Tree(leaves).root == recursive_root(leaves)


@given(st.data(), st.integers(1, 200))
def test_every_path_leads_to_the_root_from_its_own_leaf_only(data: st.DataObject, size: int) -> None:
    tree = Tree([number.to_bytes(4) for number in range(size)])
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size - 1))
    path = tree.path(index)
    assert root_from_path(leaf_hash(index.to_bytes(4)), index, size, path) == tree.root
    if other != index:
        assert leads_elsewhere(other.to_bytes(4), index, size, path, tree.root)
        assert leads_elsewhere(index.to_bytes(4), other, size, path, tree.root)


@given(st.data(), st.integers(2, 200))
def test_a_changed_path_leads_elsewhere(data: st.DataObject, size: int) -> None:
    tree = Tree([number.to_bytes(4) for number in range(size)])
    index = data.draw(st.integers(0, size - 1))
    path = tree.path(index)
    place = data.draw(st.integers(0, len(path) - 1))
    bit = data.draw(st.integers(0, 255))
    changed = (int.from_bytes(path[place]) ^ 1 << bit).to_bytes(32)
    leaf = index.to_bytes(4)
    assert leads_elsewhere(leaf, index, size, [*path[:place], changed, *path[place + 1 :]], tree.root)
    assert leads_elsewhere(leaf, index, size, path[:-1], tree.root)
    assert leads_elsewhere(leaf, index, size, [*path, bytes(32)], tree.root)
    assert leads_elsewhere(leaf, index, size, [*path[:place], path[place][:-1], *path[place + 1 :]], tree.root)


def leads_elsewhere(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    try:
        return root_from_path(leaf_hash(leaf), index, size, path) != root
    except BrokenPathError:
        return True


def test_positions_outside_the_tree_are_refused() -> None:
    for index, size in ((-1, 4), (4, 4), (0, 0), (5, 4)):
        with pytest.raises(BrokenPathError):
            root_from_path(bytes(32), index, size, Tree(LEAVES[:4]).path(0))


def test_a_node_cannot_pass_for_a_leaf() -> None:
    tree = Tree(LEAVES[:4])
    inner = leaf_hash(LEAVES[0]) + leaf_hash(LEAVES[1])
    assert Tree([inner, leaf_hash(LEAVES[2]) + leaf_hash(LEAVES[3])]).root != tree.root


def test_paths_of_any_length_are_read_up_to_the_bound() -> None:
    root_from_path(bytes(32), 0, 2**MAX_PATH, [bytes(32)] * MAX_PATH)
    with pytest.raises(BrokenPathError):
        root_from_path(bytes(32), 0, 2**64, [bytes(32)] * 64)
