"""Members of other operators: their public files in the specification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from muniment.identity import export
from muniment.identity.model import Endpoint, account_paths
from muniment.identity.store import IdentityStore
from muniment.kernel.errors import InputError, IntegrityError
from muniment.spec.model import Consortium

ALPHA = {"nodes": 2, "peers": 2}
BETA = {"nodes": 1, "peers": 0, "notary": False}


def specification(beta: dict[str, Any]) -> Consortium:
    return Consortium.model_validate({"members": {"alpha": ALPHA, "beta": beta}})


def refused(store: IdentityStore, spec: Consortium, base: Path) -> str:
    with pytest.raises(IntegrityError) as caught:
        store.ensure(spec, base)
    return str(caught.value)


class Local:
    """Endpoints of one operator: a host of his own."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.ports: dict[tuple[str, str], int] = {}

    def reach(self, workload: str, port: str) -> Endpoint:
        return Endpoint(host=self.host, port=self.ports.setdefault((workload, port), 4000 + len(self.ports)))


def public_file(store: IdentityStore, spec: Consortium, name: str, file: Path, host: str = "192.0.2.1") -> Path:
    member = export.export(store.ensure(spec, Path()).of(name), Local(host), consensus=spec.chain.consensus)
    file.write_text(export.dump(member))
    return file


@pytest.fixture
def operators(tmp_path: Path) -> tuple[tuple[IdentityStore, Consortium], tuple[IdentityStore, Consortium]]:
    """Two operators that have exchanged public files; both files are in `tmp_path`."""
    first, second = IdentityStore(tmp_path / "one"), IdentityStore(tmp_path / "two")
    public_file(
        first, Consortium.model_validate({"members": {"alpha": ALPHA}}), "alpha", tmp_path / "alpha.public.yaml"
    )
    public_file(second, Consortium.model_validate({"members": {"beta": BETA}}), "beta", tmp_path / "beta.public.yaml")
    spec_of_first = specification(beta={"identity": "beta.public.yaml"})
    spec_of_second = Consortium.model_validate({"members": {"beta": BETA, "alpha": {"identity": "alpha.public.yaml"}}})
    return (first, spec_of_first), (second, spec_of_second)


def test_two_operators_have_one_genesis(tmp_path: Path, operators: Any) -> None:
    (first, spec_of_first), (second, spec_of_second) = operators
    ours, theirs = first.ensure(spec_of_first, tmp_path), second.ensure(spec_of_second, tmp_path)
    assert (ours.own, theirs.own) == ({"alpha"}, {"beta"})
    assert {node.enode_id for node in ours.nodes} == {node.enode_id for node in theirs.nodes}
    assert ours.of("beta").nodes[0].p2p == Endpoint(host="192.0.2.1", port=4000)
    assert first.genesis(spec_of_first, ours) == second.genesis(spec_of_second, theirs)
    assert not (first.root / "beta").exists()


def test_a_public_file_that_is_our_own(tmp_path: Path, operators: Any) -> None:
    (first, _), _ = operators
    text = (tmp_path / "alpha.public.yaml").read_text()
    (tmp_path / "copy.yaml").write_text(text.replace("alpha", "gamma"))
    spec = Consortium.model_validate({"members": {"alpha": ALPHA, "gamma": {"identity": "copy.yaml"}}})
    said = refused(first, spec, tmp_path)
    assert str(first.root / account_paths("alpha")[0]) in said
    assert f"{tmp_path / 'copy.yaml'} (account)" in said


def test_a_public_file_of_another_member(tmp_path: Path, operators: Any) -> None:
    (first, _), _ = operators
    spec = specification(beta={"identity": "alpha.public.yaml"})
    with pytest.raises(InputError, match=r"the public file of member alpha, but members.beta.identity names it"):
        first.ensure(spec, tmp_path)


def test_a_public_file_without_endpoints(tmp_path: Path, operators: Any) -> None:
    (first, spec), (second, spec_of_second) = operators
    (tmp_path / "beta.public.yaml").write_text(export.dump(second.ensure(spec_of_second, tmp_path).of("beta")))
    with pytest.raises(InputError, match=r"beta.public.yaml: no endpoint is given for beta-1: p2p"):
        first.ensure(spec, tmp_path)


def test_a_public_file_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    store = IdentityStore(tmp_path / "identity")
    with pytest.raises(InputError, match=r"nowhere.yaml does not exist"):
        store.ensure(specification(beta={"identity": "nowhere.yaml"}), tmp_path)
    assert not store.root.exists()


def test_endpoints_used_twice(tmp_path: Path, operators: Any) -> None:
    (first, _), _ = operators
    third = IdentityStore(tmp_path / "three")
    public_file(third, Consortium.model_validate({"members": {"gamma": BETA}}), "gamma", tmp_path / "gamma.yaml")
    members = {"alpha": ALPHA, "beta": {"identity": "beta.public.yaml"}, "gamma": {"identity": "gamma.yaml"}}
    said = refused(first, Consortium.model_validate({"members": members}), tmp_path)
    assert "the endpoint 192.0.2.1:4000 is used twice" in said
    assert "(beta-1, p2p)" in said
    assert "(gamma-1, p2p)" in said
