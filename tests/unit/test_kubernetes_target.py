"""The Kubernetes target against an API server in memory: what it asks for, twice, and after somebody's change."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from muniment.kernel.errors import InputError, PermanentError, TemporaryError
from muniment.targets.kubernetes.client import CONFIG_MAP, Api, connect
from muniment.targets.kubernetes.labels import CONSORTIUM, MANAGED_BY
from muniment.targets.kubernetes.target import KubernetesTarget
from muniment.topology.model import Topology, Workload
from tests.support.kube_api import KubeApi
from tests.unit.deployments import deployment

TOPOLOGY = deployment().topology
NODE = "alpha-1"


@pytest.fixture
def api(cluster: KubeApi, tmp_path: Path) -> Api:
    connected = connect(cluster.kubeconfig(tmp_path), None, "default")
    connected.patience = 0.5
    return connected


def controller(name: str, *containers: str, kind: str = "StatefulSet", replicas: int = 1) -> dict[str, Any]:
    mine = {"muniment.io/pod": name}
    template = {"metadata": {"labels": mine}, "spec": {"containers": [{"name": one} for one in containers or (name,)]}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": mine}, "template": template},
    }


def manifests(topology: Topology) -> list[dict[str, Any]]:
    """A stand-in: two nodes, a gateway of two pods, a ConfigMap and a volume."""
    del topology
    return [
        controller(NODE, NODE, "alpha-privacy-1"),
        controller("alpha-2"),
        controller("alpha-gateway", kind="Deployment", replicas=2),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "alpha-1-config"}, "data": {"a": "1"}},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "alpha-1-data"}, "spec": {}},
    ]


def target(api: Api, render: Any = manifests, **options: Any) -> KubernetesTarget:
    return KubernetesTarget(api, "demo", manifests=render, **options)


def pod(name: str, of: str, *containers: str, ready: bool = True) -> dict[str, Any]:
    statuses = [
        {"name": one, "ready": ready, "restartCount": 1, "state": {"running": {}}, "image": "i", "imageID": ""}
        for one in containers
    ]
    labels = {"muniment.io/pod": of, CONSORTIUM: "demo", MANAGED_BY: "muniment"}
    conditions = [{"type": "Ready", "status": str(ready)}, {"type": "ContainersReady", "status": str(ready)}]
    status = {"containerStatuses": statuses, "conditions": conditions}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"containers": []}, "status": status}


def test_what_is_applied_is_ours_and_belongs_to_its_owner_but_for_the_volume(cluster: KubeApi, api: Api) -> None:
    owner = {"apiVersion": "muniment.io/v1alpha1", "kind": "Consortium", "name": "demo", "uid": "1"}
    target(api, owner=owner).apply(TOPOLOGY)
    assert cluster.names("statefulsets") == ["alpha-1", "alpha-2"]
    found = cluster.objects["statefulsets", NODE]["metadata"]
    assert found["labels"] == {CONSORTIUM: "demo", MANAGED_BY: "muniment"}
    assert found["ownerReferences"] == [owner]
    assert "ownerReferences" not in cluster.objects["persistentvolumeclaims", "alpha-1-data"]["metadata"]


def test_pods_come_after_what_they_mount(cluster: KubeApi, api: Api) -> None:
    target(api).apply(TOPOLOGY)
    order = [path.split("?")[0].rsplit("/", 2)[1] for _, path in cluster.writes()]
    assert order.index("configmaps") < order.index("statefulsets")


def test_applying_twice_changes_nothing(cluster: KubeApi, api: Api) -> None:
    target(api).apply(TOPOLOGY)
    before = copy.deepcopy(cluster.objects)
    target(api).apply(TOPOLOGY)
    assert cluster.objects == before
    assert target(api).pending(TOPOLOGY) == {}


def test_what_somebody_changed_is_pending_and_changed_back(cluster: KubeApi, api: Api) -> None:
    target(api).apply(TOPOLOGY)
    cluster.objects["statefulsets", NODE]["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    cluster.objects["deployments", "alpha-gateway"]["spec"]["replicas"] = 0

    def rendered(topology: Topology) -> list[dict[str, Any]]:
        found = manifests(topology)
        found[0]["spec"]["template"]["spec"]["containers"][0]["image"] = "mine"
        return found

    again = target(api, rendered)
    assert again.pending(TOPOLOGY) == {NODE: (NODE, "alpha-privacy-1"), "alpha-gateway": ("alpha-gateway",)}
    again.apply(TOPOLOGY)
    assert cluster.objects["deployments", "alpha-gateway"]["spec"]["replicas"] == 2
    assert again.pending(TOPOLOGY) == {}


def test_only_some_are_applied_when_asked(cluster: KubeApi, api: Api) -> None:
    target(api).apply(TOPOLOGY, only=["alpha-2"])
    assert cluster.names("statefulsets") == ["alpha-2"]
    assert cluster.names("configmaps") == ["alpha-1-config"]


def test_what_is_no_longer_wanted_goes_and_volumes_secrets_and_strangers_stay(cluster: KubeApi, api: Api) -> None:
    mine = {CONSORTIUM: "demo", MANAGED_BY: "muniment"}
    target(api).apply(TOPOLOGY)
    cluster.put("services", {"metadata": {"name": "stranger", "labels": {CONSORTIUM: "demo"}}})
    cluster.put("secrets", {"metadata": {"name": "alpha-1-identity", "labels": mine}})
    target(api, lambda _: manifests(TOPOLOGY)[1:2]).apply(TOPOLOGY)
    assert cluster.names("statefulsets") == ["alpha-2"]
    assert cluster.names("deployments") == cluster.names("configmaps") == []
    assert cluster.names("services") == ["stranger"]
    assert cluster.names("secrets") == ["alpha-1-identity"]
    assert cluster.names("persistentvolumeclaims") == ["alpha-1-data"]


def test_down_keeps_what_cannot_be_made_again(cluster: KubeApi, api: Api) -> None:
    target(api).apply(TOPOLOGY)
    target(api).down()
    assert {kind for kind, _ in cluster.objects} == {"persistentvolumeclaims"}
    assert target(api).observe() == {}


def test_an_object_of_somebody_else_is_not_taken_over(cluster: KubeApi, api: Api) -> None:
    cluster.put("configmaps", {"metadata": {"name": "alpha-1-config", "labels": {"app": "theirs"}}})
    with pytest.raises(InputError, match="ConfigMap alpha-1-config in namespace default is not one of demo"):
        target(api).check(TOPOLOGY)


def test_observing_sees_every_workload(cluster: KubeApi, api: Api) -> None:
    target(api).apply(TOPOLOGY)
    cluster.put("pods", pod("alpha-1-0", NODE, NODE, "alpha-privacy-1"))
    cluster.put("pods", pod("alpha-gateway-x", "alpha-gateway", "alpha-gateway"))
    found = target(api).observe()
    assert sorted(found) == ["alpha-1", "alpha-2", "alpha-gateway", "alpha-privacy-1"]
    assert (found[NODE].running, found[NODE].unready, found[NODE].restarts) == (True, "", 1)
    assert (found["alpha-2"].running, found["alpha-2"].starting) == (False, True)
    assert found["alpha-gateway"].unready == "1 of 2 are ready; its pod was not made yet"


def test_stopping_and_starting_one(cluster: KubeApi, api: Api) -> None:
    target(api).apply(TOPOLOGY)
    target(api).stop("alpha-gateway")
    assert cluster.objects["deployments", "alpha-gateway"]["spec"]["replicas"] == 0
    assert target(api).observe()["alpha-gateway"].cause == "it is stopped"
    target(api).start("alpha-gateway")
    assert cluster.objects["deployments", "alpha-gateway"]["spec"]["replicas"] == 2
    with pytest.raises(InputError, match="gamma-1 does not run in namespace default"):
        target(api).stop("gamma-1")


def test_logs_are_of_a_pod_that_runs(cluster: KubeApi, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    target(api).apply(TOPOLOGY)
    workload: Workload = TOPOLOGY.workload(NODE)
    with pytest.raises(InputError, match="alpha-1 has no pod"):
        target(api).logs(workload, lines=2, follow=False)
    cluster.put("pods", pod("alpha-1-0", NODE, NODE))
    cluster.logs["alpha-1-0", NODE] = "one\ntwo\nthree\n"
    target(api).logs(workload, lines=2, follow=False)
    assert capsys.readouterr().out == "two\nthree\n"


def test_a_short_absence_of_the_api_is_waited_out(cluster: KubeApi, api: Api) -> None:
    cluster.failures = [503, 503, 429]
    target(api).apply(TOPOLOGY)
    assert cluster.names("statefulsets") == ["alpha-1", "alpha-2"]


@pytest.mark.parametrize(
    ("status", "kind", "sentence"),
    [
        (503, TemporaryError, "an answer of the Kubernetes API did not happen within 0.5 s: cannot read"),
        (401, InputError, "the cluster does not know who asks"),
        (403, InputError, "grant it, the role is in the chart"),
        (422, PermanentError, "the cluster refuses it"),
    ],
)
def test_refusals_are_one_sentence(
    cluster: KubeApi, api: Api, status: int, kind: type[Exception], sentence: str
) -> None:
    cluster.failures = [status] * 20
    with pytest.raises(kind, match=sentence):
        api.get(CONFIG_MAP, "alpha-1-config")


def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    nobody = KubeApi()
    nobody.port = 18999
    away = connect(nobody.kubeconfig(tmp_path), None, None)
    away.patience = 0.1
    with pytest.raises(TemporaryError, match=r"the Kubernetes API at http://127\.0\.0\.1:18999 cannot be reached"):
        away.get(CONFIG_MAP, "x")


def test_a_wrong_context_and_a_missing_file_are_told(cluster: KubeApi, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Context 'other' not found"):
        connect(cluster.kubeconfig(tmp_path), "other", None)
    with pytest.raises(InputError, match="name one with --kubeconfig"):
        connect(tmp_path / "absent", None, None)
