"""Promise: the contract of the genesis keeps every anchor as it was, and takes anchors from its writers only."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.contract.contract import ContractFunction
from web3.exceptions import ContractCustomError

from muniment.cli.sources import digest
from muniment.clients.quorum import QuorumClient
from muniment.identity.model import account_paths
from muniment.kernel.errors import PermanentError, TemporaryError
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.notary.ledger import ANCHOR_GAS, Ledger, load_account
from muniment.notary.values import Anchor, Outbox
from muniment.proof import contract
from muniment.proof import receipt as receipts
from muniment.proof.batch import BatchHeader
from muniment.proof.contract import CONTRACT_ADDRESS, Head, accumulate
from muniment.proof.merkle import Tree
from muniment.proof.receipt import Log, Receipt, build
from muniment.proof.statement import Statement, multihash
from muniment.proof.verify import Verdict
from tests.support import rpc
from tests.support.goquorum import Chain
from tests.support.ports import port_block
from tests.support.waiting import BLOCKS, STARTED

pytestmark = pytest.mark.engines

CHAIN_ID = 4711
SPECIFICATION = {
    "name": "contract",
    "chain": {"id": CHAIN_ID, "empty_block_period_seconds": 1},
    "members": {"alpha": {"nodes": 1, "peers": 0, "notary": False}},
}
ARTIFACT = json.loads(Path(contract.__file__).with_name("anchor_contract.json").read_text())


class Deployed:
    """The contract as a stranger uses it: through web3.py and the compiler's ABI, not through our own encodings."""

    def __init__(self, chain: Chain) -> None:
        self.url = chain.url("alpha-1")
        keystore, passphrase = account_paths("alpha")
        self.admin = load_account(chain.root / "identity" / keystore, chain.root / "identity" / passphrase)
        self.web3 = Web3(Web3.HTTPProvider(self.url))
        self.contract = self.web3.eth.contract(address=Web3.to_checksum_address(CONTRACT_ADDRESS), abi=ARTIFACT["abi"])

    @property
    def functions(self) -> Any:
        """The contract's functions."""
        return self.contract.functions

    def send(self, call: ContractFunction, sender: LocalAccount | None = None) -> Any:
        """The receipt of a mined transaction, refused or not."""
        sender = sender or self.admin
        transaction = call.build_transaction(
            {
                "chainId": CHAIN_ID,
                "from": sender.address,
                "gas": 2_000_000,
                "gasPrice": 0,
                "nonce": self.web3.eth.get_transaction_count(sender.address),
            }
        )
        raw = sender.sign_transaction(transaction).raw_transaction
        return self.web3.eth.wait_for_transaction_receipt(self.web3.eth.send_raw_transaction(raw), BLOCKS, 0.1)

    def refusal(self, call: ContractFunction, sender: LocalAccount | None = None) -> str | None:
        """The error with which the contract refuses a call, by our own decoding."""
        with pytest.raises(ContractCustomError) as refused:
            call.call({"from": (sender or self.admin).address})
        return contract.refusal(bytes.fromhex(str(refused.value.data).removeprefix("0x")))

    def events(self, receipt: Any, name: str) -> list[dict[str, Any]]:
        """Arguments of the events of this name."""
        return [dict(event["args"]) for event in self.contract.events[name]().process_receipt(receipt)]

    def head(self) -> Head:
        """Sequence number and accumulator."""
        return Head(*self.functions.head().call())

    def writer(self) -> LocalAccount:
        """A fresh account that may anchor."""
        account: LocalAccount = Account.create()
        assert self.send(self.functions.setWriter(account.address, True))["status"] == 1
        return account


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    # The path of the node's socket must stay short.
    root = Path(tempfile.mkdtemp(prefix="e-", dir="/tmp"))
    with port_block() as base:
        chain = Chain(root, SPECIFICATION, base)
        try:
            chain.start()
            chain.wait_connected(timeout=STARTED)
            yield chain
        finally:
            chain.remove()
            shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def deployed(chain: Chain) -> Deployed:
    return Deployed(chain)


@pytest.fixture
async def client(deployed: Deployed) -> AsyncIterator[QuorumClient]:
    async with QuorumClient(deployed.url) as client:
        yield client


@pytest.fixture
async def ledger(client: QuorumClient, deployed: Deployed) -> Ledger:
    return Ledger(client, deployed.writer(), chain_id=CHAIN_ID)


def fresh() -> bytes:
    return secrets.token_bytes(32)


def test_the_genesis_holds_code_admin_and_writers(deployed: Deployed) -> None:
    assert Web3.keccak(deployed.web3.eth.get_code(CONTRACT_ADDRESS)) == contract.CODE_HASH
    assert deployed.functions.admin().call() == deployed.admin.address
    assert deployed.functions.isWriter(deployed.admin.address).call()
    assert not deployed.functions.isWriter(Account.create().address).call()
    assert not deployed.functions.paused().call()
    assert int(deployed.functions.pendingAdmin().call(), 16) == 0


def test_a_writer_anchors(deployed: Deployed) -> None:
    before, root, digest = deployed.head(), fresh(), fresh()
    receipt = deployed.send(deployed.functions.anchor(root, 5, digest))
    (event,) = deployed.events(receipt, "Anchored")
    assert event == {
        "root": root,
        "seq": before.seq + 1,
        "submitter": deployed.admin.address,
        "size": 5,
        "batchDigest": digest,
        "previousAccumulator": before.accumulator,
    }
    block = rpc.call(deployed.url, "eth_getBlockByNumber", hex(receipt["blockNumber"]), False)
    entry = deployed.functions.get(deployed.admin.address, root).call()
    assert entry == [before.seq + 1, 5, int(block["timestamp"], 16), receipt["blockNumber"]]
    assert deployed.functions.digestOf(deployed.admin.address, root).call() == digest
    assert deployed.head() == Head(before.seq + 1, accumulate(before.accumulator, root, 5, digest))


def test_nobody_else_anchors_or_supersedes(deployed: Deployed) -> None:
    stranger, before = Account.create(), deployed.head()
    assert deployed.refusal(deployed.functions.anchor(fresh(), 1, fresh()), stranger) == "NotWriter"
    assert deployed.refusal(deployed.functions.anchorMany([fresh()], [1], [fresh()]), stranger) == "NotWriter"
    assert deployed.refusal(deployed.functions.supersede(fresh(), fresh(), 1), stranger) == "NotWriter"
    assert deployed.head() == before


def test_the_same_batch_again_changes_nothing(deployed: Deployed) -> None:
    root, digest = fresh(), fresh()
    first = deployed.send(deployed.functions.anchor(root, 3, digest))
    before, entry = deployed.head(), deployed.functions.get(deployed.admin.address, root).call()
    assert deployed.functions.anchor(root, 3, digest).call({"from": deployed.admin.address}) == before.seq
    again = deployed.send(deployed.functions.anchor(root, 3, digest))
    assert (again["status"], again["logs"]) == (1, [])
    assert again["blockNumber"] > first["blockNumber"]
    assert deployed.functions.get(deployed.admin.address, root).call() == entry
    assert deployed.head() == before


def test_the_same_root_with_another_size_or_digest_is_refused(deployed: Deployed) -> None:
    root, digest = fresh(), fresh()
    deployed.send(deployed.functions.anchor(root, 3, digest))
    before = deployed.head()
    assert deployed.refusal(deployed.functions.anchor(root, 4, digest)) == "DifferentBatch"
    assert deployed.refusal(deployed.functions.anchor(root, 3, fresh())) == "DifferentBatch"
    assert deployed.send(deployed.functions.anchor(root, 4, digest))["status"] == 0
    assert deployed.head() == before


def test_a_copied_root_takes_nothing_from_its_first_submitter(deployed: Deployed) -> None:
    root, digest, other = fresh(), fresh(), deployed.writer()
    deployed.send(deployed.functions.anchor(root, 3, fresh()), other)
    (event,) = deployed.events(deployed.send(deployed.functions.anchor(root, 7, digest)), "Anchored")
    assert (event["size"], event["submitter"]) == (7, deployed.admin.address)
    assert deployed.functions.get(other.address, root).call()[1] == 3


def test_an_empty_batch_is_refused(deployed: Deployed) -> None:
    assert deployed.refusal(deployed.functions.anchor(fresh(), 0, fresh())) == "EmptyBatch"


def test_several_batches_are_anchored_in_order_and_all_or_none(deployed: Deployed) -> None:
    batches = [(fresh(), size, fresh()) for size in (1, 2, 2**64 - 1)]
    before = deployed.head()
    roots, sizes, digests = zip(*batches, strict=True)
    call = deployed.functions.anchorMany(roots, sizes, digests)
    assert bytes.fromhex(call._encode_transaction_data()[2:]) == contract.encode_anchor_many(batches)
    assert call.call({"from": deployed.admin.address}) == before.seq + 1
    events = deployed.events(deployed.send(call), "Anchored")
    accumulator = before.accumulator
    for offset, (event, (root, size, digest)) in enumerate(zip(events, batches, strict=True), 1):
        assert (event["root"], event["size"], event["seq"]) == (root, size, before.seq + offset)
        assert event["previousAccumulator"] == accumulator
        accumulator = accumulate(accumulator, root, size, digest)
    assert deployed.head() == Head(before.seq + 3, accumulator)

    one_is_wrong = deployed.functions.anchorMany([fresh(), roots[0]], [1, 9], [fresh(), digests[0]])
    assert deployed.refusal(one_is_wrong) == "DifferentBatch"
    assert deployed.refusal(deployed.functions.anchorMany([], [], [])) == "LengthsDiffer"
    assert deployed.refusal(deployed.functions.anchorMany([fresh()], [1, 2], [fresh()])) == "LengthsDiffer"
    assert deployed.head().seq == before.seq + 3


def test_a_supersession_is_an_event_and_changes_nothing(deployed: Deployed) -> None:
    before, old, new = deployed.head(), fresh(), fresh()
    (event,) = deployed.events(deployed.send(deployed.functions.supersede(old, new, 2)), "Superseded")
    assert event == {"oldStatement": old, "newStatement": new, "submitter": deployed.admin.address, "reason": 2}
    assert deployed.head() == before


def test_a_writer_can_be_dismissed(deployed: Deployed) -> None:
    writer, root = deployed.writer(), fresh()
    deployed.send(deployed.functions.anchor(root, 1, fresh()), writer)
    (event,) = deployed.events(deployed.send(deployed.functions.setWriter(writer.address, False)), "WriterSet")
    assert event == {"writer": writer.address, "allowed": False}
    assert deployed.refusal(deployed.functions.anchor(fresh(), 1, fresh()), writer) == "NotWriter"
    assert deployed.functions.get(writer.address, root).call()[1] == 1


def test_a_pause_stops_new_anchors_and_neither_repeats_nor_reads(deployed: Deployed) -> None:
    root, digest = fresh(), fresh()
    deployed.send(deployed.functions.anchor(root, 3, digest))
    before = deployed.head()
    assert deployed.events(deployed.send(deployed.functions.pause(True)), "Paused") == [{"paused": True}]
    try:
        assert deployed.functions.admin().call() == deployed.admin.address
        assert deployed.refusal(deployed.functions.anchor(fresh(), 1, fresh())) == "AnchoringPaused"
        assert deployed.send(deployed.functions.anchor(root, 3, digest))["status"] == 1
        assert deployed.functions.get(deployed.admin.address, root).call()[1] == 3
        assert deployed.head() == before
    finally:
        assert deployed.events(deployed.send(deployed.functions.pause(False)), "Paused") == [{"paused": False}]
    deployed.send(deployed.functions.anchor(fresh(), 1, fresh()))
    assert deployed.head().seq == before.seq + 1


def test_the_administrator_hands_over_in_two_steps(deployed: Deployed) -> None:
    successor, stranger = Account.create(), Account.create()
    for call in (
        deployed.functions.setWriter(stranger.address, True),
        deployed.functions.pause(True),
        deployed.functions.proposeAdmin(stranger.address),
        deployed.functions.acceptAdmin(),
    ):
        assert deployed.refusal(call, stranger) == "NotAdmin"
    deployed.send(deployed.functions.proposeAdmin(successor.address))
    assert deployed.functions.admin().call() == deployed.admin.address
    assert deployed.refusal(deployed.functions.acceptAdmin(), stranger) == "NotAdmin"
    (event,) = deployed.events(deployed.send(deployed.functions.acceptAdmin(), successor), "AdminChanged")
    assert event == {"previousAdmin": deployed.admin.address, "newAdmin": successor.address}
    assert deployed.refusal(deployed.functions.pause(True)) == "NotAdmin"
    assert deployed.refusal(deployed.functions.acceptAdmin(), successor) == "NotAdmin"

    deployed.send(deployed.functions.proposeAdmin(deployed.admin.address), successor)
    deployed.send(deployed.functions.acceptAdmin())
    assert deployed.functions.admin().call() == deployed.admin.address


def test_a_proposal_can_be_withdrawn(deployed: Deployed) -> None:
    successor = Account.create()
    deployed.send(deployed.functions.proposeAdmin(successor.address))
    deployed.send(deployed.functions.proposeAdmin("0x" + "00" * 20))
    assert deployed.refusal(deployed.functions.acceptAdmin(), successor) == "NotAdmin"


async def mined(ledger: Ledger, outbox: Outbox, root: bytes) -> Anchor:
    """The anchor of a transaction, awaited."""

    async def probe() -> Anchor:
        anchor = await ledger.confirmation(outbox.hash, root)
        if anchor is None:
            raise NotYetError("not mined")
        return anchor

    return await wait_for("the anchor", probe, timeout=BLOCKS)


@pytest.mark.anyio
async def test_the_ledger_anchors_and_finds_the_anchor_again(ledger: Ledger, client: QuorumClient) -> None:
    root, digest = fresh(), fresh()
    await ledger.check()
    assert await ledger.next_nonce() == 0
    assert await ledger.lookup(root) is None
    outbox = ledger.sign(root, 9, digest, 0)
    assert ledger.sign(root, 9, digest, 0) == outbox
    await ledger.send(outbox.raw)
    await ledger.send(outbox.raw)
    anchor = await mined(ledger, outbox, root)
    await ledger.send(outbox.raw)
    assert await ledger.next_nonce() == 1

    entry = contract.decode_get(
        await client.call_contract(CONTRACT_ADDRESS, contract.encode_get(ledger.submitter, root))
    )
    block = await client.block(anchor.block_number)
    assert entry == contract.Entry(anchor.seq, 9, anchor.block_time, anchor.block_number)
    assert block is not None
    assert (anchor.transaction, anchor.block_hash) == (outbox.hash, block["hash"])
    assert await ledger.lookup(root) == await ledger.lookup(root, digest) == anchor
    with pytest.raises(PermanentError, match="another size or batch digest"):
        await ledger.lookup(root, fresh())


@pytest.mark.anyio
async def test_a_second_transaction_for_a_batch_leads_to_its_first_anchor(ledger: Ledger) -> None:
    root, digest = fresh(), fresh()
    first, second = ledger.sign(root, 9, digest, 0), ledger.sign(root, 9, digest, 1)
    await ledger.send(first.raw)
    anchor = await mined(ledger, first, root)
    await ledger.send(second.raw)
    assert await mined(ledger, second, root) == anchor


@pytest.mark.anyio
async def test_the_ledger_waits_for_the_blocks_that_must_follow(client: QuorumClient, deployed: Deployed) -> None:
    root, ledger = fresh(), Ledger(client, deployed.writer(), chain_id=CHAIN_ID, confirmations=3)
    outbox = ledger.sign(root, 1, fresh(), 0)
    await ledger.send(outbox.raw)
    anchor = await mined(ledger, outbox, root)
    assert await client.block_number() >= anchor.block_number + 3


@pytest.mark.anyio
async def test_the_ledger_says_why_an_anchor_was_refused(ledger: Ledger, client: QuorumClient) -> None:
    stranger = Ledger(client, Account.create(), chain_id=CHAIN_ID)
    with pytest.raises(TemporaryError, match=f"{stranger.submitter} may not anchor.*setWriter"):
        await stranger.check()
    root = fresh()
    outbox = stranger.sign(root, 1, fresh(), 0)
    await stranger.send(outbox.raw)
    with pytest.raises(PermanentError, match=f"was refused: the account {stranger.submitter} may not anchor"):
        await mined(stranger, outbox, root)

    first, other = ledger.sign(root, 1, fresh(), 0), ledger.sign(root, 1, fresh(), 1)
    await ledger.send(first.raw)
    await mined(ledger, first, root)
    await ledger.send(other.raw)
    with pytest.raises(PermanentError, match="another size or batch digest"):
        await mined(ledger, other, root)


@pytest.mark.anyio
async def test_the_ledger_sees_a_pause(ledger: Ledger, deployed: Deployed) -> None:
    deployed.send(deployed.functions.pause(True))
    try:
        with pytest.raises(TemporaryError, match="anchoring is paused"):
            await ledger.check()
    finally:
        deployed.send(deployed.functions.pause(False))
    await ledger.check()


@pytest.mark.anyio
async def test_a_file_is_verified_against_the_chain_in_flat_memory(
    ledger: Ledger, client: QuorumClient, tmp_path: Path
) -> None:
    file = tmp_path / "sparse"
    with file.open("wb") as stream:
        stream.truncate(2 * 2**30)
    summary = digest(file)
    leaf = Statement(
        digest=multihash(summary.sha256),
        size=summary.size,
        cid=summary.cid,
        salt=fresh(),
        received_at=1_700_000_000_000,
        network="contract",
        member="alpha",
    ).encode()
    tree = Tree([leaf])
    header = BatchHeader("contract/alpha", 1, bytes(32), 1, tree.root, 0, 1)
    outbox = ledger.sign(tree.root, 1, header.digest(), 0)
    await ledger.send(outbox.raw)
    anchor = await mined(ledger, outbox, tree.root)
    receipt = build(
        leaf,
        log=Log(leaf_index=0, tree_size=1, root=tree.root, path=()),
        header=header.encode(),
        anchor=receipts.Anchor(
            type="goquorum-qbft",
            network="contract",
            chain_id=CHAIN_ID,
            contract=CONTRACT_ADDRESS,
            submitter=ledger.submitter,
            seq=anchor.seq,
            block_number=anchor.block_number,
            block_hash=bytes.fromhex(anchor.block_hash[2:]),
            block_time=anchor.block_time,
            transaction=bytes.fromhex(anchor.transaction[2:]),
        ),
    )
    url = client.url
    assert verified(tmp_path, file, receipt, url) == "proved"
    small = tmp_path / "small"
    small.write_bytes(b"")
    assert verified(tmp_path, small, receipt, url) == "disproved"
    false = receipt.model_copy(update={"anchor": receipt.anchor.model_copy(update={"seq": anchor.seq + 1})})
    assert verified(tmp_path, file, false, url) == "disproved"


def verified(folder: Path, file: Path, receipt: Receipt, url: str) -> str:
    """The verdict of the command, which may not use more memory than its libraries take."""
    (folder / "receipt").write_text(receipt.to_json())
    command = [
        sys.executable,
        "-m",
        "muniment",
        "verify",
        file,
        "--receipt",
        folder / "receipt",
        "--rpc",
        url,
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.read())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == Verdict(told["verdict"]).exit_status
    assert usage.ru_maxrss < 150 * 1024
    return str(told["verdict"])


def test_gas_stays_what_it_is(deployed: Deployed) -> None:
    """The notary's gas limit and the figures in the documents depend on it."""
    writer = deployed.writer()
    single = deployed.send(deployed.functions.anchor(fresh(), 2**32, fresh()), writer)["gasUsed"]
    many = [[fresh() for _ in range(10)], [2**32] * 10, [fresh() for _ in range(10)]]
    ten = deployed.send(deployed.functions.anchorMany(*many), writer)["gasUsed"]
    assert 80_000 < single < 90_000
    assert ten < 10 * 60_000
    assert 2 * single < ANCHOR_GAS
