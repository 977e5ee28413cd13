"""The verdict follows from the steps, and every contradiction is found by its own step."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import pytest

from muniment.proof.contract import CODE_HASH, Entry
from muniment.proof.receipt import Anchor, Receipt, build
from muniment.proof.unixfs import FileSummary, summary_of
from muniment.proof.verify import (
    CHAIN_STEPS,
    ChainFacts,
    Report,
    State,
    Step,
    TransactionFacts,
    Verdict,
    check_chain,
    check_offline,
    not_asked,
    proved_facts,
)
from tests.unit.proofs import (
    ANCHOR,
    ANCHORED,
    CONTENTS,
    FACTS,
    HEADER,
    LEAVES,
    SUBMITTER,
    TREE,
    log_of,
    pending_receipt,
    receipt_of,
    statement_of,
)

OTHER = hashlib.sha256(b"other").digest()


def report(receipt: Receipt, content: bytes = CONTENTS[1], facts: ChainFacts = FACTS) -> Report:
    return Report((*check_offline(summary_of(content), receipt), *check_chain(receipt, facts)))


def failed(of: Report) -> set[str]:
    return {step.name for step in of.steps if step.state is State.FAILED}


@pytest.mark.parametrize("number", range(3))
def test_a_file_is_proved(number: int) -> None:
    said = report(receipt_of(number), CONTENTS[number])
    assert {step.state for step in said.steps} == {State.OK}
    assert [step.name for step in said.steps] == ["file", "CID", "statement", "tree", "batch", *CHAIN_STEPS]
    assert said.verdict is Verdict.PROVED


def test_exit_statuses() -> None:
    assert {verdict: verdict.exit_status for verdict in Verdict} == {
        "proved": 0,
        "disproved": 1,
        "malformed": 3,
        "not trusted": 4,
        "incomplete": 5,
    }


def test_what_is_proved() -> None:
    facts = proved_facts(receipt_of(1))
    assert facts["not_after"] == "2023-11-14T22:13:23+00:00"
    assert facts["sha256"] == hashlib.sha256(CONTENTS[1]).hexdigest()
    assert facts["submitter"] == SUBMITTER
    assert proved_facts(receipt_of(1, None)) == {}


def test_another_file_is_disproved() -> None:
    said = report(receipt_of(1), b"another file")
    assert failed(said) == {"file", "CID"}
    assert said.verdict is Verdict.DISPROVED


def test_another_cid_of_the_right_file_is_disproved() -> None:
    wrong = dataclasses.replace(statement_of(CONTENTS[1]), cid=summary_of(b"other").cid).encode()
    steps = check_offline(summary_of(CONTENTS[1]), build(wrong))
    assert {step.name for step in steps if step.state is State.FAILED} == {"CID"}


def changed(receipt: Receipt, part: str, **changes: Any) -> Receipt:
    return receipt.model_copy(update={part: getattr(receipt, part).model_copy(update=changes)})


@pytest.mark.parametrize(
    ("part", "changes", "steps"),
    [
        ("subject", {"size": 1}, {"statement"}),
        ("subject", {"digests": (b"\x12\x20" + OTHER,)}, {"statement"}),
        ("subject", {"digests": receipt_of(1).subject.digests * 2}, {"statement"}),
        ("subject", {"cid": summary_of(b"other").cid}, {"statement"}),
        (
            "subject",
            {"cid_profile": receipt_of(1).subject.cid_profile.model_copy(update={"max_links": 9})},
            {"statement"},
        ),
        ("log", {"leaf_index": 0}, {"tree"}),
        ("log", {"leaf_index": 3}, {"tree"}),
        ("log", {"tree_size": 2}, {"tree", "batch", "anchor", "transaction"}),
        ("log", {"root": OTHER}, {"tree", "batch", "transaction"}),
        ("log", {"path": ()}, {"tree"}),
        ("log", {"path": (*receipt_of(1).log.path, OTHER)}, {"tree"}),  # type: ignore[union-attr]
        ("anchor", {"network": "other"}, {"batch"}),
        ("anchor", {"seq": 8}, {"anchor", "transaction"}),
        ("anchor", {"block_number": 999}, {"anchor"}),
        ("anchor", {"block_hash": OTHER}, {"block", "transaction"}),
        ("anchor", {"block_time": 1}, {"anchor", "block"}),
    ],
)
def test_every_changed_value_of_the_envelope_is_found(part: str, changes: dict[str, Any], steps: set[str]) -> None:
    said = report(changed(receipt_of(1), part, **changes))
    assert failed(said) == steps
    assert said.verdict is Verdict.DISPROVED


def test_the_name_is_not_proved() -> None:
    assert report(changed(receipt_of(1), "subject", name_hint="another name")).verdict is Verdict.PROVED


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"root": OTHER}, {"batch", "anchor", "transaction"}),
        ({"size": 4}, {"batch", "anchor", "transaction"}),
        ({"origin": "demo/beta"}, {"batch", "anchor", "transaction"}),
        ({"number": 5}, {"anchor", "transaction"}),
        ({"closed_at": 1}, {"anchor", "transaction"}),
    ],
)
def test_another_header_is_disproved(changes: dict[str, Any], steps: set[str]) -> None:
    header = dataclasses.replace(HEADER, **changes).encode()
    said = report(build(LEAVES[1], log=log_of(1), header=header, anchor=ANCHOR))
    assert failed(said) == steps


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"entry": None}, {"anchor"}),
        ({"entry": Entry(7, 4, ANCHOR.block_time, ANCHOR.block_number)}, {"anchor"}),
        ({"entry": Entry(8, 3, ANCHOR.block_time, ANCHOR.block_number)}, {"anchor"}),
        ({"entry": Entry(7, 3, ANCHOR.block_time, 999)}, {"anchor"}),
        ({"batch_digest": OTHER}, {"anchor"}),
        ({"block_hash": "0x" + OTHER.hex()}, {"block"}),
        ({"block_hash": ""}, {"block"}),
        ({"block_time": 1}, {"block"}),
        ({"transaction": None}, {"transaction"}),
        ({"transaction": TransactionFacts("0x" + OTHER.hex(), (ANCHORED,))}, {"transaction"}),
        ({"transaction": TransactionFacts(FACTS.block_hash, ())}, {"transaction"}),
        (
            {"transaction": TransactionFacts(FACTS.block_hash, (dataclasses.replace(ANCHORED, size=9),))},
            {"transaction"},
        ),
    ],
)
def test_a_chain_that_says_otherwise_disproves(changes: dict[str, Any], steps: set[str]) -> None:
    said = report(receipt_of(1), facts=dataclasses.replace(FACTS, **changes))
    assert failed(said) == steps
    assert said.verdict is Verdict.DISPROVED


def test_an_anchor_among_several_of_one_transaction_is_found() -> None:
    others = tuple(dataclasses.replace(ANCHORED, seq=seq, root=OTHER) for seq in (5, 6))
    facts = dataclasses.replace(FACTS, transaction=TransactionFacts(FACTS.block_hash, (*others, ANCHORED)))
    assert report(receipt_of(1), facts=facts).verdict is Verdict.PROVED


@pytest.mark.parametrize(
    ("anchor", "facts"),
    [
        ({}, {"chain_id": 1}),
        ({}, {"code_hash": OTHER}),
        ({"chain_id": 1}, {}),
        ({"contract": "0x" + "11" * 20}, {}),
    ],
)
def test_another_chain_or_contract_is_not_trusted(anchor: dict[str, Any], facts: dict[str, Any]) -> None:
    said = report(changed(receipt_of(1), "anchor", **anchor), facts=dataclasses.replace(FACTS, **facts))
    assert failed(said) == {"contract"}
    assert said.verdict is Verdict.NOT_TRUSTED
    assert {step.state for step in said.steps[-3:]} == {State.NOT_CHECKED}


def test_a_false_file_is_disproved_on_a_chain_that_is_not_trusted_too() -> None:
    said = report(receipt_of(1), b"another", dataclasses.replace(FACTS, code_hash=OTHER))
    assert said.verdict is Verdict.DISPROVED


def test_a_chain_without_the_contract_needs_no_other_answer() -> None:
    said = report(receipt_of(1), facts=ChainFacts(chain_id=ANCHOR.chain_id, code_hash=OTHER))
    assert said.verdict is Verdict.NOT_TRUSTED


def test_a_node_that_is_behind_decides_nothing() -> None:
    said = report(receipt_of(1), facts=dataclasses.replace(FACTS, head=ANCHOR.block_number - 1, entry=None))
    assert said.verdict is Verdict.INCOMPLETE
    assert "behind" in said.steps[-1].detail or "before block" in said.steps[-1].detail


@pytest.mark.parametrize(
    ("receipt", "open_steps"),
    [
        (pending_receipt(1), {"tree", "batch", *CHAIN_STEPS}),
        (receipt_of(1, None), {*CHAIN_STEPS}),
    ],
)
def test_a_receipt_without_anchor_is_incomplete(receipt: Receipt, open_steps: set[str]) -> None:
    said = report(receipt)
    assert {step.name for step in said.steps if step.state is State.NOT_CHECKED} == open_steps
    assert said.verdict is Verdict.INCOMPLETE
    assert report(receipt, b"another").verdict is Verdict.DISPROVED


def test_a_chain_that_was_not_asked_leaves_it_incomplete() -> None:
    steps = (*check_offline(summary_of(CONTENTS[1]), receipt_of(1)), *not_asked("no network"))
    assert Report(steps).verdict is Verdict.INCOMPLETE
    assert steps[-1] == Step("transaction", State.NOT_CHECKED, "no network")


def test_a_time_beyond_the_calendar_is_still_shown() -> None:
    far: Anchor = ANCHOR.model_copy(update={"block_time": 2**62})
    assert str(2**62)[:6] in proved_facts(receipt_of(1, far))["not_after"]


def test_a_large_file_with_a_tree_of_blocks() -> None:
    content = bytes(3 * 2**20 + 1)
    file = summary_of(content)
    leaf = statement_of(content).encode()
    assert all(step.state is not State.FAILED for step in check_offline(file, build(leaf)))
    assert FileSummary(file.size, file.sha256, file.cid, 0).cid != summary_of(content[:-1]).cid
    assert TREE.size == 3
    assert CODE_HASH
