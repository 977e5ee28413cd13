"""Quorum arithmetic: how many validators a chain needs, and what may fail.

Pure. With n validators:

| consensus | quorum | may be stopped | may lie |
|---|---|---|---|
| qbft, ibft | ceil(2n/3) | n - ceil(2n/3) | ceil(n/3) - 1 |
| raft | floor(n/2) + 1 | n - quorum | 0 |
| clique | floor(n/2) + 1 | n - quorum | 0 |

QBFT and IBFT: GoQuorum consensus/istanbul (`F` = ceil(n/3) - 1; `ceil2Nby3Block: 0` in our genesis makes the quorum
ceil(2n/3) and not 2F + 1, which is unsafe for n = 5, 6, 8, 9). Clique: of any floor(n/2) + 1 blocks in a row a signer
may write one (EIP-225). Raft: the majority of the Raft paper, section 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from muniment.identity.keys import disordered
from muniment.identity.model import Identities
from muniment.spec.model import Consensus, Consortium

BYZANTINE = frozenset({Consensus.QBFT, Consensus.IBFT})
"""Protocols that go on rightly although some validators lie."""


@dataclass(frozen=True)
class Assessment:
    """What the chain of a specification tolerates."""

    validators: int
    quorum: int
    """So many validators must run for the chain to go on."""
    faults_tolerated: int
    """So many validators may fail in any way that the protocol withstands: lie (qbft, ibft) or stop (raft, clique)."""
    outages_tolerated: int
    """So many validators may be stopped at once."""
    warnings: tuple[str, ...]
    """One sentence each, with its arithmetic."""


def quorum(consensus: Consensus, validators: int) -> int:
    """The number of `validators` that must agree on a block."""
    if consensus in BYZANTINE:
        return -(-2 * validators // 3)
    return validators // 2 + 1


def outages_tolerated(consensus: Consensus, validators: int) -> int:
    """How many of `validators` may be stopped at once while the chain goes on; 0 without validators."""
    return max(0, validators - quorum(consensus, validators))


def faults_tolerated(consensus: Consensus, validators: int) -> int:
    """How many of `validators` may be faulty: may lie with qbft and ibft, may stop with raft and clique."""
    if consensus in BYZANTINE:
        return max(0, -(-validators // 3) - 1)
    return outages_tolerated(consensus, validators)


def assess(spec: Consortium, identities: Identities) -> Assessment:
    """What the chain tolerates, and warnings about what would be better."""
    consensus, count = spec.chain.consensus, len(identities.validators)
    warnings = (
        *_halting_members(consensus, identities),
        *_no_tolerance(consensus, count),
        *_useless_validators(consensus, count),
        *_two_orders(consensus, identities),
    )
    return Assessment(
        validators=count,
        quorum=quorum(consensus, count),
        faults_tolerated=faults_tolerated(consensus, count),
        outages_tolerated=outages_tolerated(consensus, count),
        warnings=warnings,
    )


def _halting_members(consensus: Consensus, identities: Identities) -> list[str]:
    total = len(identities.validators)
    needed = quorum(consensus, total)
    warnings = []
    for member in identities.members:
        own = sum(node.validator for node in member.nodes)
        if own and total - own < needed:
            warnings.append(
                f"an outage of member {member.member} alone stops the chain: it has {own} of {total} validators, which"
                f" leaves {total - own}, and {_formula(consensus, total)} = {needed} must run"
            )
    return warnings


def _no_tolerance(consensus: Consensus, total: int) -> list[str]:
    if outages_tolerated(consensus, total) == 0:
        needed = quorum(consensus, total)
        return [
            f"the chain tolerates no outage: of {total} validators {_formula(consensus, total)} = {needed} must run;"
            f" {_smallest(consensus)} tolerate one"
        ]
    if faults_tolerated(consensus, total) == 0:
        # Of the protocols that withstand lies only three validators come here: fewer tolerate no outage either.
        return [
            f"the chain goes on when 1 of {total} validators stops, but tolerates none that lies:"
            f" ceil({total}/3) - 1 = 0; 4 validators tolerate one"
        ]
    return []


def _useless_validators(consensus: Consensus, total: int) -> list[str]:
    if consensus not in BYZANTINE or total <= 4 or total % 3 == 1:
        return []
    faults = faults_tolerated(consensus, total)
    enough, better = 3 * faults + 1, 3 * faults + 4
    spare = "1 validator adds" if total - enough == 1 else f"{total - enough} validators add"
    return [
        f"of {total} validators {faults} may lie, ceil({total}/3) - 1, and of {enough} as many: {spare} nothing;"
        f" of {better} validators {faults + 1} may lie"
    ]


def _two_orders(consensus: Consensus, identities: Identities) -> list[str]:
    names = {node.coinbase: node.name for member in identities.members for node in member.nodes if node.validator}
    found = disordered(names) if consensus is Consensus.QBFT else None
    if found is None:
        return []
    first, second = (names[address] for address in found)
    return [
        f"validators {first} and {second} are in one order by the bytes of their addresses and in the other by their"
        " text: GoQuorum changes from the first to the second when a validator is restarted,"
        " and while both are in use blocks take many rounds; make one of them anew before the chain is started, or"
        " restart all validators together"
    ]


def _formula(consensus: Consensus, total: int) -> str:
    return f"ceil(2*{total}/3)" if consensus in BYZANTINE else f"floor({total}/2) + 1"


def _smallest(consensus: Consensus) -> str:
    return "4 validators" if consensus in BYZANTINE else "3 validators"
