"""The identity store in Secrets: made once, found again, never overwritten."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from muniment.identity.model import node_key_path, privacy_key_path
from muniment.identity.store import IdentityStore
from muniment.kernel.errors import InputError, IntegrityError, TemporaryError
from muniment.spec.model import Consortium
from muniment.targets.containers.views import secret_key
from muniment.targets.kubernetes.client import Api, connect
from muniment.targets.kubernetes.identities import ClusterIdentities, first_store, lay_out_files
from muniment.targets.kubernetes.labels import CONSORTIUM, MANAGED_BY
from muniment.targets.kubernetes.secret_keys import path_of
from muniment.targets.loopback import LoopbackAddresses
from muniment.topology.derive import derive
from muniment.topology.model import Topology
from tests.support.kube_api import KubeApi

SPEC = Consortium.model_validate(
    {
        "name": "demo",
        "members": {"alpha": {"nodes": 1, "peers": 1, "notary": False}},
        "ipfs": {"replication": {"min": 1, "max": 1}},
    }
)
NODE_KEY = "alpha.nodes.alpha-1.nodekey"
POD = {
    "kind": "StatefulSet",
    "spec": {
        "template": {
            "spec": {
                "containers": [{"name": "alpha-1"}, {"name": "alpha-privacy-1"}],
                "volumes": [{"name": "s", "secret": {"secretName": "alpha-1-identity"}}],
            }
        }
    },
}


@pytest.fixture
def api(cluster: KubeApi, tmp_path: Path) -> Api:
    return connect(cluster.kubeconfig(tmp_path), None, None)


def made(api: Api, root: Path, spec: Consortium = SPEC) -> tuple[ClusterIdentities, Topology]:
    """What every start does."""
    identities = ClusterIdentities(api, spec.name, root)
    identities.lay_out(spec, root.parent)
    store = IdentityStore(root)
    found = store.ensure(spec, root.parent)
    genesis = store.genesis(spec, found)
    identities.keep(spec)
    return identities, derive(spec, found, LoopbackAddresses(spec, root.parent), genesis)


def files(root: Path) -> dict[str, bytes]:
    paths = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def foreign(name: str, **texts: str) -> dict[str, Any]:
    """A Secret that an external store of secrets made."""
    data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    return {"metadata": {"name": name, "labels": {CONSORTIUM: "demo"}}, "data": data}


@pytest.mark.parametrize(
    "path",
    [
        *("consortium/swarm.key", "consortium/cluster.secret", "genesis.json", "alpha/account/keystore.json"),
        *(node_key_path("alpha", "alpha-1"), privacy_key_path("alpha", 2), "alpha/privacy/tls/certificate.pem"),
        *("alpha/cluster-rest-password", "alpha/signers/alpha-1/passphrase", "alpha/peers/alpha-kubo-1/private_key"),
    ],
)
def test_places_and_keys_are_one_to_one(path: str) -> None:
    assert path_of(secret_key(path)) == path


def test_what_is_made_is_found_again_by_somebody_with_nothing(api: Api, cluster: KubeApi, tmp_path: Path) -> None:
    made(api, tmp_path / "one" / "identity")
    made(api, tmp_path / "two" / "identity")
    assert files(tmp_path / "one" / "identity") == files(tmp_path / "two" / "identity")
    assert cluster.names("secrets") == ["demo-identities-1"]
    assert cluster.objects["secrets", "demo-identities-1"]["immutable"] is True


def test_identities_that_were_made_elsewhere_are_taken_whole(api: Api, cluster: KubeApi, tmp_path: Path) -> None:
    store = IdentityStore(tmp_path / "elsewhere")
    store.genesis(SPEC, store.ensure(SPEC, tmp_path))
    secret = first_store(tmp_path / "elsewhere", SPEC)
    assert secret["metadata"]["namespace"] == SPEC.kubernetes.namespace
    cluster.objects["secrets", secret["metadata"]["name"]] = secret
    made(api, tmp_path / "one" / "identity")
    assert files(tmp_path / "one" / "identity") == files(tmp_path / "elsewhere")
    assert cluster.names("secrets") == ["demo-identities-1"]


def test_a_new_node_is_one_more_secret_and_nothing_else_changes(api: Api, cluster: KubeApi, tmp_path: Path) -> None:
    made(api, tmp_path / "one" / "identity")
    first = dict(cluster.objects["secrets", "demo-identities-1"])
    grown = Consortium.model_validate(
        {
            **SPEC.model_dump(mode="json", exclude_unset=True),
            "members": {"alpha": {"nodes": 2, "validators": 1, "peers": 1, "notary": False}},
        }
    )
    made(api, tmp_path / "two" / "identity", grown)
    assert cluster.objects["secrets", "demo-identities-1"] == first
    # The certificate stands for all nodes, so it is made anew.
    added = set(cluster.objects["secrets", "demo-identities-2"]["data"])
    assert added == {"alpha.nodes.alpha-2.nodekey", "alpha.privacy.tls.certificate.pem"}


def test_two_who_make_identities_at_once(api: Api, cluster: KubeApi, tmp_path: Path) -> None:
    late = ClusterIdentities(api, "demo", tmp_path / "late" / "identity")
    late.lay_out(SPEC, tmp_path)
    IdentityStore(tmp_path / "late" / "identity").ensure(SPEC, tmp_path)
    original = api.create

    def overtaken(manifest: dict[str, Any]) -> dict[str, Any]:
        made(connect(tmp_path / "kubeconfig", None, None), tmp_path / "early" / "identity")
        return original(manifest)

    api.create = overtaken  # type: ignore[method-assign,assignment]
    with pytest.raises(TemporaryError, match="made by somebody else at the same time"):
        late.keep(SPEC)
    assert cluster.names("secrets") == ["demo-identities-1"]


def test_a_pod_gets_what_its_files_name_and_no_more(api: Api, cluster: KubeApi, tmp_path: Path) -> None:
    identities, topology = made(api, tmp_path / "identity")
    identities.provide(topology, [POD], IdentityStore(tmp_path / "identity").secret)
    secret = cluster.objects["secrets", "alpha-1-identity"]
    assert sorted(secret["data"]) == [NODE_KEY, "alpha.privacy.keys.alpha-key-1.secret.key"]
    assert secret["immutable"] is True
    before = dict(secret)
    identities.provide(topology, [POD], IdentityStore(tmp_path / "identity").secret)
    assert cluster.objects["secrets", "alpha-1-identity"] == before


def test_identities_that_somebody_else_made_are_taken_as_they_are(api: Api, cluster: KubeApi, tmp_path: Path) -> None:
    key = "11" * 32
    cluster.put("secrets", foreign("alpha-1-identity", **{NODE_KEY: key}))
    identities, topology = made(api, tmp_path / "identity")
    assert (tmp_path / "identity" / node_key_path("alpha", "alpha-1")).read_text() == key
    with pytest.raises(InputError, match=r"Secret alpha-1-identity lacks key alpha\.privacy\.keys"):
        identities.provide(topology, [POD], IdentityStore(tmp_path / "identity").secret)
    whole = files(tmp_path / "identity")[privacy_key_path("alpha", 1)].decode()
    cluster.put(
        "secrets", foreign("alpha-1-identity", **{NODE_KEY: key, "alpha.privacy.keys.alpha-key-1.secret.key": whole})
    )
    identities.provide(topology, [POD], IdentityStore(tmp_path / "identity").secret)
    made(api, tmp_path / "again" / "identity")
    assert files(tmp_path / "identity") == files(tmp_path / "again" / "identity")


def test_two_nodes_with_one_key_are_refused(api: Api, cluster: KubeApi, tmp_path: Path) -> None:
    spec = Consortium.model_validate({"name": "demo", "members": {"alpha": {"nodes": 2}}})
    cluster.put("secrets", foreign("alpha-1-identity", **{NODE_KEY: "11" * 32}))
    cluster.put("secrets", foreign("alpha-2-identity", **{"alpha.nodes.alpha-2.nodekey": "11" * 32}))
    with pytest.raises(IntegrityError, match="is used twice"):
        made(api, tmp_path / "identity", spec)
    assert cluster.names("secrets") == ["alpha-1-identity", "alpha-2-identity"]


def test_secrets_that_contradict_one_another_are_refused(api: Api, cluster: KubeApi, tmp_path: Path) -> None:
    made(api, tmp_path / "identity")
    cluster.put("secrets", foreign("copy", **{NODE_KEY: "22" * 32}))
    with pytest.raises(IntegrityError, match=f"Secrets demo-identities-1 and copy contradict .* key {NODE_KEY}"):
        made(api, tmp_path / "again" / "identity")


def test_a_state_directory_of_another_consortium_is_refused(api: Api, tmp_path: Path) -> None:
    made(api, tmp_path / "identity")
    IdentityStore(tmp_path / "other" / "identity").ensure(SPEC, tmp_path)
    with pytest.raises(IntegrityError, match="is not what the cluster's Secrets hold"):
        made(api, tmp_path / "other" / "identity")


def test_a_copy_of_ours_that_was_changed_is_told(api: Api, cluster: KubeApi, tmp_path: Path) -> None:
    identities, topology = made(api, tmp_path / "identity")
    identities.provide(topology, [POD], IdentityStore(tmp_path / "identity").secret)
    cluster.objects["secrets", "alpha-1-identity"]["data"][NODE_KEY] = base64.b64encode(b"33" * 32).decode()
    with pytest.raises(IntegrityError, match="contradicts the identity store"):
        identities.provide(topology, [POD], IdentityStore(tmp_path / "identity").secret)


def test_a_pod_that_needs_one_more_secret(api: Api, cluster: KubeApi, tmp_path: Path) -> None:
    identities, topology = made(api, tmp_path / "identity")
    mine = {CONSORTIUM: "demo", MANAGED_BY: "muniment"}
    earlier = {NODE_KEY: cluster.objects["secrets", "demo-identities-1"]["data"][NODE_KEY]}
    made_before = {"metadata": {"name": "alpha-1-identity", "labels": mine}, "immutable": True, "data": earlier}
    cluster.put("secrets", made_before)
    secret = IdentityStore(tmp_path / "identity").secret
    with pytest.raises(InputError, match="delete it, it is a copy of what demo-identities-1"):
        identities.provide(topology, [POD], secret)
    cluster.put("secrets", {**made_before, "immutable": False})
    identities.provide(topology, [POD], secret)
    assert len(cluster.objects["secrets", "alpha-1-identity"]["data"]) == 2


def test_files_that_the_specification_names(api: Api, cluster: KubeApi, tmp_path: Path) -> None:
    labels = {CONSORTIUM: "demo", "muniment.io/purpose": "files"}
    cluster.put("configmaps", {"metadata": {"name": "beta", "labels": labels}, "data": {"beta.public.yaml": "x: 1"}})
    secret = foreign("database", password="geheim")
    secret["metadata"]["labels"] = labels
    cluster.put("secrets", secret)
    lay_out_files(api, "demo", tmp_path / "base")
    assert files(tmp_path / "base") == {"beta.public.yaml": b"x: 1", "password": b"geheim"}
    assert (tmp_path / "base" / "password").stat().st_mode & 0o777 == 0o600
