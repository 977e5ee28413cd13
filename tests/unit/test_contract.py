"""Our encodings of the contract's calls, events and storage agree with the compiler's ABI and an independent coder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web3 import Web3

from muniment.kernel.encoding import from_hex
from muniment.kernel.errors import IntegrityError
from muniment.proof import contract
from muniment.proof.contract import CONTRACT_ADDRESS, Entry, Head
from tests.unit.proofs import ANCHORED, SUBMITTER, AnchorLog

ARTIFACT = json.loads(Path(contract.__file__).with_name("anchor_contract.json").read_text())
WEB3 = Web3()
ABI = WEB3.eth.contract(address=Web3.to_checksum_address(CONTRACT_ADDRESS), abi=ARTIFACT["abi"])
OTHER = "0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF"

words = st.binary(min_size=32, max_size=32)
sizes = st.integers(0, 2**64 - 1)


def test_the_address_is_the_documented_one() -> None:
    assert bytes(Web3.keccak(text="muniment anchor contract 1"))[12:] == from_hex(CONTRACT_ADDRESS.lower())
    assert Web3.to_checksum_address(CONTRACT_ADDRESS) == CONTRACT_ADDRESS


def test_the_artifact_is_one_that_every_chain_of_ours_can_run() -> None:
    assert ARTIFACT["settings"]["evmVersion"] == "berlin"
    assert bytes(Web3.keccak(contract.RUNTIME_CODE)) == contract.CODE_HASH
    assert len(contract.RUNTIME_CODE) < 24_576
    # Neither a metadata hash nor an IPFS link of one.
    assert b"ipfs" not in contract.RUNTIME_CODE
    assert not any(item["type"] in ("constructor", "fallback", "receive") for item in ARTIFACT["abi"])


def test_storage_at_genesis() -> None:
    storage = contract.storage_at_genesis(SUBMITTER, [SUBMITTER, OTHER])
    expected = {0: int(SUBMITTER, 16)}
    for writer in (SUBMITTER, OTHER):
        slot = Web3.solidity_keccak(["uint256", "uint256"], [int(writer, 16), 3])
        expected[int(slot.hex(), 16)] = 1
    assert {int(slot, 16): int(value, 16) for slot, value in storage.items()} == expected
    assert all(len(text) == 66 for pair in storage.items() for text in pair)
    assert list(storage) == sorted(storage)


@pytest.mark.parametrize("wrong", ["0x00", "", "7e5f4552091a69125d5dfcb7b8c2659029395bdf", "0x" + "zz" * 20])
def test_storage_at_genesis_refuses_what_is_no_address(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"0x|address|hexadecimal"):
        contract.storage_at_genesis(SUBMITTER, [wrong])


@given(words, sizes, words)
def test_calls(root: bytes, size: int, digest: bytes) -> None:
    assert contract.encode_anchor(root, size, digest) == data("anchor", root, size, digest)
    assert contract.encode_get(SUBMITTER, root) == data("get", SUBMITTER, root)
    assert contract.encode_digest_of(SUBMITTER, root) == data("digestOf", SUBMITTER, root)


def test_calls_without_batches() -> None:
    assert contract.encode_head() == data("head")
    assert contract.encode_paused() == data("paused")
    assert contract.encode_is_writer(OTHER) == data("isWriter", OTHER)


@given(st.lists(st.tuples(words, sizes, words), max_size=5))
def test_call_of_many(batches: list[tuple[bytes, int, bytes]]) -> None:
    columns = [[batch[column] for batch in batches] for column in range(3)]
    assert contract.encode_anchor_many(batches) == data("anchorMany", *columns)


def data(function: str, *arguments: object) -> bytes:
    return from_hex(ABI.encode_abi(function, list(arguments)))


def test_calls_refuse_what_is_no_word() -> None:
    for root, digest in ((bytes(31), bytes(32)), (bytes(32), bytes(33))):
        with pytest.raises(ValueError, match="32 bytes"):
            contract.encode_anchor(root, 1, digest)


def test_answers() -> None:
    def packed(*values: int) -> bytes:
        return b"".join(value.to_bytes(32) for value in values)

    assert contract.decode_get(packed(3, 5, 1_700_000_000, 9)) == Entry(3, 5, 1_700_000_000, 9)
    assert contract.decode_get(packed(0, 0, 0, 0)) is None
    assert contract.decode_head(packed(3, 5)) == Head(3, (5).to_bytes(32))
    assert contract.decode_digest_of(packed(5)) == (5).to_bytes(32)
    assert contract.decode_flag(packed(1))
    assert not contract.decode_flag(packed(0))
    for wrong in (b"", bytes(31), bytes(129)):
        with pytest.raises(IntegrityError, match="another genesis"):
            contract.decode_get(wrong)


def test_times_of_raft_are_in_nanoseconds() -> None:
    assert contract.block_seconds(1_700_000_000) == 1_700_000_000
    assert contract.block_seconds(1_700_000_000_123_456_789) == 1_700_000_000


def test_an_anchor_in_a_log() -> None:
    log = AnchorLog().json()
    assert contract.is_anchored(log)
    assert contract.decode_anchored(log) == ANCHORED
    event = ABI.events.Anchored().process_log(
        {
            **log,
            "topics": [from_hex(topic) for topic in log["topics"]],
            "data": from_hex(log["data"]),
            "logIndex": 0,
            "transactionIndex": 0,
            "transactionHash": b"",
            "blockHash": b"",
            "blockNumber": 0,
        }
    )
    assert event["args"]["root"] == ANCHORED.root
    assert event["args"]["batchDigest"] == ANCHORED.batch_digest


@pytest.mark.parametrize(
    "change",
    [
        {"address": OTHER},
        {"topics": []},
        {"topics": None},
        {"topics": ["0x" + "00" * 32] * 4},
        {"topics": AnchorLog().json()["topics"][:3]},
        {"data": "0x00"},
        {"data": None},
        {"data": "rubbish"},
    ],
)
def test_another_log_is_not_an_anchor(change: dict[str, object]) -> None:
    with pytest.raises(IntegrityError, match=r"ask another node|another genesis"):
        contract.decode_anchored(AnchorLog().json() | change)


def test_refusals_by_name() -> None:
    for name, signature in {
        "NotWriter": "NotWriter(address)",
        "DifferentBatch": "DifferentBatch(address,bytes32)",
    }.items():
        assert contract.refusal(bytes(Web3.keccak(text=signature))[:4] + bytes(32)) == name
    assert contract.refusal(b"") is None
    assert contract.refusal(b"\x08\xc3\x79\xa0") is None


def test_the_accumulator() -> None:
    one, two, three = (bytes([number]) * 32 for number in (1, 2, 3))
    encoded = WEB3.codec.encode(["bytes32", "bytes32", "uint64", "bytes32"], [one, two, 9, three])
    assert contract.accumulate(one, two, 9, three) == bytes(Web3.keccak(encoded))
