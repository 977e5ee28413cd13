"""What pods say of workloads, in one phrase."""

from __future__ import annotations

from typing import Any

import pytest

from muniment.targets.base import Process
from muniment.targets.kubernetes.observing import Seen, newest_warnings, processes

LABELS = {"muniment.io/pod": "alpha-1"}
NODE = "alpha-1"


def controller(kind: str = "StatefulSet", replicas: int = 1, **status: Any) -> dict[str, Any]:
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": LABELS},
        "template": {
            "spec": {
                "initContainers": [{"name": "place"}, {"name": "alpha-privacy-1", "restartPolicy": "Always"}],
                "containers": [{"name": NODE}],
            }
        },
    }
    return {"kind": kind, "metadata": {"name": NODE, "generation": 2}, "spec": spec, "status": status}


def pod(state: dict[str, Any], *, ready: bool = False, **more: Any) -> dict[str, Any]:
    own = {"name": NODE, "state": state, "ready": ready, "restartCount": 3, "image": "quorum:1", **more}
    beside = {"name": "alpha-privacy-1", "state": {"running": {}}, "ready": True, "started": True, "restartCount": 0}
    placed = {"name": "place", "state": {"terminated": {"exitCode": 0}}, "ready": True}
    return {
        "metadata": {"name": "alpha-1-0", "uid": "u1", "labels": dict(LABELS)},
        "spec": {"nodeName": "machine-1"},
        "status": {
            "containerStatuses": [own],
            "initContainerStatuses": [placed, beside],
            "conditions": [{"type": kind, "status": str(ready)} for kind in ("Ready", "ContainersReady")],
        },
    }


def seen(*pods: dict[str, Any], of: dict[str, Any] | None = None, **warnings: str) -> Process:
    found = processes(Seen((of or controller(observedGeneration=2),), pods, warnings))
    return found[NODE]


RUNNING = {"running": {}}


def test_a_ready_one_has_no_cause() -> None:
    found = seen(pod(RUNNING, ready=True))
    assert found == Process(NODE, True, None, 3, "", unready="", starting=False)


def test_what_runs_beside_from_the_start_is_a_workload_and_the_steps_are_none() -> None:
    found = processes(Seen((controller(observedGeneration=2),), (pod(RUNNING, ready=True),), {}))
    assert sorted(found) == ["alpha-1", "alpha-privacy-1"]
    assert found["alpha-privacy-1"].unready == ""


@pytest.mark.parametrize(
    ("state", "more", "cause"),
    [
        ({"waiting": {"reason": "ImagePullBackOff"}}, {}, "its image quorum:1 is not to be had (ImagePullBackOff)"),
        (
            {"waiting": {"reason": "CrashLoopBackOff"}},
            {"lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}},
            "it ends again and again (ended with status 1)",
        ),
        (
            {"waiting": {"reason": "CrashLoopBackOff"}},
            {"lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}},
            "it ends again and again (ended by the limit of its memory)",
        ),
        ({"terminated": {"exitCode": 2}}, {}, "it ended with status 2 and will be started again"),
        ({"waiting": {"reason": "ContainerCreating"}}, {}, "it is being started"),
        (
            {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "alpha-1-identity" not found'}},
            {},
            'it waits (CreateContainerConfigError: secret "alpha-1-identity" not found)',
        ),
    ],
)
def test_why_it_does_not_run(state: dict[str, Any], more: dict[str, Any], cause: str) -> None:
    found = seen(pod(state, **more))
    assert (found.running, found.starting, found.cause) == (False, True, cause)


def test_a_pod_that_no_machine_takes() -> None:
    waiting = {"metadata": {"name": "alpha-1-0", "labels": LABELS}, "spec": {}, "status": {}}
    waiting["status"] = {
        "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes: insufficient cpu."}]
    }
    assert seen(waiting).cause == "no machine takes it: 0/3 nodes: insufficient cpu"


def test_the_step_that_comes_first_is_named() -> None:
    before = pod({"waiting": {"reason": "PodInitializing"}})
    before["status"]["initContainerStatuses"][0]["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    assert seen(before).cause == "place comes first: it ends again and again"


def test_a_lost_machine_takes_its_pods_with_it() -> None:
    lost = pod(RUNNING, ready=True)
    lost["status"]["conditions"][0]["status"] = "False"
    found = seen(lost)
    assert (found.running, found.unready) == (False, "its machine machine-1 does not answer")


def test_a_pod_that_ends_counts_only_while_there_is_no_other() -> None:
    ending = pod(RUNNING)
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert seen(ending).unready == "its pod is being ended"
    assert seen(ending, pod(RUNNING, ready=True)).unready == ""


def test_before_there_is_a_pod() -> None:
    assert seen().cause == "its pod was not made yet"


def test_one_that_is_stopped_is_not_starting() -> None:
    found = seen(of=controller(replicas=0, observedGeneration=2))
    assert (found.running, found.starting, found.cause) == (False, False, "it is stopped")


def test_of_several_pods_all_count() -> None:
    found = seen(pod(RUNNING, ready=True), of=controller("Deployment", 2, observedGeneration=2))
    assert (found.running, found.unready) == (True, "1 of 2 are ready; its pod was not made yet")


def test_a_change_that_is_not_taken_up_yet_is_no_readiness() -> None:
    assert seen(pod(RUNNING, ready=True), of=controller(observedGeneration=1)).unready == (
        "its change is not taken up yet"
    )
    old = pod(RUNNING, ready=True)
    old["metadata"]["labels"]["controller-revision-hash"] = "alpha-1-old"
    changed = controller(observedGeneration=2, updateRevision="alpha-1-new")
    assert seen(old, of=changed).unready == "its pod is not changed yet"
    half = controller("Deployment", 1, observedGeneration=2, updatedReplicas=0)
    assert seen(pod(RUNNING, ready=True), of=half).unready == "not all of its pods are changed yet"


def test_the_newest_warning_of_this_pod_and_container_tells_more() -> None:
    def event(when: str, message: str, uid: str, path: str) -> dict[str, Any]:
        about = {"kind": "Pod", "name": "alpha-1-0", "uid": uid, "fieldPath": path}
        return {"type": "Warning", "lastTimestamp": when, "message": message, "involvedObject": about}

    own = "spec.containers{alpha-1}"
    warnings = newest_warnings(
        [
            event("2026-01-01T00:00:02Z", "Readiness probe failed:  503\n", "u1", own),
            event("2026-01-01T00:00:01Z", "older", "u1", own),
            event("2026-01-01T00:00:03Z", "of an earlier pod", "u0", own),
            event("2026-01-01T00:00:03Z", "of its neighbour", "u1", "spec.initContainers{alpha-privacy-1}"),
        ]
    )
    found = processes(Seen((controller(observedGeneration=2),), (pod(RUNNING),), warnings))[NODE]
    assert (found.running, found.unready) == (True, "Readiness probe failed: 503")
