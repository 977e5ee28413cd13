"""The directory of a batch."""

from __future__ import annotations

import random

import pytest

from muniment.notary import directory
from muniment.proof.unixfs import FileSummary, cid_binary, cid_text, summary_of
from tests.support.dagpb import files_below, links

BY_KUBO = "bafybeihy5bh5vtnp6clfoczjd7pggzgvr6mkzdjmglnes46bo77twads4i"
"""ipfs add -r -n -Q --cid-version 1 --raw-leaves --chunker size-1048576 of the four files below, kubo 0.42."""

FOUR = [("b", b"one"), ("a", b"two"), ("é", b""), ("Z", bytes((1 << 20) + 1))]
EMPTY = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
"""The empty directory, well known."""


def many(count: int) -> list[tuple[str, FileSummary]]:
    return [(f"{number:026d}", summary_of(number.to_bytes(4, "big"))) for number in range(count)]


def found(built: directory.Directory) -> dict[str, str]:
    """CIDs of the files by path, as somebody finds them who only has the blocks."""
    blocks = {node.cid: node.data for node in built.nodes}
    return {path: cid_text(cid) for path, cid in files_below(cid_binary(built.root), blocks)}


def test_a_small_directory_has_the_root_that_kubo_gives_it() -> None:
    built = directory.build((name, summary_of(content)) for name, content in FOUR)
    assert built.root == BY_KUBO
    assert built.path_of("é") == "é"


def test_an_empty_directory_has_the_root_that_everybody_knows() -> None:
    assert directory.build([]).root == EMPTY


def test_names_are_sorted_as_bytes() -> None:
    built = directory.build((name, summary_of(content)) for name, content in FOUR)
    names = [name for name, _, _ in links(built.nodes[-1].data)]
    assert names == [b"Z", b"a", b"b", "é".encode()]


@pytest.mark.parametrize("count", [1, 5000, 20_000])
def test_no_node_is_large_and_every_file_is_found_at_its_path(count: int) -> None:
    entries = many(count)
    built = directory.build(entries)
    assert max(len(node.data) for node in built.nodes) <= directory.NODE_BYTES
    assert found(built) == {built.path_of(name): summary.cid for name, summary in entries}


def test_more_ranges_than_one_node_holds_make_a_third_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "NODE_BYTES", 250)
    entries = many(40)
    built = directory.build(entries)
    assert built.path_of(entries[0][0]).count("/") >= 2
    assert found(built) == {built.path_of(name): summary.cid for name, summary in entries}


def test_the_order_of_the_entries_does_not_matter() -> None:
    entries = many(6000)
    shuffled = entries.copy()
    random.Random(1).shuffle(shuffled)
    assert directory.build(entries) == directory.build(shuffled)


def test_sizes_add_up_to_the_root() -> None:
    entries = many(6000)
    built = directory.build(entries)
    below = sum(size for _, _, size in links(built.nodes[-1].data))
    others = sum(len(node.data) for node in built.nodes[:-1])
    assert below == others + sum(summary.dag_size for _, summary in entries)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "x" * 256, "é" * 128])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        directory.build([(name, summary_of(b""))])


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        directory.build([("a", summary_of(b"1")), ("a", summary_of(b"2"))])


def test_an_unknown_name_has_no_path() -> None:
    with pytest.raises(KeyError):
        directory.build([]).path_of("a")
