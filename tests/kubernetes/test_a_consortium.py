"""The demo on a real Kubernetes of three machines, installed with helm: it serves, and goes on whatever is lost.

The tests are in this order on purpose: the release is upgraded near the end, and uninstalled last.
"""

from __future__ import annotations

import json

import pytest

from muniment.kernel.waiting import NotYetError
from tests.kubernetes.client import Load
from tests.kubernetes.cluster import CHART, NAME, NODES, RELEASE, Cluster
from tests.kubernetes.steps import (
    LABEL,
    OPERATOR,
    away,
    changed,
    check,
    code,
    containers,
    copy_of,
    create_privately,
    delete,
    kill_each,
    machine_is,
    meshed,
    no_operator,
    one_state,
    refused,
    replace_secret,
    rounds,
    seconded,
    spare_machine,
)
from tests.kubernetes.stranger import stranger

pytestmark = pytest.mark.timeout(1500)

LOST_SECONDS = 40.0
"""The same when a whole machine is lost, which Kubernetes notices after twelve seconds."""


def test_a_file_is_notarised_and_verified_from_outside(cluster: Cluster) -> None:
    path, receipt = cluster.notarize("first.txt", "the first file")
    cluster.verify(path, receipt)
    path.write_text("another file")
    with pytest.raises(AssertionError):
        cluster.verify(path, receipt)


def test_a_private_contract_is_at_its_parties_only(cluster: Cluster) -> None:
    before = cluster.head()
    address = create_privately(cluster, "beta")
    codes = {node: code(cluster, node, address) for node in NODES}
    assert len(set(codes.values())) == 1, codes
    assert codes["beta-1"] != "0x"
    alone = create_privately(cluster)
    assert code(cluster, "alpha-2", alone) != "0x"
    assert code(cluster, "beta-1", alone) == "0x"
    cluster.wait("one private state", lambda: one_state(cluster))
    assert cluster.head() > before


def test_a_stranger_reaches_nothing_but_the_doors(cluster: Cluster) -> None:
    closed = [("alpha-1", 9101), ("alpha-peer-1", 5001), ("alpha-database", 3306)]
    with stranger(cluster) as pod:
        assert pod.connects("alpha-gateway", 8545)
        assert not [place for place in closed if pod.connects(*place)]


def test_a_peer_cannot_write_its_peerstore_and_all_find_one_another_after_a_restart(cluster: Cluster) -> None:
    path, receipt = cluster.notarize("pinned.txt", "kept by all peers")
    script = "echo nobody >/muniment/config/alpha-cluster-1/peerstore"
    with pytest.raises(AssertionError, match="Read-only file system"):
        cluster.inside("alpha-peer-1-0", "alpha-cluster-1", "sh", "-c", script)
    pods = [f"alpha-peer-{number}-0" for number in (1, 2, 3)]
    delete(cluster, *pods)
    cluster.wait("the full mesh of peers", lambda: meshed(cluster))
    cluster.wait_ready()
    cluster.verify(path, receipt)


def test_every_pod_comes_back_with_its_identity_and_volume(cluster: Cluster, load: Load) -> None:
    enodes = {node: cluster.console(node, "admin_nodeInfo")["enode"].partition("@")[0] for node in NODES}
    names = [pod["metadata"]["name"] for pod in cluster.pods()]
    lasting = [name for name in names if "gateway" not in name]
    volumes = cluster.volumes_of(lasting)
    # One of each kind at a time: what a member has several of goes on with the others.
    for group in rounds(seconded(names)):
        delete(cluster, *group)
        cluster.wait_ready()
    check(load.stop())
    for group in rounds([name for name in names if name not in seconded(names)]):
        delete(cluster, *group)
        cluster.wait_ready()
    assert cluster.volumes_of(lasting) == volumes
    assert {node: cluster.console(node, "admin_nodeInfo")["enode"].partition("@")[0] for node in NODES} == enodes
    cluster.wait("one private state", lambda: one_state(cluster))


def test_every_container_is_started_again_after_kill_9(cluster: Cluster, load: Load) -> None:
    kept = cluster.notarize("kept.txt", "kept through all of it")
    names = [pod["metadata"]["name"] for pod in cluster.pods()]
    kill_each(cluster, seconded(names))
    check(load.stop())
    kill_each(cluster, [name for name in names if name not in seconded(names)])
    cluster.verify(*kept)


def test_a_whole_machine_is_lost_and_comes_back(cluster: Cluster, load: Load) -> None:
    lost = spare_machine(cluster)
    machine = cluster.lab.node(lost)
    machine.kill()
    cluster.wait(f"the loss of {lost}", lambda: machine_is(cluster, lost, ready=False))
    path, receipt = cluster.notarize("meanwhile.txt", "notarised without one machine")
    cluster.verify(path, receipt)
    machine.start()
    cluster.wait(f"the return of {lost}", lambda: machine_is(cluster, lost, ready=True))
    cluster.wait_ready()
    cluster.wait("one private state", lambda: one_state(cluster))
    report = load.stop()
    # Until the machine counts as lost, the Service sends a part of new connections to the gateway that died with it:
    # such a request fails within a second, and the next one may get through.
    assert report["gap"] < LOST_SECONDS, report
    assert report["sent"] > len(report["failed"]), report


@pytest.mark.parametrize("pod", ["alpha-2-0", "alpha-peer-2-0"])
def test_a_deleted_volume_is_filled_again(cluster: Cluster, pod: str) -> None:
    kept = cluster.notarize(f"{pod}.txt", f"kept while the volume of {pod} is lost")
    claim, machine = f"data-{pod}", cluster.lab.node(cluster.machine(pod))
    lost = cluster.volumes_of([pod])[pod]
    before = cluster.pod(pod)["metadata"]["uid"]
    cluster.kubectl("delete", "pvc", claim, "--wait=false")
    delete(cluster, pod)
    cluster.lab.kubectl("delete", "pv", lost, "--wait=false")
    cluster.lab.make_volume(machine, f"{lost}-again")
    cluster.replaced(pod, before)
    cluster.wait_ready()
    assert cluster.volumes_of([pod])[pod] != lost
    cluster.wait("one private state", lambda: one_state(cluster))
    cluster.wait("the full mesh of peers", lambda: meshed(cluster))
    cluster.verify(*kept)


def test_one_volume_or_one_identity_for_two_is_refused(cluster: Cluster) -> None:
    with no_operator(cluster):
        cluster.kubectl("scale", "statefulset", "alpha-1", "--replicas=2")
        refused(cluster, "alpha-1-1", "only alpha-1-0 may have this identity")
        cluster.kubectl("scale", "statefulset", "alpha-1", "--replicas=1")
        thief = copy_of(cluster, "alpha-2", "data-alpha-1-0")
        cluster.kubectl("apply", "-f", "-", text=json.dumps(thief))
        refused(cluster, "thief", "belongs to alpha-1, not to alpha-2")
        cluster.kubectl("delete", "pod", "thief", "--now")
        cluster.kubectl("delete", "pvc", "data-alpha-1-1", "--ignore-not-found", "--wait=false")
    cluster.wait_ready()


def test_a_secret_of_somebody_else_is_refused(cluster: Cluster) -> None:
    own, other = (cluster.get("secret", f"alpha-{number}-identity") for number in (2, 3))
    stolen = {key.replace("alpha-3", "alpha-2"): value for key, value in other["data"].items()}
    with no_operator(cluster):
        try:
            replace_secret(
                cluster, own, {**own["data"], **{key: stolen.get(key, value) for key, value in own["data"].items()}}
            )
            delete(cluster, "alpha-2-0")
            refused(cluster, "alpha-2-0", "is not the one of this identity")
        finally:
            replace_secret(cluster, own, own["data"])
            delete(cluster, "alpha-2-0")
    cluster.wait_ready()


def test_the_release_is_upgraded(cluster: Cluster) -> None:
    before = {one["metadata"]["name"]: one["metadata"]["uid"] for one in cluster.get("secrets")["items"]}
    cluster.install(CHART)
    cluster.wait_ready()
    after = {one["metadata"]["name"]: one["metadata"]["uid"] for one in cluster.get("secrets")["items"]}
    assert before.items() <= {**before, **after}.items()
    assert {name: uid for name, uid in after.items() if "identity" in name} == {
        name: uid for name, uid in before.items() if "identity" in name
    }


def test_a_flag_is_changed_one_node_at_a_time_although_the_operator_is_killed(cluster: Cluster, load: Load) -> None:
    before = {node: cluster.pod(f"{node}-0")["metadata"]["uid"] for node in NODES}
    cluster.install(CHART, chain={"cache_megabytes": 96})
    seen: list[set[str]] = []

    def first_changed() -> None:
        if not changed(cluster, before):
            raise NotYetError("no node was changed")

    def all_changed() -> None:
        seen.append(away(cluster))
        if changed(cluster, before) != set(NODES):
            raise NotYetError(f"{changed(cluster, before)} were changed")

    cluster.wait("the first changed node", first_changed)
    cluster.kubectl("delete", "pod", "-l", OPERATOR, "--grace-period=0", "--force")
    cluster.wait("all changed nodes", all_changed)
    cluster.wait_ready()
    assert not [nodes for nodes in seen if len(nodes) > 1]
    for node in NODES:
        assert "96" in next(one for one in containers(cluster, f"{node}-0") if one["name"] == node)["command"]
    check(load.stop())


def test_a_change_that_breaks_a_node_stops_by_itself(cluster: Cluster, load: Load) -> None:
    before = {node: cluster.pod(f"{node}-0")["metadata"]["uid"] for node in NODES}
    cluster.install(CHART, images={"quorum": "localhost/there-is-none:1"}, chain={"cache_megabytes": 96})

    def stuck() -> None:
        if (found := cluster.condition("Progressing")).get("reason") != "Stuck":
            raise NotYetError(f"{found.get('reason')}: {found.get('message')}")

    cluster.wait("the operator to stop", stuck)
    assert len(changed(cluster, before)) == 1
    cluster.install(CHART, chain={"cache_megabytes": 96})
    cluster.wait_ready()
    check(load.stop())


def test_uninstalled_and_installed_again_it_is_the_same(cluster: Cluster) -> None:
    kept = cluster.notarize("last.txt", "kept through an uninstallation")
    head = cluster.head()
    identities = {
        one["metadata"]["name"]: one["metadata"]["uid"] for one in cluster.get("secrets", "-l", LABEL)["items"]
    }
    claims = {one["metadata"]["uid"] for one in cluster.get("pvc")["items"]}
    cluster.lab.helm("uninstall", RELEASE, "-n", NAME, "--wait")
    assert {one["metadata"]["uid"] for one in cluster.get("pvc")["items"]} == claims
    cluster.install(CHART, chain={"cache_megabytes": 96})
    cluster.wait_ready()
    again = {one["metadata"]["name"]: one["metadata"]["uid"] for one in cluster.get("secrets", "-l", LABEL)["items"]}
    assert again == identities
    assert {one["metadata"]["uid"] for one in cluster.get("pvc")["items"]} == claims
    assert cluster.head() >= head
    cluster.verify(*kept)
