"""The operator's process: who leads, what is watched, and one keeper for each resource.

kopf (https://docs.kopf.dev) watches and answers the liveness probe; it keeps nothing in the resources, so they can be
deleted also while no operator runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kopf

from muniment.controller.keeper import Keeper
from muniment.controller.lease import Leadership
from muniment.controller.resource import GROUP, PLURAL, VERSION
from muniment.kernel.files import make_private_directory
from muniment.targets.kubernetes.client import Api
from muniment.targets.kubernetes.labels import CONSORTIUM, MANAGED_BY, MANAGER

WATCH_SECONDS = 240
"""A watch is begun anew after so long: one whose connection died in silence would never tell."""

CONNECT_SECONDS = 10.0

_OWNED = ("statefulsets", "deployments", "services", "configmaps", "poddisruptionbudgets", "networkpolicies")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How the operator runs."""

    namespaces: tuple[str, ...]
    """Namespaces to serve; none: all of the cluster."""
    work: Path
    """Directory for what is worked on, secrets among it: in memory."""
    health_port: int
    identity: str
    """Name of this process among operators; the pod's name."""
    unit_seconds: float
    """So long each changed unit may take to be fit again."""


@dataclass
class Operator:
    """The keepers of all resources. `connect` gives the API of a namespace."""

    connect: Callable[[str], Api]
    leadership: Leadership
    settings: Settings
    keepers: dict[tuple[str, str], Keeper] = field(default_factory=dict)
    """By namespace and name."""
    _tasks: dict[tuple[str, str], asyncio.Task[None]] = field(default_factory=dict)
    _contents: dict[tuple[str, str, str], int] = field(default_factory=dict)
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _failure: BaseException | None = None

    async def run(self, credentials: Callable[[], kopf.ConnectionInfo]) -> None:
        """Serve until SIGTERM or SIGINT. Raises what ended it otherwise: whoever started it starts it again."""
        make_private_directory(self.settings.work)
        # It tells of every event, with all its settings.
        logging.getLogger("kopf.objects").setLevel(logging.WARNING)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._over.set)
        leading = self._task(self.leadership.keep(), "leadership")
        serving = self._task(self._serve(credentials), "kopf")
        await self._over.wait()
        await _ended(leading, *self._tasks.values())
        await self.leadership.give_back()
        await _ended(serving)
        if self._failure is not None:
            raise self._failure

    def resource_changed(self, kind: str | None, resource: Mapping[str, Any]) -> None:
        """A resource was seen, made, changed or deleted (`kind` DELETED)."""
        place = _place(resource)
        if kind == "DELETED":
            # What it owns goes with it; volumes and Secrets stay.
            self.keepers.pop(place, None)
            if task := self._tasks.pop(place, None):
                task.cancel()
            log.info("the resource was deleted", extra={"consortium": place[1], "namespace": place[0]})
            return
        if keeper := self.keepers.get(place):
            keeper.notice(resource)
            return
        api, settings = self.connect(place[0]), self.settings
        keeper = Keeper(api, resource, settings.work, self.leadership.held, unit_seconds=settings.unit_seconds)
        self.keepers[place] = keeper
        self._tasks[place] = self._task(keeper.run(), f"keeper of {place[1]}")
        log.info("the resource is kept", extra={"consortium": place[1], "namespace": place[0]})

    def owned_changed(self, plural: str, kind: str | None, owned: Mapping[str, Any]) -> None:
        """Something that we made was seen, changed or deleted."""
        namespace, name = _place(owned)
        keeper = self.keepers.get((namespace, (owned["metadata"].get("labels") or {}).get(CONSORTIUM, "")))
        before = self._contents.pop((plural, namespace, name), None)
        if kind != "DELETED":
            self._contents[plural, namespace, name] = _content(owned)
        if keeper is None:
            return
        if before not in (None, self._contents.get((plural, namespace, name))):
            keeper.touch()
        else:
            keeper.look()

    def pod_changed(self, pod: Mapping[str, Any]) -> None:
        """A pod of ours changed."""
        namespace = _place(pod)[0]
        name = (pod["metadata"].get("labels") or {}).get(CONSORTIUM, "")
        if keeper := self.keepers.get((namespace, name)):
            keeper.look()

    async def _serve(self, credentials: Callable[[], kopf.ConnectionInfo]) -> None:
        everywhere = not self.settings.namespaces
        await kopf.operator(
            registry=self._registry(credentials),
            settings=_settings(everywhere=everywhere),
            standalone=True,
            clusterwide=everywhere,
            namespaces=self.settings.namespaces,
            liveness_endpoint=f"http://0.0.0.0:{self.settings.health_port}/healthz",
            stop_flag=self._over,
        )

    def _registry(self, credentials: Callable[[], kopf.ConnectionInfo]) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        def login(**_: Any) -> kopf.ConnectionInfo:
            return credentials()

        async def resource(event: Mapping[str, Any], **_: Any) -> None:
            self.resource_changed(event["type"], event["object"])

        async def pod(event: Mapping[str, Any], **_: Any) -> None:
            self.pod_changed(event["object"])

        def owned(plural: str) -> Callable[..., Any]:
            async def one(event: Mapping[str, Any], **_: Any) -> None:
                self.owned_changed(plural, event["type"], event["object"])

            return one

        ours = {MANAGED_BY: MANAGER}
        kopf.on.login(registry=registry)(login)
        kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(resource)
        kopf.on.event("", "v1", "pods", labels=ours, registry=registry)(pod)
        for plural in _OWNED:
            kopf.on.event(plural, labels=ours, id=plural, registry=registry)(owned(plural))
        return registry

    def _task(self, work: Any, name: str) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        if (error := task.exception()) is not None and self._failure is None:
            self._failure = error
        self._over.set()


def _settings(*, everywhere: bool) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    # Looking for namespaces and definitions takes rights for the whole cluster.
    settings.scanning.disabled = not everywhere
    settings.watching.server_timeout = WATCH_SECONDS
    settings.watching.client_timeout = WATCH_SECONDS + 30
    settings.watching.connect_timeout = CONNECT_SECONDS
    return settings


async def _ended(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])


def _content(document: Mapping[str, Any]) -> int:
    """Differs when somebody changed what was applied; what becomes of it does not count."""
    said = {name: value for name, value in document.items() if name not in ("metadata", "status")}
    return hash(json.dumps([said, document["metadata"].get("labels")], sort_keys=True))


def _place(document: Mapping[str, Any]) -> tuple[str, str]:
    metadata = document["metadata"]
    return str(metadata["namespace"]), str(metadata["name"])
