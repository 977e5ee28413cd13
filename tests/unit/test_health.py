from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.operate.health import assess, faults_tolerated, outages_tolerated, quorum
from muniment.spec.model import Consensus, Consortium
from tests.unit.identities import consortium, member

QBFT, IBFT, RAFT, CLIQUE = Consensus
BFT = st.sampled_from([QBFT, IBFT])
COUNTS = st.integers(1, 500)


def assessed(*validators: int, consensus: Consensus = QBFT) -> tuple[str, ...]:
    """The warnings for members with these numbers of validators."""
    members = [
        member(f"m{index}", first_key=1 + 20 * index, nodes=max(count, 1), validators=count)
        for index, count in enumerate(validators)
    ]
    spec = Consortium.model_validate({"members": {"m0": {}}, "chain": {"consensus": consensus}})
    return assess(spec, consortium(*members)).warnings


@pytest.mark.parametrize(
    ("validators", "needed", "faults", "outages"),
    [(1, 1, 0, 0), (2, 2, 0, 0), (3, 2, 0, 1), (4, 3, 1, 1), (5, 4, 1, 1), (6, 4, 1, 2), (7, 5, 2, 2), (10, 7, 3, 3)],
)
@pytest.mark.parametrize("consensus", [QBFT, IBFT])
def test_byzantine(consensus: Consensus, validators: int, needed: int, faults: int, outages: int) -> None:
    assert quorum(consensus, validators) == needed
    assert faults_tolerated(consensus, validators) == faults
    assert outages_tolerated(consensus, validators) == outages


@pytest.mark.parametrize(
    ("validators", "needed", "faults"), [(1, 1, 0), (2, 2, 0), (3, 2, 1), (4, 3, 1), (5, 3, 2), (7, 4, 3)]
)
@pytest.mark.parametrize("consensus", [RAFT, CLIQUE])
def test_majorities(consensus: Consensus, validators: int, needed: int, faults: int) -> None:
    assert quorum(consensus, validators) == needed
    assert faults_tolerated(consensus, validators) == outages_tolerated(consensus, validators) == faults


@given(BFT, COUNTS)
def test_two_quorums_share_more_than_may_lie(consensus: Consensus, validators: int) -> None:
    shared = 2 * quorum(consensus, validators) - validators
    assert shared > faults_tolerated(consensus, validators)


@given(BFT, COUNTS)
def test_the_honest_are_a_quorum(consensus: Consensus, validators: int) -> None:
    faults = faults_tolerated(consensus, validators)
    assert validators - faults >= quorum(consensus, validators)
    assert faults == math.ceil(validators / 3) - 1
    assert 3 * faults < validators <= 3 * faults + 3


@given(st.sampled_from(Consensus), COUNTS)
def test_one_more_outage_would_stop_it(consensus: Consensus, validators: int) -> None:
    left = validators - outages_tolerated(consensus, validators)
    assert left >= quorum(consensus, validators) > left - 1


@given(st.sampled_from(Consensus), COUNTS)
def test_a_validator_more_never_tolerates_less(consensus: Consensus, validators: int) -> None:
    assert faults_tolerated(consensus, validators + 1) >= faults_tolerated(consensus, validators)


@pytest.mark.parametrize("consensus", Consensus)
def test_no_validators(consensus: Consensus) -> None:
    assert faults_tolerated(consensus, 0) == outages_tolerated(consensus, 0) == 0


def test_the_demo() -> None:
    spec = Consortium.model_validate({"members": {"alpha": {}, "beta": {"nodes": 1}}})
    found = assess(spec, consortium(member("alpha", first_key=1, nodes=3), member("beta", first_key=9)))
    assert (found.validators, found.quorum, found.faults_tolerated, found.outages_tolerated) == (4, 3, 1, 1)
    assert found.warnings == (
        "an outage of member alpha alone stops the chain: it has 3 of 4 validators, which leaves 1, and"
        " ceil(2*4/3) = 3 must run",
    )


@pytest.mark.parametrize(
    ("validators", "consensus"),
    [((1, 1, 1, 1), QBFT), ((2, 2, 2, 1), IBFT), ((1, 1, 1), RAFT), ((2, 2, 1), CLIQUE), ((1, 1, 1, 1, 0), QBFT)],
)
def test_nothing_to_warn_of(validators: tuple[int, ...], consensus: Consensus) -> None:
    assert assessed(*validators, consensus=consensus) == ()


@pytest.mark.parametrize(
    ("validators", "consensus", "said"),
    [
        (
            (1, 1),
            QBFT,
            "the chain tolerates no outage: of 2 validators ceil(2*2/3) = 2 must run; 4 validators tolerate one",
        ),
        (
            (1, 1),
            RAFT,
            "the chain tolerates no outage: of 2 validators floor(2/2) + 1 = 2 must run; 3 validators tolerate one",
        ),
        (
            (1, 1, 1),
            QBFT,
            "the chain goes on when 1 of 3 validators stops, but tolerates none that lies: ceil(3/3) - 1 = 0;"
            " 4 validators tolerate one",
        ),
        (
            (1, 1, 1, 1, 1),
            QBFT,
            "of 5 validators 1 may lie, ceil(5/3) - 1, and of 4 as many: 1 validator adds nothing;"
            " of 7 validators 2 may lie",
        ),
        (
            (1,) * 9,
            IBFT,
            "of 9 validators 2 may lie, ceil(9/3) - 1, and of 7 as many: 2 validators add nothing;"
            " of 10 validators 3 may lie",
        ),
    ],
)
def test_warnings(validators: tuple[int, ...], consensus: Consensus, said: str) -> None:
    assert said in assessed(*validators, consensus=consensus)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any), st.sampled_from(Consensus))
def test_who_halts_it_is_who_is_named(validators: list[int], consensus: Consensus) -> None:
    total = sum(validators)
    named = {f"m{i}" for i, own in enumerate(validators) if own and total - own < quorum(consensus, total)}
    said = {warning.split()[4] for warning in assessed(*validators, consensus=consensus) if "an outage of" in warning}
    assert said == named


@pytest.mark.parametrize(("consensus", "warned"), [(QBFT, True), (IBFT, False)])
def test_validators_that_would_take_turns_in_two_orders(consensus: Consensus, warned: bool) -> None:
    # Addresses of the keys 5 and 6: 0xe1AB… and 0xE57b….
    spec = Consortium.model_validate({"members": {"m0": {}}, "chain": {"consensus": consensus}})
    made = assess(spec, consortium(member("m0", first_key=5, nodes=2))).warnings
    found = [warning for warning in made if "in one order by the bytes" in warning]
    assert [warning.startswith("validators m0-2 and m0-1 are") for warning in found] == [True] * warned
