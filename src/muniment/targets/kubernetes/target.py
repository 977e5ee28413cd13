"""The Kubernetes target: a topology as StatefulSets, Deployments, Services and ConfigMaps of one namespace.

What shall be is rendered elsewhere and applied here from the server's side, so that applying twice changes nothing, and
what somebody else changed of ours is changed back. Volumes and Secrets are never changed or deleted: whatever is lost
with them cannot be made again.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from muniment.kernel.errors import InputError, MunimentError, TemporaryError, WaitTimeoutError
from muniment.kernel.waiting import NotYetError, wait_blocking
from muniment.targets.base import Process
from muniment.targets.kubernetes import observing
from muniment.targets.kubernetes.client import (
    CONFIG_MAP,
    DEPLOYMENT,
    EVENT,
    POD,
    SERVICE,
    STATEFUL_SET,
    Api,
    Document,
    Kind,
)
from muniment.targets.kubernetes.labels import REPLICAS, labels
from muniment.targets.kubernetes.observing import Seen
from muniment.topology.model import Topology, Workload

CONTROLLERS = (STATEFUL_SET, DEPLOYMENT)
OWNED = (
    *CONTROLLERS,
    SERVICE,
    CONFIG_MAP,
    Kind("policy/v1", "PodDisruptionBudget"),
    Kind("networking.k8s.io/v1", "NetworkPolicy"),
    Kind("monitoring.coreos.com/v1", "ServiceMonitor"),
)
"""Kinds of which objects that are no longer wanted are removed."""

KEPT = frozenset({"PersistentVolumeClaim", "Secret", "Namespace"})
"""Kinds that go on when the consortium is stopped, and belong to nobody."""

STOP_SECONDS = 150.0
"""So long pods may take to end: the longest time that a workload is given to stop, and some for the machines."""

Manifests = Callable[[Topology], Iterable[Mapping[str, Any]]]
Provide = Callable[[Topology, list[Document]], None]


class KubernetesTarget:
    """Implements `targets.base.Target` in the namespace of `api`, for the consortium of this name.

    `manifests` renders a topology, `provide` puts the Secrets in place that the rendered pods mount; both are needed
    for nothing but applying. `owner` (an entry of `ownerReferences`) takes everything but volumes and Secrets with it
    when it is deleted.
    """

    def __init__(
        self,
        api: Api,
        consortium: str,
        *,
        manifests: Manifests | None = None,
        provide: Provide | None = None,
        owner: Mapping[str, Any] | None = None,
    ) -> None:
        self._api = api
        self._consortium = consortium
        self._manifests = manifests
        self._provide = provide
        self._owner = owner

    def render(self, topology: Topology) -> None:
        """Render; nothing is written anywhere."""
        self._wanted(topology)

    def check(self, topology: Topology) -> None:
        """Raise `InputError` when the namespace has an object of a wanted name that is not ours; changes nothing."""
        for manifest in self._wanted(topology):
            name = manifest["metadata"]["name"]
            found = self._api.get(Kind.of(manifest), name)
            if found is None or manifest["kind"] in KEPT:
                continue
            carried = found["metadata"].get("labels") or {}
            if any(carried.get(key) != value for key, value in labels(self._consortium).items()):
                raise InputError(
                    f"{manifest['kind']} {name} in namespace {self._api.namespace} is not one of {self._consortium}:"
                    " use another namespace, or remove it"
                )

    def apply(self, topology: Topology, only: Collection[str] | None = None) -> None:
        """Make everything as the topology says, and remove what is no longer wanted. With `only` other controllers of
        pods than these are left as they are."""
        wanted = self._wanted(topology)
        if self._provide:
            self._provide(topology, wanted)
        # What pods mount and how they are reached comes before them.
        for manifest in sorted(wanted, key=_is_controller):
            if only is None or not _is_controller(manifest) or manifest["metadata"]["name"] in only:
                self._api.apply(manifest)
        self._remove_unwanted({(one["kind"], one["metadata"]["name"]) for one in wanted})

    def pending(self, topology: Topology) -> dict[str, tuple[str, ...]]:
        """The controllers of pods that `apply` would make or change so that pods are replaced, each with the names of
        its workloads."""
        controllers = [manifest for manifest in self._wanted(topology) if _is_controller(manifest)]
        return {
            manifest["metadata"]["name"]: tuple(observing.workloads(manifest))
            for manifest in controllers
            if self._differs(manifest)
        }

    def refresh(self, topology: Topology) -> None:
        """Put changed Secrets and configuration in place; no controller of pods is changed."""
        wanted = self._wanted(topology)
        if self._provide:
            self._provide(topology, wanted)
        for manifest in wanted:
            if manifest["kind"] == CONFIG_MAP.name:
                self._api.apply(manifest)

    def observe(self) -> dict[str, Process]:
        """The state of every workload of the consortium, by name; empty when nothing was applied."""
        return observing.processes(self._seen(warnings=True))

    def fault(self) -> str:
        """Empty: a cluster that does not answer is an error of `observe`."""
        return ""

    def start(self, workload: str) -> None:
        """Start the workload, and what shares its pod."""
        controller = self._controller(workload)
        wanted = (controller["metadata"].get("annotations") or {}).get(REPLICAS, "1")
        self._scale(controller, int(wanted))

    def stop(self, workload: str) -> None:
        """Stop the workload, and what shares its pod; it stays stopped until `start` or the next `apply`. Returns when
        its pods are gone."""
        controller = self._controller(workload)
        self._scale(controller, 0)
        self._await_end(f"the end of {workload}", lambda: observing.pods_of(workload, self._seen()))

    def down(self) -> None:
        """Delete everything but volumes and Secrets, and return when the pods are gone.

        Raises `TemporaryError` when the cluster does not answer, or does not end the pods.
        """
        self._remove_unwanted(set())
        self._await_end(f"the end of {self._consortium}", lambda: list(self._seen().pods))

    def logs(self, workload: Workload, *, lines: int, follow: bool) -> None:
        """Write the workload's log to standard output: the last `lines` lines, and with `follow` what comes then."""
        self.show_log(workload.name, lines=lines, follow=follow)

    def show_log(self, workload: str, *, lines: int, follow: bool) -> None:
        """`logs` by the workload's name; of several pods, of one that runs. Raises `InputError` when it has none."""
        pods = observing.pods_of(workload, self._seen())
        if not pods:
            raise InputError(f"{workload} has no pod in namespace {self._api.namespace}: see `muniment status`")
        with contextlib.suppress(KeyboardInterrupt):
            for line in self._api.log(pods[0]["metadata"]["name"], workload, lines=lines, follow=follow):
                sys.stdout.write(line)
                sys.stdout.flush()

    def _wanted(self, topology: Topology) -> list[Document]:
        rendered = self._manifests(topology) if self._manifests else ()
        return [self._ours(manifest) for manifest in rendered]

    def _ours(self, manifest: Mapping[str, Any]) -> Document:
        """The manifest with what makes it ours; what it says itself is kept."""
        metadata = dict(manifest["metadata"])
        metadata["labels"] = {**(metadata.get("labels") or {}), **labels(self._consortium)}
        metadata.setdefault("namespace", self._api.namespace)
        if self._owner and manifest["kind"] not in KEPT:
            metadata["ownerReferences"] = [dict(self._owner)]
        if _is_controller(manifest):
            replicas = manifest["spec"].get("replicas", 1)
            metadata["annotations"] = {**(metadata.get("annotations") or {}), REPLICAS: str(replicas)}
        return {**manifest, "metadata": metadata}

    def _differs(self, manifest: Document) -> bool:
        """Whether applying would change what runs: asked of the cluster, which knows its own defaults."""
        current = self._api.get(Kind.of(manifest), manifest["metadata"]["name"])
        if current is None:
            return True
        changed = self._api.apply(manifest, dry_run=True)
        return bool(changed["spec"]["template"] != current["spec"]["template"]) or (
            changed["spec"].get("replicas") != current["spec"].get("replicas")
        )

    def _remove_unwanted(self, wanted: Collection[tuple[str, str]]) -> None:
        for kind in OWNED:
            for document in self._api.list(kind, labels(self._consortium)):
                name = document["metadata"]["name"]
                if (kind.name, name) not in wanted and not document["metadata"].get("deletionTimestamp"):
                    self._api.delete(kind, name)

    def _seen(self, *, warnings: bool = False) -> Seen:
        mine = labels(self._consortium)
        controllers = tuple(one for kind in CONTROLLERS for one in self._api.list(kind, mine))
        pods = tuple(self._api.list(POD, mine))
        return Seen(controllers, pods, self._warnings(pods) if warnings else {})

    def _warnings(self, pods: Iterable[Document]) -> dict[str, str]:
        if all(_is_ready(pod) for pod in pods):
            return {}
        try:
            return observing.newest_warnings(self._api.list(EVENT, {}, fields={"type": "Warning"}))
        except MunimentError:
            # They only say more; who may not read them sees the rest.
            return {}

    def _controller(self, workload: str) -> Document:
        for controller in self._seen().controllers:
            if workload in observing.workloads(controller):
                return controller
        raise InputError(f"{workload} does not run in namespace {self._api.namespace}: see `muniment status`")

    def _scale(self, controller: Document, replicas: int) -> None:
        self._api.merge(Kind.of(controller), controller["metadata"]["name"], {"spec": {"replicas": replicas}})

    def _await_end(self, what: str, left: Callable[[], list[Document]]) -> None:
        def probe() -> None:
            if names := [pod["metadata"]["name"] for pod in left()]:
                raise NotYetError(f"{', '.join(names[:3])} {'is' if len(names) == 1 else 'are'} there")

        try:
            wait_blocking(what, probe, timeout=STOP_SECONDS, interval=0.2, longest_interval=1.0)
        except WaitTimeoutError as error:
            raise TemporaryError(f"{error}: see whether its machine answers (`kubectl get nodes`)") from error


def _is_controller(manifest: Mapping[str, Any]) -> bool:
    return manifest["kind"] in {kind.name for kind in CONTROLLERS}


def _is_ready(pod: Document) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
