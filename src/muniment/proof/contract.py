"""The anchoring contract: address, code, storage in the genesis, and the encoding of its calls and events. Pure.

The contract (contracts/Anchor.sol) is part of the genesis of every consortium, at one fixed address. What stands here
is taken from its artifact, `anchor_contract.json`, which `node contracts/compile.mjs` writes: selectors, storage layout
and code follow the compiler, so they cannot disagree with the contract. Encodings: Solidity's contract ABI and storage
layout specifications; all arguments used here are static words of 32 bytes, but for the arrays of `anchorMany`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from eth_hash.auto import keccak

from muniment.kernel.encoding import from_hex, to_hex
from muniment.kernel.errors import IntegrityError

WORD: Final = 32
ADDRESS_BYTES: Final = 20

_ARTIFACT: Final[Mapping[str, Any]] = json.loads(
    resources.files("muniment.proof").joinpath("anchor_contract.json").read_text("utf-8")
)
_SELECTORS: Final = {name: bytes.fromhex(selector) for name, selector in _ARTIFACT["selectors"].items()}
_STORAGE: Final = {variable["label"]: variable for variable in _ARTIFACT["storage"]}

CONTRACT_ADDRESS: Final = "0xB48390A838207c200C61A12C23c2559b500eECD9"
"""Last 20 bytes of Keccak-256("muniment anchor contract 1"), with checksum (EIP-55); the same in every consortium."""

RUNTIME_CODE: Final = from_hex(_ARTIFACT["runtime"])
"""Code that stands at the address."""

CODE_HASH: Final = keccak(RUNTIME_CODE)
"""Keccak-256 of the code: what tells this contract from every other."""

ANCHORED_TOPIC: Final = keccak(b"Anchored(bytes32,uint64,address,uint64,bytes32,bytes32)")
"""First topic of the event of an anchor."""


_NANOSECONDS_FROM: Final = 10**12


@dataclass(frozen=True, slots=True)
class Entry:
    """What the contract says of one root. `time` is the block's, in seconds since 1970."""

    seq: int
    size: int
    time: int
    block_number: int


@dataclass(frozen=True, slots=True)
class Anchored:
    """The event of one anchor. `submitter` is 0x-hex in small letters."""

    root: bytes
    seq: int
    submitter: str
    size: int
    batch_digest: bytes
    previous_accumulator: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """Number of anchors so far, and the accumulator over all of them."""

    seq: int
    accumulator: bytes


def storage_at_genesis(admin: str, writers: Sequence[str]) -> dict[str, str]:
    """Storage of the contract in the genesis: slot to value, both 32 bytes in 0x-hex.

    `admin` and `writers` are 0x-hex addresses. Raises `ValueError` when one is not an address.
    """
    storage = {_slot("admin"): _value("admin", _address(admin))}
    for writer in writers:
        slot = keccak(_address(writer).rjust(WORD, b"\0") + _slot("isWriter"))
        storage[slot] = _word(1)
    return {to_hex(slot): to_hex(value) for slot, value in sorted(storage.items())}


def accumulate(previous: bytes, root: bytes, size: int, batch_digest: bytes) -> bytes:
    """The accumulator after an anchor: Keccak-256 over four words."""
    return keccak(previous + root + _word(size) + batch_digest)


def encode_anchor(root: bytes, size: int, batch_digest: bytes) -> bytes:
    """Call data of `anchor`."""
    return _selector("anchor") + _bytes32(root) + _word(size) + _bytes32(batch_digest)


def encode_anchor_many(batches: Sequence[tuple[bytes, int, bytes]]) -> bytes:
    """Call data of `anchorMany` for batches of root, size and digest."""
    columns = (
        [_bytes32(root) for root, _, _ in batches],
        [_word(size) for _, size, _ in batches],
        [_bytes32(digest) for _, _, digest in batches],
    )
    length = WORD * (len(batches) + 1)
    offsets = b"".join(_word(WORD * len(columns) + index * length) for index in range(len(columns)))
    return _selector("anchorMany") + offsets + b"".join(_word(len(batches)) + b"".join(column) for column in columns)


def encode_get(submitter: str, root: bytes) -> bytes:
    """Call data of `get`."""
    return _selector("get") + _address(submitter).rjust(WORD, b"\0") + _bytes32(root)


def decode_get(data: bytes) -> Entry | None:
    """The answer of `get`; `None` when that submitter never anchored that root. Raises `IntegrityError`."""
    seq, size, time, block_number = (int.from_bytes(word) for word in _words(data, 4))
    return Entry(seq, size, block_seconds(time), block_number) if seq else None


def encode_digest_of(submitter: str, root: bytes) -> bytes:
    """Call data of `digestOf`: the batch digest anchored with a root."""
    return _selector("digestOf") + _address(submitter).rjust(WORD, b"\0") + _bytes32(root)


def decode_digest_of(data: bytes) -> bytes:
    """The answer of `digestOf`; 32 zero bytes when there is none. Raises `IntegrityError`."""
    return _words(data, 1)[0]


def encode_head() -> bytes:
    """Call data of `head`."""
    return _selector("head")


def decode_head(data: bytes) -> Head:
    """The answer of `head`. Raises `IntegrityError`."""
    seq, accumulator = _words(data, 2)
    return Head(int.from_bytes(seq), accumulator)


def encode_is_writer(account: str) -> bytes:
    """Call data of `isWriter`."""
    return _selector("isWriter") + _address(account).rjust(WORD, b"\0")


def decode_flag(data: bytes) -> bool:
    """The answer of `isWriter` or `paused`. Raises `IntegrityError`."""
    return any(_words(data, 1)[0])


def encode_paused() -> bytes:
    """Call data of `paused`."""
    return _selector("paused")


def is_anchored(log: Mapping[str, Any]) -> bool:
    """Whether a log of a transaction's receipt (JSON-RPC) is an anchor of our contract."""
    topics = log.get("topics")
    ours = str(log.get("address")).lower() == CONTRACT_ADDRESS.lower()
    return ours and isinstance(topics, list) and topics[:1] == [to_hex(ANCHORED_TOPIC)]


def decode_anchored(log: Mapping[str, Any]) -> Anchored:
    """An anchor from a log as JSON-RPC writes it. Raises `IntegrityError` when it is not one of our contract."""
    if not is_anchored(log):
        raise IntegrityError(f"a log is not an anchor of the contract {CONTRACT_ADDRESS}: ask another node")
    try:
        _, root, seq, submitter = (from_hex(topic) for topic in log["topics"])
        size, batch_digest, previous = _words(from_hex(log["data"]), 3)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"a node answered a damaged log ({error}): ask another node") from error
    return Anchored(
        root=root,
        seq=int.from_bytes(seq),
        submitter=to_hex(submitter[-ADDRESS_BYTES:]),
        size=int.from_bytes(size),
        batch_digest=batch_digest,
        previous_accumulator=previous,
    )


def block_seconds(time: int) -> int:
    """Time of a block in seconds since 1970. GoQuorum's raft writes nanoseconds (raft/minter.go)."""
    return time // 10**9 if time > _NANOSECONDS_FROM else time


def refusal(data: bytes) -> str | None:
    """Name of the contract's error in the data of a revert, `DifferentBatch` for example; `None` for another one."""
    return _REFUSALS.get(data[:4])


def _error_selectors() -> dict[bytes, str]:
    errors = [item for item in _ARTIFACT["abi"] if item["type"] == "error"]
    signatures = {e["name"]: f"{e['name']}({','.join(argument['type'] for argument in e['inputs'])})" for e in errors}
    return {keccak(signature.encode())[:4]: name for name, signature in signatures.items()}


_REFUSALS: Final = _error_selectors()


def _selector(function: str) -> bytes:
    return next(selector for name, selector in _SELECTORS.items() if name.partition("(")[0] == function)


def _slot(variable: str) -> bytes:
    return _word(_STORAGE[variable]["slot"])


def _value(variable: str, content: bytes) -> bytes:
    # Variables of one slot are packed from its low end, `offset` in bytes.
    return (content + bytes(_STORAGE[variable]["offset"])).rjust(WORD, b"\0")


def _word(value: int) -> bytes:
    return value.to_bytes(WORD)


def _bytes32(value: bytes) -> bytes:
    if len(value) != WORD:
        raise ValueError(f"a root or digest has {WORD} bytes, this one {len(value)}")
    return value


def _address(text: str) -> bytes:
    address = from_hex(text)
    if len(address) != ADDRESS_BYTES:
        raise ValueError(f"{text} is not an address: it has {len(address)} bytes instead of {ADDRESS_BYTES}")
    return address


def _words(data: bytes, count: int) -> list[bytes]:
    if len(data) != WORD * count:
        raise IntegrityError(
            f"the contract at {CONTRACT_ADDRESS} answered {len(data)} bytes instead of {WORD * count}:"
            " the chain was started from another genesis, or the node is not up to date"
        )
    return [data[start : start + WORD] for start in range(0, len(data), WORD)]
