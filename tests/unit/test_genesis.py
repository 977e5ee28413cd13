from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.identity import genesis
from muniment.identity.model import Identities
from muniment.kernel.errors import IntegrityError
from muniment.spec.model import Consensus, Consortium, Privacy
from tests.unit.identities import consortium, member

ALPHA = member("alpha", first_key=1, nodes=3, peers=3)
BETA = member("beta", first_key=4, nodes=1)
IDENTITIES = consortium(ALPHA, BETA)
ALLOCATION = {"00" * 20: {"balance": "0x0", "code": "0x6001", "storage": {"0x" + "00" * 32: "0x" + "11" * 32}}}

CASES = list(Consensus)


def specification(consensus: str = "qbft", alpha: dict[str, Any] | None = None, **chain: Any) -> Consortium:
    members = {"alpha": {"nodes": 3, **(alpha or {})}, "beta": {"nodes": 1, "peers": 0, "notary": False}}
    return Consortium.model_validate({"members": members, "chain": {"consensus": consensus, "id": 77, **chain}})


def built(consensus: str = "qbft", **chain: Any) -> str:
    return genesis.build(specification(consensus, **chain), IDENTITIES, ALLOCATION)


def refused(text: str, spec: Consortium, identities: Identities = IDENTITIES, allocation: Any = ALLOCATION) -> str:
    with pytest.raises(IntegrityError) as caught:
        genesis.check(text, spec, identities, allocation)
    return str(caught.value)


@pytest.mark.parametrize("consensus", CASES)
def test_what_is_built_is_right(consensus: Consensus) -> None:
    text = built(consensus)
    genesis.check(text, specification(consensus), IDENTITIES, ALLOCATION)
    facts = genesis.decode(text)
    assert facts.chain_id == 77
    assert facts.consensus is consensus
    assert facts.gas_limit == 700_000_000
    assert facts.validators == tuple(sorted((node.coinbase for node in IDENTITIES.nodes), key=str.lower))
    assert facts.allocation == ALLOCATION


def test_sections() -> None:
    def config(consensus: str) -> dict[str, Any]:
        return dict(json.loads(built(consensus))["config"])

    assert config("qbft")["qbft"] == {
        "epochlength": 30000,
        "blockperiodseconds": 1,
        "emptyblockperiodseconds": 5,
        "requesttimeoutseconds": 2,
        "policy": 0,
        "ceil2Nby3Block": 0,
    }
    assert config("ibft")["ibft"] == {
        "epochlength": 30000,
        "blockperiodseconds": 1,
        "requesttimeoutseconds": 2,
        "policy": 0,
        "ceil2Nby3Block": 0,
    }
    assert config("clique")["clique"] == {"period": 1, "epoch": 30000}
    assert config("raft").keys().isdisjoint({"qbft", "ibft", "istanbul", "clique"})
    for consensus in CASES:
        found = config(consensus)
        assert found["isQuorum"] is True
        assert found["homesteadBlock"] == 0
        assert "berlinBlock" not in found
        # GoQuorum refuses others (params/config.go, IsValid and CheckMaxCodeConfigData).
        assert 32 <= found["txnSizeLimit"] <= 128
        assert all(24 <= entry["size"] <= 128 for entry in found["maxCodeSizeConfig"])


@pytest.mark.parametrize("consensus", CASES)
def test_every_operator_computes_the_same_bytes(consensus: Consensus) -> None:
    spec = specification(consensus)
    turned = Consortium.model_validate(
        spec.model_dump(exclude_unset=True) | {"name": "other", "members": dict(reversed(spec.members.items()))}
    )
    theirs = Identities(members=(BETA, ALPHA), own=frozenset({"beta"}))
    assert genesis.build(turned, theirs, ALLOCATION) == genesis.build(spec, IDENTITIES, ALLOCATION)


def test_non_validators_are_left_out() -> None:
    identities = consortium(member("alpha", first_key=1, nodes=3, validators=1), BETA)
    text = genesis.build(specification(alpha={"validators": 1}), identities, ALLOCATION)
    assert set(genesis.decode(text).validators) == {ALPHA.nodes[0].coinbase, BETA.nodes[0].coinbase}


def test_nobody_validates() -> None:
    with pytest.raises(IntegrityError, match="nobody validates"):
        genesis.build(specification(), consortium(member("alpha", first_key=1, validators=0)), ALLOCATION)


@pytest.mark.parametrize(
    ("field", "before", "after"),
    [
        ("id", 77, 78),
        ("block_period_seconds", 1, 2),
        ("empty_block_period_seconds", 5, 31),
        ("request_timeout_seconds", 2, 3),
        ("gas_limit", 700_000_000, 700_000_001),
    ],
)
def test_a_changed_chain_is_named(field: str, before: int, after: int) -> None:
    assert refused(built(), specification(**{field: after})) == (
        f"chain.{field} is {after}, but the chain was started with {field} {before}:"
        " restore that, or use a new state directory"
    )


def test_another_consensus_is_named() -> None:
    said = refused(built("ibft"), specification("qbft"))
    assert said.startswith("chain.consensus is qbft, but the chain was started with consensus ibft")


@pytest.mark.parametrize("consensus", ["raft", "clique", "ibft"])
def test_what_the_genesis_does_not_fix_may_change(consensus: str) -> None:
    spec = specification(consensus, empty_block_period_seconds=99)
    genesis.check(built(consensus), spec, IDENTITIES, ALLOCATION)


def test_a_lost_validator() -> None:
    said = refused(built(), specification(alpha={"nodes": 2}), consortium(member("alpha", first_key=1, nodes=2), BETA))
    assert ALPHA.nodes[2].coinbase in said
    assert "restore the number of nodes" in said


@pytest.mark.parametrize("consensus", ["qbft", "ibft", "clique"])
def test_a_node_that_came_later_does_not_validate(consensus: str) -> None:
    later = ALPHA.model_copy(update={"nodes": (*ALPHA.nodes, member("x", first_key=50, validators=0).nodes[0])})
    genesis.check(built(consensus), specification(consensus, {"nodes": 4}), consortium(later, BETA), ALLOCATION)


def test_a_node_that_came_later_and_says_that_it_validates() -> None:
    later = member("beta", first_key=4, nodes=2)
    said = refused(built(), specification(), consortium(ALPHA, later))
    assert said.startswith("beta-2 (0x")
    assert "started without it" in said


def test_raft_takes_no_later_node() -> None:
    later = member("alpha", first_key=1, nodes=3).model_copy(update={"nodes": (*ALPHA.nodes, BETA.nodes[0])})
    text = genesis.build(specification("raft"), consortium(ALPHA), ALLOCATION)
    assert "beta-1 is not among the nodes" in refused(text, specification("raft"), consortium(later))


def test_more_validators_than_the_chain_was_started_with() -> None:
    few = consortium(member("alpha", first_key=1, nodes=3, validators=1), BETA)
    text = genesis.build(specification(alpha={"validators": 1}), few, ALLOCATION)
    said = refused(text, specification(alpha={"validators": 2}), few)
    assert said.startswith("members.alpha.validators is 2, but the chain was started with validators 1 of alpha")
    genesis.check(text, specification(alpha={"validators": 1}), few, ALLOCATION)


def test_other_accounts() -> None:
    other = {address: account | {"storage": {}} for address, account in ALLOCATION.items()}
    assert refused(built(), specification(), allocation=other).startswith("members: the accounts that may anchor")


@pytest.mark.parametrize("other", [{}, {"11" * 20: {}}, {"00" * 20: {"code": "0x6002"}}])
def test_another_contract(other: dict[str, Any]) -> None:
    assert "is not what this version of muniment puts there" in refused(built(), specification(), allocation=other)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("config"),
        lambda d: d.pop("extraData"),
        lambda d: d.update(extraData="0x00"),
        lambda d: d.update(extraData=7),
        lambda d: d.update(alloc=[]),
        lambda d: d.update(gasLimit=None),
        lambda d: d["config"].update(chainId="77"),
        lambda d: d["config"].update(chainId=True),
        lambda d: d["config"].update(clique={"period": 1, "epoch": 3}),
        lambda d: d["config"]["qbft"].update(ceil2Nby3Block=100),
        lambda d: d["config"]["qbft"].pop("ceil2Nby3Block"),
        lambda d: d["config"].update(qbft=[]),
    ],
)
def test_a_damaged_genesis(change: Any) -> None:
    document = json.loads(built())
    change(document)
    with pytest.raises(IntegrityError, match="restore the file"):
        genesis.decode(json.dumps(document))


@given(st.integers(0, 10_000), st.integers(1, 127))
def test_a_changed_character_is_only_ever_an_integrity_error(at: int, mask: int) -> None:
    text = built()
    at %= len(text)
    changed = text[:at] + chr(ord(text[at]) ^ mask) + text[at + 1 :]
    try:
        genesis.check(changed, specification(), IDENTITIES, ALLOCATION)
    except IntegrityError as error:
        assert str(error)  # noqa: PT017 - white space may change without effect


@given(st.text(max_size=100) | st.integers().map(str) | st.just("[" * 100_000))
def test_rubbish(text: str) -> None:
    with pytest.raises(IntegrityError, match="restore the file"):
        genesis.decode(text)


def private(**fields: bool) -> Consortium:
    return specification().model_copy(update={"privacy": Privacy(**fields)})


@pytest.mark.parametrize("consensus", CASES)
def test_private_transactions_stand_in_the_genesis(consensus: Consensus) -> None:
    config = json.loads(built(consensus))["config"]
    assert (config["privacyEnhancementsBlock"], config["isMPS"]) == (0, False)
    facts = genesis.decode(built(consensus))
    assert (facts.privacy, facts.multiple_states) == (True, False)


def test_multiple_private_states() -> None:
    spec = private(multiple_states=True)
    text = genesis.build(spec, IDENTITIES, ALLOCATION)
    assert json.loads(text)["config"]["isMPS"] is True
    genesis.check(text, spec, IDENTITIES, ALLOCATION)
    assert "multiple_states is false, but the chain was started with true" in refused(text, private())


def test_without_private_transactions_the_text_is_that_of_older_versions() -> None:
    spec = private(enabled=False)
    text = genesis.build(spec, IDENTITIES, ALLOCATION)
    assert "isMPS" not in text
    assert "privacyEnhancementsBlock" not in text
    genesis.check(text, spec, IDENTITIES, ALLOCATION)


def test_a_chain_that_was_started_without_private_transactions_goes_on_without() -> None:
    text = genesis.build(private(enabled=False), IDENTITIES, ALLOCATION)
    assert "set privacy.enabled to false" in refused(text, private())
    assert "privacy.enabled is false, but the chain was started with" in refused(built(), private(enabled=False))


@pytest.mark.parametrize(("field", "value"), [("privacyEnhancementsBlock", 5), ("isMPS", "yes"), ("isMPS", 1)])
def test_damaged_privacy_fields_are_refused(field: str, value: object) -> None:
    document = json.loads(built())
    document["config"][field] = value
    with pytest.raises(IntegrityError, match=field):
        genesis.decode(json.dumps(document))
