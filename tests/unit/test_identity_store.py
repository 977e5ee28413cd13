from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muniment.identity import genesis, keys, libp2p
from muniment.identity.model import (
    CLUSTER_SECRET,
    SWARM_KEY,
    account_paths,
    node_key_path,
    peer_key_path,
    rest_password_path,
    tls_certificate_path,
)
from muniment.identity.store import GENESIS, IdentityStore
from muniment.kernel.errors import InputError, IntegrityError, MunimentError
from muniment.spec.model import Consortium

ALPHA = {"nodes": 2, "peers": 2}
BETA = {"nodes": 1, "peers": 0, "notary": False}


def specification(alpha: dict[str, Any] | None = None, beta: dict[str, Any] | None = None, **chain: Any) -> Consortium:
    return Consortium.model_validate({"chain": chain, "members": {"alpha": alpha or ALPHA, "beta": beta or BETA}})


SPEC = specification()


@pytest.fixture
def store(tmp_path: Path) -> IdentityStore:
    return IdentityStore(tmp_path / "state" / "identity")


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def refused(store: IdentityStore, spec: Consortium = SPEC) -> str:
    """The sentence of the refusal; nothing on disk may have changed by it."""
    before = contents(store.root)
    with pytest.raises(IntegrityError) as caught:
        store.ensure(spec, Path())
    assert contents(store.root) == before
    return str(caught.value)


def test_everything_is_made_and_private(store: IdentityStore) -> None:
    identities = store.ensure(SPEC, Path())
    assert [member.member for member in identities.members] == ["alpha", "beta"]
    assert identities.own == {"alpha", "beta"}
    assert [node.name for node in identities.nodes] == ["alpha-1", "alpha-2", "beta-1"]
    assert len(identities.of("alpha").peers) == 2
    assert identities.of("beta").peers == ()
    modes = {path.stat().st_mode & 0o777 for path in (store.root, *store.root.rglob("*")) if path.is_dir()}
    assert modes == {0o700}
    assert {path.stat().st_mode & 0o777 for path in store.root.rglob("*") if path.is_file()} == {0o600}


def test_public_parts_are_those_of_the_secrets(store: IdentityStore) -> None:
    alpha = store.ensure(SPEC, Path()).of("alpha")
    for node in alpha.nodes:
        key = store.secret(node_key_path("alpha", node.name))
        assert (node.enode_id, node.coinbase) == (keys.enode_id(key), keys.address(key))
    for peer in alpha.peers:
        for kind, known in (("kubo", peer.kubo_id), ("cluster", peer.cluster_id)):
            assert libp2p.peer_id(store.secret(peer_key_path("alpha", f"alpha-{kind}-{peer.index}"))) == known
    assert len(store.secret(rest_password_path("alpha"))) == 64
    assert store.secret(SWARM_KEY).startswith("/key/swarm/psk/1.0.0/")
    assert store.secret(CLUSTER_SECRET) not in store.secret(SWARM_KEY)


def test_a_second_time_nothing_changes(store: IdentityStore) -> None:
    first = store.ensure(SPEC, Path())
    before = contents(store.root)
    assert store.ensure(SPEC, Path()) == store.load(SPEC, Path()) == first
    assert contents(store.root) == before


def test_load_makes_nothing(store: IdentityStore) -> None:
    with pytest.raises(InputError, match="muniment up"):
        store.load(SPEC, Path())
    assert not store.root.exists()


def test_more_nodes_and_peers_are_added_and_fewer_stay(store: IdentityStore) -> None:
    few = store.ensure(SPEC, Path())
    before = contents(store.root)
    more = store.ensure(specification({"nodes": 4, "peers": 3}), Path())
    assert more.of("alpha").nodes[:2] == few.of("alpha").nodes
    assert more.of("alpha").peers[:2] == few.of("alpha").peers
    assert (len(more.of("alpha").nodes), len(more.of("alpha").peers)) == (4, 3)
    after = contents(store.root)
    # The certificate stands for the new nodes too.
    certificate = tls_certificate_path("alpha")
    assert {path for path in before if before[path] != after[path]} == {certificate}
    assert len(after) == len(before) + 4
    assert store.ensure(SPEC, Path()) == few
    assert contents(store.root) == after


def test_peers_for_a_member_that_had_none(store: IdentityStore) -> None:
    store.ensure(SPEC, Path())
    identities = store.ensure(specification(beta={"nodes": 1, "peers": 1, "notary": False}), Path())
    assert len(identities.of("beta").peers) == 1
    assert {path.stat().st_mode & 0o777 for path in store.root.rglob("*") if path.is_dir()} == {0o700}


def test_validators_are_the_first_nodes(store: IdentityStore) -> None:
    identities = store.ensure(specification({"nodes": 3, "peers": 2, "validators": 2}), Path())
    assert [node.name for node in identities.validators] == ["alpha-1", "alpha-2", "beta-1"]


SECRETS = [
    SWARM_KEY,
    CLUSTER_SECRET,
    node_key_path("alpha", "alpha-1"),
    peer_key_path("alpha", "alpha-kubo-1"),
    peer_key_path("alpha", "alpha-cluster-2"),
    *account_paths("alpha"),
    rest_password_path("alpha"),
]


@pytest.mark.parametrize("path", SECRETS)
@pytest.mark.parametrize("harm", ["truncated", "empty", "missing", "open", "replaced"])
def test_harmed_files_are_named_and_kept(store: IdentityStore, path: str, harm: str) -> None:
    store.ensure(SPEC, Path())
    file = store.root / path
    match harm:
        case "truncated":
            os.truncate(file, file.stat().st_size // 2)
        case "empty":
            os.truncate(file, 0)
        case "missing":
            file.unlink()
        case "open":
            file.chmod(0o644)
        case "replaced":
            file.write_text("something else")
    said = refused(store)
    assert str(file) in said
    assert any(advice in said for advice in ("restore", "chmod 600"))


@pytest.mark.parametrize("gone", ["alpha/nodes/alpha-1", "alpha/peers/alpha-kubo-1", "alpha/peers/alpha-cluster-1"])
def test_a_gap_is_not_filled(store: IdentityStore, gone: str) -> None:
    store.ensure(SPEC, Path())
    shutil.rmtree(store.root / gone)
    said = refused(store)
    assert str(store.root / gone) in said
    assert "backup" in said


@pytest.mark.parametrize("gone", ["alpha", "beta", "consortium", "alpha/nodes/alpha-2"])
def test_after_the_start_of_the_chain_nothing_is_made_in_place_of_what_is_lost(store: IdentityStore, gone: str) -> None:
    store.genesis(SPEC, store.ensure(SPEC, Path()))
    shutil.rmtree(store.root / gone)
    said = refused(store)
    assert "the chain" in said
    assert "backup" in said


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> IdentityStore:
    store = IdentityStore(tmp_path_factory.mktemp("made") / "identity")
    store.genesis(SPEC, store.ensure(SPEC, Path()))
    return store


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([*SECRETS, GENESIS]), st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_only_ever_told(made: IdentityStore, path: str, at: int, mask: int) -> None:
    file = made.root / path
    right = file.read_bytes()
    wrong = bytearray(right)
    wrong[at % len(right)] ^= mask
    file.write_bytes(wrong)
    try:
        made.genesis(SPEC, made.ensure(SPEC, Path()))
    except (IntegrityError, InputError) as error:
        assert path.split("/")[0] in str(error) or "chain" in str(error) or "genesis" in str(error)  # noqa: PT017
    finally:
        assert file.read_bytes() == wrong
        file.write_bytes(right)


def copied(store: IdentityStore, source: str, target: str) -> None:
    shutil.copyfile(store.root / source, store.root / target)


@pytest.mark.parametrize(
    ("kind", "source", "target"),
    [
        ("enode ID", node_key_path("alpha", "alpha-1"), node_key_path("alpha", "alpha-2")),
        ("enode ID", node_key_path("alpha", "alpha-1"), node_key_path("beta", "beta-1")),
        ("peer ID", peer_key_path("alpha", "alpha-kubo-1"), peer_key_path("alpha", "alpha-kubo-2")),
        ("peer ID", peer_key_path("alpha", "alpha-kubo-1"), peer_key_path("alpha", "alpha-cluster-1")),
    ],
)
def test_copies_are_refused_with_both_places(store: IdentityStore, kind: str, source: str, target: str) -> None:
    store.ensure(SPEC, Path())
    copied(store, source, target)
    said = refused(store)
    assert f"the {kind} " in said
    assert str(store.root / source) in said
    assert str(store.root / target) in said


def test_copied_account(store: IdentityStore) -> None:
    store.ensure(SPEC, Path())
    for source, target in zip(account_paths("alpha"), account_paths("beta"), strict=True):
        copied(store, source, target)
    said = refused(store)
    assert "the submitting account 0x" in said
    assert str(store.root / account_paths("beta")[0]) in said


@pytest.mark.parametrize(("link", "target"), [("beta", "alpha"), ("consortium", "alpha"), ("alpha", "consortium")])
def test_two_in_one_directory(store: IdentityStore, link: str, target: str) -> None:
    store.ensure(SPEC, Path())
    shutil.rmtree(store.root / link)
    (store.root / link).symlink_to(target)
    said = refused(store)
    assert str(store.root / link) in said
    assert str(store.root / target) in said
    assert "are one directory" in said


def test_secrets_outside_the_store_are_not_read(store: IdentityStore, tmp_path: Path) -> None:
    store.ensure(SPEC, Path())
    for path in ("../other", "/etc/passwd", "alpha/../../other"):
        with pytest.raises(ValueError, match="not inside"):
            store.secret(path)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="/proc/muniment"):
        IdentityStore(Path("/proc/muniment/identity")).ensure(SPEC, Path())
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        IdentityStore(tmp_path / "file" / "identity").ensure(SPEC, Path())


def test_two_at_once_make_one_set(store: IdentityStore) -> None:
    found: list[Any] = []
    ready = threading.Barrier(4)

    def make() -> None:
        ready.wait()
        other = IdentityStore(store.root)
        identities = other.ensure(SPEC, Path())
        found.append((identities, other.genesis(SPEC, identities)))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(one == found[0] for one in found)
    assert not [path for path in store.root.iterdir() if path.name.startswith(".alpha")]


# The genesis.


def test_genesis_is_made_once(store: IdentityStore) -> None:
    identities = store.ensure(SPEC, Path())
    text = store.genesis(SPEC, identities)
    assert (store.root / GENESIS).read_text() == text
    assert store.genesis(SPEC, identities) == text
    assert set(genesis.decode(text).validators) == {node.coinbase for node in identities.nodes}


def test_a_changed_chain_is_refused(store: IdentityStore) -> None:
    text = store.genesis(SPEC, store.ensure(SPEC, Path()))
    changed = specification(block_period_seconds=2)
    with pytest.raises(IntegrityError, match="the chain was started with block_period_seconds 1"):
        store.genesis(changed, store.ensure(changed, Path()))
    assert (store.root / GENESIS).read_text() == text


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]"])
def test_a_damaged_genesis_is_named_and_kept(store: IdentityStore, content: bytes) -> None:
    store.genesis(SPEC, store.ensure(SPEC, Path()))
    (store.root / GENESIS).write_bytes(content)
    assert str(store.root / GENESIS) in refused(store)


def test_a_node_that_comes_later_does_not_validate(store: IdentityStore) -> None:
    text = store.genesis(SPEC, store.ensure(SPEC, Path()))
    more = specification({"nodes": 3, "peers": 2})
    identities = store.ensure(more, Path())
    assert [node.validator for node in identities.of("alpha").nodes] == [True, True, False]
    assert store.genesis(more, identities) == text


def test_an_account_that_was_exchanged_is_refused(store: IdentityStore, tmp_path: Path) -> None:
    store.genesis(SPEC, store.ensure(SPEC, Path()))
    other = IdentityStore(tmp_path / "other")
    other.ensure(SPEC, Path())
    for path in account_paths("beta"):
        shutil.copyfile(other.root / path, store.root / path)
    with pytest.raises(IntegrityError, match="the accounts that may anchor"):
        store.genesis(SPEC, store.ensure(SPEC, Path()))


def test_raising_validators_later_is_refused(store: IdentityStore) -> None:
    store.genesis(SPEC, store.ensure(SPEC, Path()))
    more = specification({"nodes": 3, "peers": 2, "validators": 3})
    with pytest.raises(IntegrityError, match=r"members.alpha.validators is 3, but .* validators 2"):
        store.genesis(more, store.ensure(more, Path()))


def test_fewer_nodes_than_validators_is_refused(store: IdentityStore) -> None:
    store.genesis(SPEC, store.ensure(SPEC, Path()))
    fewer = specification({"nodes": 1, "peers": 2})
    with pytest.raises(IntegrityError, match="restore the number of nodes"):
        store.genesis(fewer, store.ensure(fewer, Path()))


def test_errors_never_show_a_secret(store: IdentityStore) -> None:
    store.ensure(SPEC, Path())
    file = store.root / node_key_path("alpha", "alpha-1")
    key = file.read_text()
    file.write_text(key + "ff")
    with pytest.raises(MunimentError) as caught:
        store.ensure(SPEC, Path())
    assert key not in str(caught.value)
