"""A batch of three small files with all that belongs to it, made the same way at every call."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from muniment.kernel.encoding import to_hex
from muniment.proof import contract
from muniment.proof.batch import BatchHeader
from muniment.proof.contract import CODE_HASH, CONTRACT_ADDRESS, Anchored, Entry
from muniment.proof.merkle import Tree
from muniment.proof.receipt import Anchor, Log, Receipt, build
from muniment.proof.statement import Statement, multihash
from muniment.proof.unixfs import summary_of
from muniment.proof.verify import ChainFacts, TransactionFacts

CONTENTS = (b"", b"the first file", b"the second file")
SUBMITTER = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"
BLOCK, TIME, SEQ, CHAIN_ID = 1000, 1_700_000_003, 7, 1337
BLOCK_HASH = hashlib.sha256(b"block").digest()
TRANSACTION = hashlib.sha256(b"transaction").digest()


def statement_of(content: bytes, number: int = 0) -> Statement:
    """The statement of a file; its salt is no secret here."""
    file = summary_of(content)
    return Statement(
        digest=multihash(file.sha256),
        size=file.size,
        cid=file.cid,
        salt=hashlib.sha256(b"salt %d" % number).digest(),
        received_at=1_700_000_000_000 + number,
        network="demo",
        member="alpha",
    )


LEAVES = [statement_of(content, number).encode() for number, content in enumerate(CONTENTS)]
TREE = Tree(LEAVES)
HEADER = BatchHeader(
    origin="demo/alpha",
    number=4,
    previous=hashlib.sha256(b"previous").digest(),
    size=len(LEAVES),
    root=TREE.root,
    opened_at=1_700_000_000_000,
    closed_at=1_700_000_001_000,
)
ANCHOR = Anchor(
    type="goquorum-qbft",
    network="demo",
    chain_id=CHAIN_ID,
    contract=CONTRACT_ADDRESS,
    submitter=SUBMITTER,
    seq=SEQ,
    block_number=BLOCK,
    block_hash=BLOCK_HASH,
    block_time=TIME,
    transaction=TRANSACTION,
)


def log_of(number: int) -> Log:
    """The place of a leaf."""
    return Log(leaf_index=number, tree_size=TREE.size, root=TREE.root, path=tuple(TREE.path(number)))


def receipt_of(number: int, anchor: Anchor | None = ANCHOR) -> Receipt:
    """The receipt of a file; `batched` without an anchor."""
    return build(LEAVES[number], name_hint="a name", log=log_of(number), header=HEADER.encode(), anchor=anchor)


def pending_receipt(number: int) -> Receipt:
    """The receipt of a file before it has a batch."""
    return build(LEAVES[number], name_hint="a name")


ANCHORED = Anchored(
    root=TREE.root,
    seq=SEQ,
    submitter=SUBMITTER.lower(),
    size=TREE.size,
    batch_digest=HEADER.digest(),
    previous_accumulator=bytes(32),
)
FACTS = ChainFacts(
    chain_id=CHAIN_ID,
    code_hash=CODE_HASH,
    head=BLOCK + 5,
    entry=Entry(seq=SEQ, size=TREE.size, time=TIME, block_number=BLOCK),
    batch_digest=HEADER.digest(),
    block_hash=to_hex(BLOCK_HASH),
    block_time=TIME,
    transaction=TransactionFacts(to_hex(BLOCK_HASH), (ANCHORED,)),
)
"""What a node says when everything is as the receipt has it."""


def cbor(value: Any) -> bytes:
    """Any value as deterministic CBOR, written apart from the product's own encoder; also what the product refuses."""
    match value:
        case None | bool():
            return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value]
        case int():
            return _item(0, value) if value >= 0 else _item(1, -1 - value)
        case bytes():
            return _item(2, len(value)) + value
        case str():
            return _item(3, len(value.encode())) + value.encode()
        case list():
            return _item(4, len(value)) + b"".join(map(cbor, value))
    keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
    return _item(5, len(value)) + b"".join(cbor(key) + cbor(value[key]) for key in keys)


def _item(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([32 * major + number])
    length = next(length for length in (1, 2, 4, 8) if number < 256**length)
    return bytes([32 * major + 24 + (1, 2, 4, 8).index(length)]) + number.to_bytes(length)


@dataclass
class AnchorLog:
    """A log of an anchor as JSON-RPC writes it."""

    anchored: Anchored = ANCHORED
    block_number: int = BLOCK
    block_hash: str = to_hex(BLOCK_HASH)
    transaction: str = to_hex(TRANSACTION)
    index: int = 0

    def json(self) -> dict[str, Any]:
        """The log."""
        submitter = bytes.fromhex(self.anchored.submitter[2:]).rjust(32, b"\0")
        data = self.anchored.size.to_bytes(32) + self.anchored.batch_digest + self.anchored.previous_accumulator
        topics = [contract.ANCHORED_TOPIC, self.anchored.root, self.anchored.seq.to_bytes(32), submitter]
        return {
            "address": CONTRACT_ADDRESS.lower(),
            "topics": [to_hex(topic) for topic in topics],
            "data": to_hex(data),
            "blockNumber": hex(self.block_number),
            "blockHash": self.block_hash,
            "transactionHash": self.transaction,
            "logIndex": hex(self.index),
        }
