"""The verification of a receipt: one step after the other, each with its result, and a verdict over all.

Pure: the file is given as its summary, the chain as the facts that somebody asked of a node. Every value that can be
derived is derived and compared. A step that could not be done never counts as done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from muniment.kernel.encoding import to_hex
from muniment.proof import batch, statement
from muniment.proof.contract import CODE_HASH, CONTRACT_ADDRESS, Anchored, Entry
from muniment.proof.merkle import BrokenPathError, leaf_hash, root_from_path
from muniment.proof.receipt import Anchor, Receipt, subject_of
from muniment.proof.statement import Statement
from muniment.proof.unixfs import FileSummary


class State(StrEnum):
    """Result of one step."""

    OK = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


class Verdict(StrEnum):
    """What all steps together say."""

    PROVED = "proved"
    DISPROVED = "disproved"
    MALFORMED = "malformed"
    NOT_TRUSTED = "not trusted"
    INCOMPLETE = "incomplete"

    @property
    def exit_status(self) -> int:
        """The status with which `muniment verify` ends."""
        return _EXIT_STATUS[self]


_EXIT_STATUS: Final = {
    Verdict.PROVED: 0,
    Verdict.DISPROVED: 1,
    Verdict.MALFORMED: 3,
    Verdict.NOT_TRUSTED: 4,
    Verdict.INCOMPLETE: 5,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it is about, its result, and what was seen."""

    name: str
    state: State
    detail: str


TRUST_STEP: Final = "contract"
"""The step that says whether the chain is one whose word counts."""

CHAIN_STEPS: Final = (TRUST_STEP, "anchor", "block", "transaction")


@dataclass(frozen=True, slots=True)
class Report:
    """All steps in order, and what they say together."""

    steps: tuple[Step, ...]

    @property
    def verdict(self) -> Verdict:
        """Disproved when anything contradicts the receipt, proved only when every step was done."""
        failed = {step.name for step in self.steps if step.state is State.FAILED}
        if failed - {TRUST_STEP}:
            return Verdict.DISPROVED
        if failed:
            return Verdict.NOT_TRUSTED
        if any(step.state is State.NOT_CHECKED for step in self.steps):
            return Verdict.INCOMPLETE
        return Verdict.PROVED


@dataclass(frozen=True, slots=True)
class TransactionFacts:
    """What a node says of the anchoring transaction: its block, and the anchors that it made in our contract."""

    block_hash: str
    anchors: tuple[Anchored, ...]


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """What one node answered at one moment. Of a chain without the known contract only the first two count.

    `block_time` is in seconds since 1970.
    """

    chain_id: int
    code_hash: bytes
    head: int = 0
    entry: Entry | None = None
    batch_digest: bytes = b""
    block_hash: str = ""
    block_time: int = 0
    transaction: TransactionFacts | None = None


def check_offline(file: FileSummary, receipt: Receipt) -> tuple[Step, ...]:
    """The steps that need nothing but file and receipt."""
    said = statement.decode(receipt.statement)
    return (
        _step(
            "file",
            f"{file.size} bytes, SHA-256 {file.sha256.hex()}",
            {
                "size": (file.size, said.size),
                "SHA-256": (statement.multihash(file.sha256).hex(), said.digest.hex()),
            },
        ),
        _step("CID", file.cid, {"CID": (file.cid, said.cid)}),
        _step(
            "statement",
            f"of {said.member} in {said.network}, received {_time(said.received_at / 1000)} by its own clock",
            {"copy in the envelope": (receipt.subject, subject_of(said, receipt.subject.name_hint))},
        ),
        _tree(receipt),
        _batch(receipt, said),
    )


def check_chain(receipt: Receipt, facts: ChainFacts) -> tuple[Step, ...]:
    """The steps that compare the receipt with a chain. The receipt must be anchored."""
    anchor, log, held = receipt.anchor, receipt.log, receipt.batch
    if anchor is None or log is None or held is None:
        return not_asked("the receipt is not anchored yet: fetch it again from its notary")
    trust = _trust(anchor, facts)
    if trust.state is not State.OK:
        return (trust, *not_asked("the chain is not trusted")[1:])
    if facts.head < anchor.block_number:
        behind = f"the node is at block {facts.head}, before block {anchor.block_number}: ask another or try again"
        return (trust, *not_asked(behind)[1:])
    expected = Anchored(
        root=log.root,
        seq=anchor.seq,
        submitter=anchor.submitter.lower(),
        size=log.tree_size,
        batch_digest=batch.header_digest(held.header),
        previous_accumulator=b"",
    )
    return (
        trust,
        _entry(anchor, expected, facts),
        _step(
            "block",
            f"{anchor.block_number} of {_time(anchor.block_time)}",
            {
                "hash": (to_hex(anchor.block_hash), facts.block_hash),
                "time": (anchor.block_time, facts.block_time),
            },
        ),
        _transaction(anchor, expected, facts.transaction),
    )


def not_asked(cause: str) -> tuple[Step, ...]:
    """The chain's steps when nobody could ask the chain."""
    return tuple(Step(name, State.NOT_CHECKED, cause) for name in CHAIN_STEPS)


def malformed(cause: str) -> Step:
    """The one step of a receipt that cannot be read."""
    return Step("receipt", State.FAILED, cause)


def proved_facts(receipt: Receipt) -> dict[str, Any]:
    """What a receipt proves once the verdict is `proved`, for programs. The file is not younger than `not_after`."""
    said = statement.decode(receipt.statement)
    anchor = receipt.anchor
    if anchor is None:
        return {}
    return {
        "sha256": said.digest[2:].hex(),
        "size": said.size,
        "cid": said.cid,
        "not_after": _time(anchor.block_time),
        "submitter": anchor.submitter,
        "chain_id": anchor.chain_id,
        "contract": anchor.contract,
        "block_number": anchor.block_number,
        "block_hash": to_hex(anchor.block_hash),
        "seq": anchor.seq,
    }


def _tree(receipt: Receipt) -> Step:
    log = receipt.log
    if log is None:
        return Step("tree", State.NOT_CHECKED, "the receipt is pending: fetch it again from its notary")
    try:
        root = root_from_path(leaf_hash(receipt.statement), log.leaf_index, log.tree_size, log.path)
    except BrokenPathError as error:
        return Step("tree", State.FAILED, str(error))
    return _step(
        "tree", f"leaf {log.leaf_index} of {log.tree_size}, root {root.hex()}", {"root": (root.hex(), log.root.hex())}
    )


def _batch(receipt: Receipt, said: Statement) -> Step:
    log, held = receipt.log, receipt.batch
    if log is None or held is None:
        return Step("batch", State.NOT_CHECKED, "the receipt is pending: fetch it again from its notary")
    header = batch.decode(held.header)
    return _step(
        "batch",
        f"number {header.number} of {header.origin}, digest {batch.header_digest(held.header).hex()}",
        {
            "root": (header.root.hex(), log.root.hex()),
            "size": (header.size, log.tree_size),
            "origin": (header.origin, batch.origin_of(said.network, said.member)),
            "network": (said.network if receipt.anchor is None else receipt.anchor.network, said.network),
        },
    )


def _trust(anchor: Anchor, facts: ChainFacts) -> Step:
    return _step(
        TRUST_STEP,
        f"{anchor.contract} of chain {anchor.chain_id} has the known code",
        {
            "address": (anchor.contract.lower(), CONTRACT_ADDRESS.lower()),
            "chain": (anchor.chain_id, facts.chain_id),
            "code": (CODE_HASH.hex(), facts.code_hash.hex()),
        },
    )


def _entry(anchor: Anchor, expected: Anchored, facts: ChainFacts) -> Step:
    entry = facts.entry
    if entry is None:
        return Step("anchor", State.FAILED, f"{anchor.submitter} never anchored this root")
    return _step(
        "anchor",
        f"number {entry.seq}, by {anchor.submitter} in block {entry.block_number}",
        {
            "size": (expected.size, entry.size),
            "batch digest": (expected.batch_digest.hex(), facts.batch_digest.hex()),
            "number": (expected.seq, entry.seq),
            "block": (anchor.block_number, entry.block_number),
            "time": (anchor.block_time, entry.time),
        },
    )


def _transaction(anchor: Anchor, expected: Anchored, facts: TransactionFacts | None) -> Step:
    name, shown = "transaction", to_hex(anchor.transaction)
    if facts is None:
        return Step(name, State.FAILED, f"the chain has no transaction {shown}")
    made = [_without_accumulator(anchored) for anchored in facts.anchors]
    return _step(
        name,
        shown,
        {
            "block": (to_hex(anchor.block_hash), facts.block_hash),
            "anchor in it": ("this one", "this one" if expected in made else "none or another"),
        },
    )


def _without_accumulator(anchored: Anchored) -> Anchored:
    return Anchored(anchored.root, anchored.seq, anchored.submitter, anchored.size, anchored.batch_digest, b"")


def _step(name: str, detail: str, compared: Mapping[str, tuple[object, object]]) -> Step:
    differences = list(_differences(compared))
    if differences:
        return Step(name, State.FAILED, "; ".join(differences))
    return Step(name, State.OK, detail)


def _differences(compared: Mapping[str, tuple[object, object]]) -> Iterator[str]:
    for what, (one, other) in compared.items():
        if one != other:
            shown = f": {one} against {other}" if isinstance(one, int | str) else ""
            yield f"{what} differs{shown}"


def _time(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f} s after 1970"
