"""What pods say of workloads. Pure: documents of the API in, one `Process` a workload out.

A workload is the container of its name, in the pods of one controller (StatefulSet or Deployment). It runs when one of
its containers does; it is ready when as many as wanted are, in the pods' own judgement: the addresses of a cluster are
not reached from outside of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from muniment.targets.base import Process

Document = dict[str, Any]

STOPPED = "it is stopped"
_CONTAINER = re.compile(r"ontainers\{(.+)\}")
_REVISION = "controller-revision-hash"
_CRASH_LOOP = "CrashLoopBackOff"
_PULLS = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})
_STARTING = frozenset({"ContainerCreating", "PodInitializing"})


@dataclass(frozen=True)
class Seen:
    """What was read of one consortium."""

    controllers: tuple[Document, ...]
    """StatefulSets and Deployments."""
    pods: tuple[Document, ...]
    warnings: Mapping[str, str]
    """Newest warnings: by `UID/CONTAINER` of the pod, and by `UID` for what is about it as a whole."""


def processes(seen: Seen) -> dict[str, Process]:
    """Every workload by name."""
    found = {}
    for controller in seen.controllers:
        pods = [pod for pod in seen.pods if _selects(controller, pod)]
        for name in workloads(controller):
            found[name] = _process(name, controller, pods, seen.warnings)
    return found


def workloads(controller: Document) -> list[str]:
    """Names of the workloads that run in the controller's pods."""
    spec = controller["spec"]["template"]["spec"]
    # An init container that is restarted always runs beside the others.
    beside = [one for one in spec.get("initContainers") or [] if one.get("restartPolicy") == "Always"]
    return [container["name"] for container in (*(spec.get("containers") or []), *beside)]


def pods_of(name: str, seen: Seen) -> list[Document]:
    """The pods that run this workload, those that run before those that do not."""
    controllers = [controller for controller in seen.controllers if name in workloads(controller)]
    pods = [pod for pod in seen.pods if any(_selects(controller, pod) for controller in controllers)]
    return sorted(pods, key=lambda pod: (not _is_running(_status(pod, name)), pod["metadata"]["name"]))


def newest_warnings(events: Iterable[Document]) -> dict[str, str]:
    """The newest warning about each container, and about each pod as a whole."""
    found: dict[str, tuple[str, str]] = {}
    for event in events:
        about = event.get("involvedObject") or {}
        if event.get("type") != "Warning" or about.get("kind") != "Pod":
            continue
        when = str(event.get("lastTimestamp") or event.get("eventTime") or "")
        container = _CONTAINER.search(about.get("fieldPath") or "")
        place = f"{about.get('uid')}/{container[1]}" if container else str(about.get("uid"))
        if when >= found.get(place, ("", ""))[0]:
            found[place] = (when, _phrase(event.get("message")))
    return {name: text for name, (_, text) in found.items()}


def _process(name: str, controller: Document, pods: list[Document], warnings: Mapping[str, str]) -> Process:
    wanted = _wanted(controller)
    if not wanted:
        return Process(name, False, None, 0, STOPPED, unready=STOPPED)
    staying = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")] or pods
    statuses = [(pod, _status(pod, name)) for pod in staying]
    present = [status for pod, status in statuses if not _is_lost(pod)]
    running = any(_is_running(status) for status in present)
    ready = sum(bool(status.get("ready")) and _is_running(status) for status in present)
    restarts = sum(status.get("restartCount") or 0 for _, status in statuses)
    unready = "" if ready >= wanted else _unready(name, statuses, warnings, ready, wanted)
    unready = unready or _unfinished(controller, staying, wanted)
    return Process(
        name=name,
        running=running,
        pid=None,
        restarts=restarts,
        cause="" if running else unready,
        unready=unready,
        starting=not running,
    )


def _unready(
    name: str, statuses: list[tuple[Document, Document]], warnings: Mapping[str, str], ready: int, wanted: int
) -> str:
    causes = [
        _cause(name, pod, status, warnings) for pod, status in statuses if _is_lost(pod) or not status.get("ready")
    ]
    cause = next((cause for cause in causes if cause), "its pod was not made yet")
    return f"{ready} of {wanted} are ready; {cause}" if wanted > 1 else cause


def _unfinished(controller: Document, pods: list[Document], wanted: int) -> str:
    """What of a change is still to come, although all is ready: the pods may be those from before."""
    status = controller.get("status") or {}
    if (status.get("observedGeneration") or 0) < (controller["metadata"].get("generation") or 0):
        return "its change is not taken up yet"
    if controller["kind"] == "Deployment":
        return "" if status.get("updatedReplicas", wanted) >= wanted else "not all of its pods are changed yet"
    strategy = (controller["spec"].get("updateStrategy") or {}).get("type")
    revision = status.get("updateRevision")
    old = [pod for pod in pods if (pod["metadata"].get("labels") or {}).get(_REVISION) not in (None, revision)]
    return "its pod is not changed yet" if old and revision and strategy != "OnDelete" else ""


def _cause(name: str, pod: Document, status: Document, warnings: Mapping[str, str]) -> str:
    """Why this container is not ready."""
    if _is_lost(pod):
        return f"its machine {pod['spec'].get('nodeName', '')} does not answer"
    return (
        _unscheduled(pod)
        or _waits_for_init(pod, name)
        or _waiting(status)
        or _terminated(status)
        or _ending(pod)
        or warnings.get(f"{pod['metadata'].get('uid')}/{name}", "")
        or warnings.get(str(pod["metadata"].get("uid")), "")
        or ("it does not say yet that it is ready" if _is_running(status) else "it is being started")
    )


def _unscheduled(pod: Document) -> str:
    for condition in _conditions(pod):
        if condition.get("type") == "PodScheduled" and condition.get("status") != "True":
            return f"no machine takes it: {_phrase(condition.get('message') or condition.get('reason'))}"
    return ""


def _waits_for_init(pod: Document, name: str) -> str:
    for status in (pod.get("status") or {}).get("initContainerStatuses") or []:
        if status["name"] == name:
            break
        if status.get("started"):
            continue
        state = status.get("state") or {}
        if (state.get("terminated") or {}).get("exitCode") == 0:
            continue
        cause = _waiting(status) or _terminated(status)
        return f"{status['name']} comes first: {cause or 'it runs'}"
    return ""


def _waiting(status: Document) -> str:
    waiting = (status.get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason") or ""
    if reason == _CRASH_LOOP:
        ended = _ended((status.get("lastState") or {}).get("terminated") or {})
        return f"it ends again and again{f' ({ended})' if ended else ''}"
    if reason in _PULLS:
        return f"its image {status.get('image', '')} is not to be had ({reason})"
    if reason in _STARTING:
        return ""
    said = _phrase(waiting.get("message"))
    return f"it waits ({': '.join(part for part in (reason, said) if part)})" if reason else ""


def _terminated(status: Document) -> str:
    ended = _ended((status.get("state") or {}).get("terminated") or {})
    return f"it {ended} and will be started again" if ended else ""


def _ended(terminated: Document) -> str:
    if not terminated:
        return ""
    reason = terminated.get("reason") or ""
    if reason == "OOMKilled":
        return "ended by the limit of its memory"
    return f"ended with status {terminated.get('exitCode')}"


def _ending(pod: Document) -> str:
    return "its pod is being ended" if pod["metadata"].get("deletionTimestamp") else ""


def _is_lost(pod: Document) -> bool:
    """Whether the machine of the pod is away: only the control plane takes readiness from a pod whose containers were
    all ready when they were last heard of."""
    found = {condition["type"]: condition.get("status") for condition in _conditions(pod)}
    gated = bool((pod.get("spec") or {}).get("readinessGates"))
    return found.get("Ready") == "False" and found.get("ContainersReady") == "True" and not gated


def _wanted(controller: Document) -> int:
    replicas = controller["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def _selects(controller: Document, pod: Document) -> bool:
    wanted = controller["spec"]["selector"].get("matchLabels") or {}
    carried = pod["metadata"].get("labels") or {}
    return bool(wanted) and all(carried.get(name) == value for name, value in wanted.items())


def _status(pod: Document, name: str) -> Document:
    status = pod.get("status") or {}
    both = (*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or []))
    found: Document = next((one for one in both if one["name"] == name), {})
    return found


def _is_running(status: Document) -> bool:
    return (status.get("state") or {}).get("running") is not None


def _conditions(pod: Document) -> list[Document]:
    return list((pod.get("status") or {}).get("conditions") or [])


def _phrase(text: str | None) -> str:
    return " ".join((text or "").split())[:200].rstrip(".")
