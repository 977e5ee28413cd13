from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from muniment.spec.model import Consensus, Consortium, Tls


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


def test_private_transactions_are_the_default_and_can_be_left_out() -> None:
    spec = Consortium.model_validate(specification())
    assert (spec.privacy.enabled, spec.privacy.multiple_states, spec.privacy.tls) == (True, False, Tls.OFF)
    assert spec.members["alpha"].privacy_keys == 1
    assert not Consortium.model_validate(specification(privacy={"enabled": False})).privacy.enabled
    assert "multiple_states cannot be true while enabled is false" in refused(
        privacy={"enabled": False, "multiple_states": True}
    )


@pytest.mark.parametrize("given", [False, "off"])
def test_a_bare_off_is_no_tls(given: object) -> None:
    # YAML 1.1 reads it as false.
    assert Consortium.model_validate(specification(privacy={"tls": given})).privacy.tls is Tls.OFF


@pytest.mark.parametrize("keys", [0, 17])
def test_a_member_has_one_to_sixteen_privacy_keys(keys: int) -> None:
    assert "privacy_keys" in refused(members={"alpha": {"privacy_keys": keys}})


def test_names_in_certificates_are_hosts() -> None:
    spec = Consortium.model_validate(specification(members={"alpha": {"privacy_hosts": ["pm.example.org", "::1"]}}))
    assert spec.members["alpha"].privacy_hosts == ("pm.example.org", "::1")
    assert "privacy_hosts" in refused(members={"alpha": {"privacy_hosts": ["https://pm.example.org"]}})


def test_several_hosts_of_a_database_hold_no_password() -> None:
    url = "postgresql://muniment@h1:5432,h2:5432/alpha"
    spec = Consortium.model_validate(specification(members={"alpha": {"database": {"url": url}}}))
    assert spec.members["alpha"].database.url == url


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
