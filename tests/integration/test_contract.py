"""Promise: the contract of the genesis keeps every anchor as it was, and takes anchors from its writers only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from eth_account import Account
from web3 import Web3

from muniment.notary.ledger import ANCHOR_GAS
from muniment.proof import contract
from muniment.proof.contract import CONTRACT_ADDRESS, Head, accumulate
from tests.support import rpc
from tests.support.deployed import Deployed, fresh, one_node

pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployed]:
    with one_node() as deployed:
        yield deployed


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


def test_gas_stays_what_it_is(deployed: Deployed) -> None:
    """The notary's gas limit and the figures in the documents depend on it."""
    writer = deployed.writer()
    single = deployed.send(deployed.functions.anchor(fresh(), 2**32, fresh()), writer)["gasUsed"]
    many = [[fresh() for _ in range(10)], [2**32] * 10, [fresh() for _ in range(10)]]
    ten = deployed.send(deployed.functions.anchorMany(*many), writer)["gasUsed"]
    assert 80_000 < single < 90_000
    assert ten < 10 * 60_000
    assert 2 * single < ANCHOR_GAS
