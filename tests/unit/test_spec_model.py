from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from muniment.spec.model import Consensus, Consortium


def specification(**fields: Any) -> dict[str, Any]:
    return {"members": {"alpha": {}}, **fields}


def refused(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Consortium.model_validate(specification(**fields))
    return str(caught.value)


def test_defaults() -> None:
    spec = Consortium.model_validate(specification())
    assert spec.chain.consensus is Consensus.QBFT
    alpha = spec.members["alpha"]
    assert (alpha.nodes, alpha.validator_count, alpha.peers, alpha.notary) == (3, 3, 3, True)


def test_zero_validators_are_not_the_default() -> None:
    spec = Consortium.model_validate({"members": {"alpha": {"validators": 0}, "beta": {}}})
    assert [member.validator_count for member in spec.members.values()] == [0, 3]


def test_own_members_are_those_without_a_public_file() -> None:
    spec = Consortium.model_validate({"members": {"alpha": {}, "beta": {"identity": "beta.public.yaml"}}})
    assert list(spec.own_members) == ["alpha"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"members": {}}, "at least 1"),
        ({"members": {"alpha": {"identity": "a.yaml"}}}, "at least one member must be ours"),
        ({"members": {"alpha": {"identity": "a.yaml", "nodes": 1}}}, "nodes cannot be given with identity"),
        ({"members": {"alpha": {"nodes": 2, "validators": 3}}}, "must be at most nodes (2)"),
        ({"members": {"alpha": {"validators": 0}}}, "nobody validates"),
        ({"members": {"alpha": {"peers": 1}}}, "there are 1 peers in all"),
        ({"members": {"alpha": {"database": {"url": "postgresql://u:secret@h/n"}}}}, "holds a password"),
        ({"chain": {"block_period_seconds": 40}}, "must be at least block_period_seconds (40)"),
        ({"ipfs": {"replication": {"min": 3, "max": 2}}}, "must be at least replication.min (3)"),
        (
            {"chain": {"consensus": "raft"}, "members": {"alpha": {"nodes": 3, "validators": 3}}},
            "members.alpha.validators cannot be given with consensus raft",
        ),
    ],
)
def test_checks_across_fields(fields: dict[str, Any], said: str) -> None:
    assert said in refused(**fields)


@pytest.mark.parametrize(("members", "highest"), [(1, 30000), (7, 29968), (8, 29568), (32, 19968)])
def test_ports_stay_below_the_ephemeral_range(members: int, highest: int) -> None:
    names = {f"m{number}": {"notary": False} for number in range(members)}
    assert Consortium.model_validate({"members": names, "ports": {"base": highest}}).ports.base == highest
    if highest < 30000:
        said = refused(members=names, ports={"base": highest + 1})
        assert f"it must be at most {highest}" in said
