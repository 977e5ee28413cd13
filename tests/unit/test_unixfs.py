"""CIDs of files. The expected ones are those of kubo 0.42:

ipfs add -n -Q --cid-version 1 --raw-leaves --chunker size-1048576 --max-file-links 174 FILE
"""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muniment.proof import unixfs
from muniment.proof.unixfs import CHUNK_BYTES, MAX_LINKS, Block, FileHasher, FileTree, Link

MIB = 1 << 20
FULL_NODE = MAX_LINKS * MIB

ZEROS = {
    0: "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    1: "bafkreidogqfzz75tpkmjzjke425xqcrmpcib2p5tg44hnbirumdbpl5adu",
    MIB - 1: "bafkreigkp3imjkhgps64iyoezmgsq3jpvo6z6dcbu72cwzs7olv2vcxmky",
    MIB: "bafkreibq4fevl27rgurgnxbp7adh42aqiyd6ouflxhj3gzmcxcxzbh6lla",
    MIB + 1: "bafybeihd4yzq7n5umhjngdum4r6k2to7egxfkf2jz6thvwzf6djus22cmq",
    2 * MIB: "bafybeiam7fzx7ebtpwnfqb4tfhcthbgihdavyir433y6dd5jjy37dftd4e",
    FULL_NODE: "bafybeiehkrmqsoci5u5g4pzahfhb64hzyg4wtn62vjewazp5zjcngoifca",
    FULL_NODE + 1: "bafybeibvh2wc7n5urwrvmv7nxmk2htrwz3mqqs4ulqcnzwpxtpxoer6xmu",
}
HUGE = MAX_LINKS * MAX_LINKS * MIB + 1
HUGE_ZEROS = "bafybeiaff2rf5cppw3e4f7cbql3uuntvdui7wuoqt3gxreps3crcj5fioq"
"""31,746,686,977 zero bytes: one leaf more than two full levels."""


@pytest.mark.parametrize("size", ZEROS)
def test_zeros_have_the_cid_that_kubo_gives_them(size: int) -> None:
    hasher = FileHasher()
    block = bytes(MIB)
    for start in range(0, size, MIB):
        hasher.update(block[: size - start])
    summary = hasher.finish()
    assert summary.cid == ZEROS[size]
    assert summary.size == size


def test_a_file_of_three_levels_has_the_cid_that_kubo_gives_it() -> None:
    full = Link(unixfs.raw_cid(hashlib.sha256(bytes(MIB)).digest()), MIB, MIB)
    tree = FileTree()
    for _ in range(MAX_LINKS * MAX_LINKS):
        tree.add(full)
    tree.add(Link(unixfs.raw_cid(hashlib.sha256(bytes(1)).digest()), 1, 1))
    root = tree.finish()
    assert unixfs.cid_text(root.cid) == HUGE_ZEROS
    assert root.content_bytes == HUGE


@given(st.lists(st.sampled_from([0, 1, 4096, MIB - 1, MIB, MIB + 1, 2 * MIB]), max_size=5), st.binary(max_size=40))
@settings(max_examples=25)
def test_the_size_of_the_pieces_does_not_matter(sizes: list[int], seed: bytes) -> None:
    pieces = [
        (hashlib.sha256(seed + bytes([number])).digest() * (size // 32 + 1))[:size] for number, size in enumerate(sizes)
    ]
    whole = b"".join(pieces)
    hasher = FileHasher()
    for piece in pieces:
        hasher.update(piece)
    assert hasher.finish() == unixfs.summary_of(whole)


def test_pieces_may_be_views() -> None:
    hasher = FileHasher()
    hasher.update(memoryview(b"muniment")[:4])
    hasher.update(bytearray(b"ment"))
    assert hasher.finish() == unixfs.summary_of(b"muniment")


def test_the_digest_is_that_of_the_content_also_with_many_chunks() -> None:
    content = b"0123456789abcdef" * (3 * MIB // 16) + b"!"
    summary = unixfs.summary_of(content)
    assert summary.sha256 == hashlib.sha256(content).digest()
    assert summary.size == len(content)


def test_the_dag_size_counts_every_block_once() -> None:
    blocks: list[Block] = []
    tree = FileTree(blocks.append)
    leaf_bytes = 0
    for number in range(MAX_LINKS + 2):
        leaf = number.to_bytes(4, "big")
        leaf_bytes += len(leaf)
        tree.add(Link(unixfs.raw_cid(hashlib.sha256(leaf).digest()), len(leaf), len(leaf)))
    root = tree.finish()
    assert root.dag_bytes == leaf_bytes + sum(len(block.data) for block in blocks)


def test_inner_nodes_are_emitted_children_first_with_the_cid_of_their_content() -> None:
    blocks: list[Block] = []
    tree = FileTree(blocks.append)
    leaf = Link(unixfs.raw_cid(hashlib.sha256(b"x").digest()), 1, 1)
    for _ in range(MAX_LINKS + 1):
        tree.add(leaf)
    root = tree.finish()
    assert len(blocks) == 3
    assert blocks[-1].cid == root.cid
    for block in blocks:
        assert block.cid[-32:] == hashlib.sha256(block.data).digest()
    for child in blocks[:-1]:
        assert child.cid in blocks[-1].data


def test_a_single_chunk_needs_no_node() -> None:
    blocks: list[Block] = []
    tree = FileTree(blocks.append)
    leaf = Link(unixfs.raw_cid(hashlib.sha256(b"x").digest()), 1, 1)
    tree.add(leaf)
    assert tree.finish() == leaf
    assert blocks == []


def test_cid_of_is_the_cid_of_the_summary() -> None:
    assert unixfs.cid_of(b"") == ZEROS[0]


@pytest.mark.parametrize("text", [ZEROS[0], ZEROS[CHUNK_BYTES + 1]])
def test_cids_go_to_binary_and_back(text: str) -> None:
    assert unixfs.cid_text(unixfs.cid_binary(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        "bafk",
        "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
        ZEROS[0].upper(),
        ZEROS[0] + "a",
        ZEROS[0][:-1],
        "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua",  # dag-cbor
        "bé",
    ],
)
def test_what_is_no_cid_of_a_file_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="CID"):
        unixfs.cid_binary(text)


@pytest.mark.parametrize(
    ("number", "encoded"), [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (1 << 40, "808080808020")]
)
def test_varints_are_those_of_protobuf(number: int, encoded: str) -> None:
    assert unixfs.varint(number).hex() == encoded
