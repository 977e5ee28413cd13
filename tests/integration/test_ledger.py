"""Promise: a batch is anchored once however often it is sent, and its receipt is verified against the chain."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from eth_account import Account

from muniment.cli.sources import digest as summary_of
from muniment.clients.quorum import QuorumClient
from muniment.kernel.errors import PermanentError, TemporaryError
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.notary.ledger import Ledger
from muniment.notary.values import Anchor, Outbox
from muniment.proof import contract
from muniment.proof import receipt as receipts
from muniment.proof.batch import BatchHeader
from muniment.proof.contract import CONTRACT_ADDRESS
from muniment.proof.merkle import Tree
from muniment.proof.receipt import Log, Receipt, build
from muniment.proof.statement import Statement, multihash
from muniment.proof.verify import Verdict
from tests.support.deployed import CHAIN_ID, Deployed, fresh, one_node
from tests.support.waiting import BLOCKS

pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployed]:
    with one_node() as deployed:
        yield deployed


@pytest.fixture
async def client(deployed: Deployed) -> AsyncIterator[QuorumClient]:
    async with QuorumClient(deployed.url) as client:
        yield client


@pytest.fixture
async def ledger(client: QuorumClient, deployed: Deployed) -> Ledger:
    return Ledger(client, deployed.writer(), chain_id=CHAIN_ID)


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
        stream.truncate(2**29)
    summary = summary_of(file)
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


# A process inherits the peak of the one that started it (Linux fs/exec.c), so a small one has to start and measure it.
PEAK_MEMORY = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:])
_, status, usage = os.wait4(child.pid, 0)
print(usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


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
    done = subprocess.run([sys.executable, "-c", PEAK_MEMORY, *command], capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    assert done.returncode == Verdict(told["verdict"]).exit_status
    assert int(done.stderr.split()[-1]) < 150 * 1024
    return str(told["verdict"])
