"""The ledger against a chain in memory: signing, sending again, what nodes say, and the account's files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_account import Account
from eth_account.signers.local import LocalAccount

from muniment.clients.quorum import RpcError
from muniment.identity import keystore
from muniment.kernel.encoding import to_hex
from muniment.kernel.errors import InputError, IntegrityError, PermanentError, TemporaryError
from muniment.notary.ledger import ANCHOR_GAS, Ledger, load_account
from muniment.notary.values import Anchor
from muniment.proof import contract
from muniment.proof.contract import CONTRACT_ADDRESS, RUNTIME_CODE
from tests.unit.proofs import ANCHORED, BLOCK, BLOCK_HASH, CHAIN_ID, SEQ, TIME, TRANSACTION, AnchorLog

KEY = "0x" + "00" * 31 + "01"
ACCOUNT: LocalAccount = Account.from_key(KEY)
ROOT, DIGEST = ANCHORED.root, ANCHORED.batch_digest
HASH = to_hex(TRANSACTION)
ANCHOR = Anchor(HASH, BLOCK, to_hex(BLOCK_HASH), TIME, 0, SEQ)
REVERT = "0x" + contract.keccak(b"NotWriter(address)")[:4].hex() + "00" * 32


class MemoryChain:
    """A chain that holds one anchor, and answers as its attributes say."""

    def __init__(self) -> None:
        self.head = BLOCK
        self.blocks: dict[int, dict[str, Any]] = {BLOCK: {"hash": to_hex(BLOCK_HASH), "timestamp": hex(TIME)}}
        self.logs = [AnchorLog().json()]
        self.receipts: dict[str, dict[str, Any]] = {HASH: mined()}
        self.entry = b"".join(value.to_bytes(32) for value in (SEQ, ANCHORED.size, TIME, BLOCK))
        self.says: str | None = None
        self.sent: list[bytes] = []
        self.writer = True
        self.paused = False
        self.contract_code = RUNTIME_CODE

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        if method == "eth_getLogs":
            assert params[0]["topics"][1] == to_hex(ROOT)
            return self.logs
        if method == "eth_getTransactionByHash":
            return {"from": ACCOUNT.address, "to": CONTRACT_ADDRESS, "input": "0x", "gas": "0x1"}
        assert (method, params[1]) == ("eth_call", hex(BLOCK - 1))
        raise RpcError(method, 3, "execution reverted", REVERT)

    async def block_number(self) -> int:
        return self.head

    async def block(self, which: int | str = "latest") -> dict[str, Any] | None:
        assert isinstance(which, int)
        return self.blocks.get(which)

    async def send_raw(self, transaction: bytes) -> str:
        self.sent.append(transaction)
        if self.says is not None:
            raise RpcError("eth_sendRawTransaction", -32000, self.says)
        return HASH

    async def receipt(self, transaction_hash: str) -> dict[str, Any] | None:
        return self.receipts.get(transaction_hash)

    async def transaction_count(self, address: str, block: int | str = "latest") -> int:
        assert (address, block) == (ACCOUNT.address, "latest")
        return 12

    async def call_contract(self, to: str, data: bytes, block: int | str = "latest") -> bytes:
        assert (to, block) == (CONTRACT_ADDRESS, "latest")
        answers = {
            contract.encode_get(ACCOUNT.address, ROOT): self.entry,
            contract.encode_is_writer(ACCOUNT.address): self.writer.to_bytes(32),
            contract.encode_paused(): self.paused.to_bytes(32),
        }
        return answers[data]

    async def chain_id(self) -> int:
        return CHAIN_ID

    async def code(self, address: str, block: int | str = "latest") -> bytes:
        return self.contract_code if address == CONTRACT_ADDRESS else b""


def mined(**changes: Any) -> dict[str, Any]:
    receipt = {"status": "0x1", "blockNumber": hex(BLOCK), "blockHash": to_hex(BLOCK_HASH), "transactionHash": HASH}
    return {**receipt, "logs": [AnchorLog().json()], **changes}


@pytest.fixture
def chain() -> MemoryChain:
    return MemoryChain()


@pytest.fixture
def ledger(chain: MemoryChain) -> Ledger:
    return Ledger(chain, ACCOUNT, chain_id=CHAIN_ID)


def test_another_contract_is_refused(chain: MemoryChain) -> None:
    assert Ledger(chain, ACCOUNT, chain_id=1, address=CONTRACT_ADDRESS.lower())
    with pytest.raises(InputError, match=CONTRACT_ADDRESS):
        Ledger(chain, ACCOUNT, chain_id=1, address="0x" + "11" * 20)


def test_a_signed_anchor(ledger: Ledger) -> None:
    outbox = ledger.sign(ROOT, 3, DIGEST, 12)
    nonce, price, gas, to, value, data, v, _, _ = rlp.decode(outbox.raw)
    assert (int.from_bytes(nonce), price, int.from_bytes(gas), value) == (12, b"", ANCHOR_GAS, b"")
    assert to_hex(to) == CONTRACT_ADDRESS.lower()
    assert data == contract.encode_anchor(ROOT, 3, DIGEST)
    assert int.from_bytes(v) in (35 + 2 * CHAIN_ID, 36 + 2 * CHAIN_ID)
    assert Account.recover_transaction(outbox.raw) == ACCOUNT.address == ledger.submitter
    assert outbox.hash == to_hex(contract.keccak(outbox.raw))
    assert outbox.nonce == 12
    assert ledger.sign(ROOT, 3, DIGEST, 12) == outbox


@pytest.mark.anyio
async def test_the_next_nonce_is_that_after_the_last_mined(ledger: Ledger) -> None:
    assert await ledger.next_nonce() == 12


@pytest.mark.anyio
@pytest.mark.parametrize("said", [None, "already known", "known transaction: 00", "nonce too low"])
async def test_a_transaction_may_be_sent_again(ledger: Ledger, chain: MemoryChain, said: str | None) -> None:
    chain.says = said
    await ledger.send(b"raw")
    assert chain.sent == [b"raw"]


@pytest.mark.anyio
@pytest.mark.parametrize("said", ["txpool is full", "replacement transaction underpriced"])
async def test_a_busy_node_is_asked_later(ledger: Ledger, chain: MemoryChain, said: str) -> None:
    chain.says = said
    with pytest.raises(TemporaryError, match=said):
        await ledger.send(b"raw")


@pytest.mark.anyio
async def test_a_transaction_that_no_node_takes_is_an_error(ledger: Ledger, chain: MemoryChain) -> None:
    chain.says = "intrinsic gas too low"
    with pytest.raises(RpcError, match="intrinsic gas too low"):
        await ledger.send(b"raw")


@pytest.mark.anyio
async def test_a_confirmed_anchor(ledger: Ledger) -> None:
    assert await ledger.confirmation(HASH, ROOT) == ANCHOR
    assert await ledger.lookup(ROOT) == await ledger.lookup(ROOT, DIGEST) == ANCHOR


@pytest.mark.anyio
async def test_what_is_not_there_yet(ledger: Ledger, chain: MemoryChain) -> None:
    assert await ledger.confirmation("0x00", ROOT) is None
    chain.entry = bytes(128)
    assert await ledger.lookup(ROOT) is None
    chain.blocks.clear()
    assert await ledger.confirmation(HASH, ROOT) is None


@pytest.mark.anyio
async def test_blocks_must_follow(chain: MemoryChain) -> None:
    ledger = Ledger(chain, ACCOUNT, chain_id=CHAIN_ID, confirmations=2)
    chain.head = BLOCK + 1
    assert await ledger.confirmation(HASH, ROOT) is None
    assert await ledger.lookup(ROOT) is None
    chain.head = BLOCK + 2
    assert await ledger.confirmation(HASH, ROOT) == ANCHOR


@pytest.mark.anyio
async def test_nodes_that_differ_hold_the_anchor_back(ledger: Ledger, chain: MemoryChain) -> None:
    chain.blocks[BLOCK]["hash"] = "0x" + "11" * 32
    for question in (ledger.confirmation(HASH, ROOT), ledger.lookup(ROOT)):
        with pytest.raises(TemporaryError, match="different blocks"):
            await question
    chain.logs = []
    with pytest.raises(TemporaryError, match="lacks the anchor"):
        await ledger.lookup(ROOT)


@pytest.mark.anyio
async def test_a_repeated_anchor_leads_to_the_first(ledger: Ledger, chain: MemoryChain) -> None:
    chain.blocks[BLOCK + 1] = {"hash": "0x" + "22" * 32, "timestamp": hex(TIME + 1)}
    chain.receipts["0x01"] = mined(blockNumber=hex(BLOCK + 1), blockHash="0x" + "22" * 32, logs=[])
    assert await ledger.confirmation("0x01", ROOT) == ANCHOR


@pytest.mark.anyio
async def test_anchors_of_others_are_not_ours(ledger: Ledger, chain: MemoryChain) -> None:
    others = [
        AnchorLog(dataclasses.replace(ANCHORED, root=bytes(32)), index=0).json(),
        AnchorLog(dataclasses.replace(ANCHORED, submitter="0x" + "11" * 20), index=1).json(),
    ]
    own = AnchorLog(index=2).json()
    chain.logs = [*others, own]
    chain.receipts[HASH] = mined(logs=[*others, {"address": "0x" + "33" * 20, "topics": []}, own])
    for anchor in (await ledger.confirmation(HASH, ROOT), await ledger.lookup(ROOT)):
        assert anchor is not None
        assert anchor.log_index == 2


@pytest.mark.anyio
async def test_an_anchor_with_another_digest_is_refused(ledger: Ledger) -> None:
    with pytest.raises(PermanentError, match="another size or batch digest"):
        await ledger.lookup(ROOT, bytes(32))


@pytest.mark.anyio
async def test_a_refused_anchor_says_why(ledger: Ledger, chain: MemoryChain) -> None:
    chain.receipts[HASH] = mined(status="0x0", logs=[])
    with pytest.raises(PermanentError, match=f"{ACCOUNT.address} may not anchor.*setWriter"):
        await ledger.confirmation(HASH, ROOT)


@pytest.mark.anyio
async def test_whether_it_can_anchor_now(ledger: Ledger, chain: MemoryChain) -> None:
    await ledger.check()
    chain.paused = True
    with pytest.raises(TemporaryError, match="paused"):
        await ledger.check()
    chain.writer = False
    with pytest.raises(TemporaryError, match="setWriter"):
        await ledger.check()
    chain.contract_code = b""
    with pytest.raises(IntegrityError, match="another genesis"):
        await ledger.check()
    with pytest.raises(IntegrityError, match="of chain 1337 and not 1"):
        await Ledger(chain, ACCOUNT, chain_id=1).check()


@pytest.mark.anyio
async def test_block_times_of_raft(ledger: Ledger, chain: MemoryChain) -> None:
    chain.blocks[BLOCK]["timestamp"] = hex(TIME * 10**9 + 5)
    anchor = await ledger.confirmation(HASH, ROOT)
    assert anchor is not None
    assert anchor.block_time == TIME


PASSPHRASE = "correct horse"
KEYSTORE = keystore.encrypt(KEY[2:], PASSPHRASE)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "keystore.json", tmp_path / "passphrase"
    for path, text in zip(paths, (KEYSTORE, PASSPHRASE + "\n"), strict=True):
        path.touch(0o600)
        path.write_text(text)
    return paths


def test_an_account_from_its_files(files: tuple[Path, Path]) -> None:
    assert load_account(*files).address == ACCOUNT.address


def test_a_wrong_passphrase(files: tuple[Path, Path]) -> None:
    files[1].write_text("wrong battery")
    said = refused(files)
    assert "does not open" in said
    assert str(files[1]) in said
    assert "battery" not in said


def other_address(text: str) -> str:
    document = json.loads(text)
    return json.dumps(document | {"address": "11" * 20})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '"text"',
        "\x00",
        KEYSTORE[: len(KEYSTORE) // 2],
        KEYSTORE.replace("scrypt", "md5"),
        KEYSTORE.replace('"version": 3', '"version": 9').replace('"version":3', '"version":9'),
        other_address(KEYSTORE),
    ],
)
def test_a_damaged_keystore(files: tuple[Path, Path], text: str) -> None:
    files[0].write_text(text)
    said = refused(files)
    assert str(files[0]) in said
    assert "restore it" in said


def test_bytes_that_are_no_text(files: tuple[Path, Path]) -> None:
    files[0].write_bytes(b"\xff\xfe")
    assert "not text" in refused(files)


@pytest.mark.parametrize("which", [0, 1])
def test_files_that_are_open_to_others_or_missing(files: tuple[Path, Path], which: int) -> None:
    files[which].chmod(0o640)
    said = refused(files)
    assert f"chmod 600 {files[which]}" in said
    files[which].unlink()
    assert f"{files[which]} cannot be read" in refused(files)


def refused(files: tuple[Path, Path]) -> str:
    with pytest.raises(InputError) as error:
        load_account(*files)
    said = str(error.value)
    assert PASSPHRASE not in said
    assert "\n" not in said
    return said
