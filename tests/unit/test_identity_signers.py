"""Keystores of clique's signers: the node key once more, made when the consensus asks for it, and again when lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from muniment.identity import keystore
from muniment.identity.model import clique_keystore_paths, node_key_path
from muniment.identity.store import IdentityStore
from muniment.kernel.errors import IntegrityError
from muniment.spec.model import Consortium


def specification(consensus: str) -> Consortium:
    """One member with three nodes, two of which validate."""
    members = {"alpha": {"nodes": 3, "validators": 2, "peers": 2}} if consensus != "raft" else {"alpha": {"nodes": 3}}
    return Consortium.model_validate({"chain": {"consensus": consensus}, "members": members})


@pytest.fixture
def store(tmp_path: Path) -> IdentityStore:
    return IdentityStore(tmp_path / "identity")


def test_a_signer_is_the_node_key_under_a_passphrase(store: IdentityStore, tmp_path: Path) -> None:
    identities = store.ensure(specification("clique"), tmp_path)
    for name in ("alpha-1", "alpha-2"):
        text, passphrase = (store.secret(path) for path in clique_keystore_paths("alpha", name))
        assert keystore.decrypt(text, passphrase) == store.secret(node_key_path("alpha", name))
    assert not (store.root / "alpha" / "signers" / "alpha-3").exists()
    assert store.ensure(specification("clique"), tmp_path) == identities


@pytest.mark.parametrize("consensus", ["qbft", "ibft", "raft"])
def test_other_consensus_types_have_none(store: IdentityStore, tmp_path: Path, consensus: str) -> None:
    store.ensure(specification(consensus), tmp_path)
    assert not (store.root / "alpha" / "signers").exists()


def test_a_lost_signer_is_made_again_from_its_node_key(store: IdentityStore, tmp_path: Path) -> None:
    before = store.ensure(specification("clique"), tmp_path)
    shutil.rmtree(store.root / "alpha" / "signers")
    assert store.ensure(specification("clique"), tmp_path) == before


def test_a_signer_with_another_key_is_refused(store: IdentityStore, tmp_path: Path) -> None:
    store.ensure(specification("clique"), tmp_path)
    for one, other in zip(
        clique_keystore_paths("alpha", "alpha-1"), clique_keystore_paths("alpha", "alpha-2"), strict=True
    ):
        shutil.copyfile(store.root / one, store.root / other)
    with pytest.raises(IntegrityError, match=r"signers/alpha-2/keystore\.json is not the key of alpha-2"):
        store.ensure(specification("clique"), tmp_path)
