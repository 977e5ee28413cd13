"""Keeping one consortium as its resource says.

Two loops: one brings about what the resource says, when it or something of ours changed, and every now and then; the
other one observes and writes the status. Everything that is known is in the cluster: a keeper may be killed at any
point, and the next one goes on by looking. What it works on, secrets among it, is in a directory that is gone after
each pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from muniment.clients.probe import ReadinessClient
from muniment.controller import conditions
from muniment.controller.resource import KIND, owner_reference, specification
from muniment.kernel.errors import InputError, IntegrityError, MunimentError, TemporaryError, WaitTimeoutError
from muniment.kernel.events import Step
from muniment.operate import execute, kubernetes
from muniment.operate.execute import Deployment
from muniment.operate.observe import observe_with
from muniment.operate.record import Record
from muniment.operate.rollout import UNIT_SECONDS
from muniment.operate.state import State
from muniment.spec.model import Consortium
from muniment.targets.kubernetes.client import Api
from muniment.targets.kubernetes.identities import lay_out_files
from muniment.targets.kubernetes.target import KubernetesTarget

AGAIN_SECONDS = 300.0
"""Everything is looked at again after so long, even when nothing told of a change."""

MENDED_SECONDS = 30.0
"""After a refusal: what it was about may have been mended without a change of the resource."""

AWAIT_SECONDS = 1.0
"""Nothing is gained by waiting here until all is ready: the other loop observes it."""

RETRY_SECONDS = 5.0
OBSERVE_SECONDS = 10.0
QUIET_SECONDS = 1.0
"""Changes come in swarms: so much time is left between two looks."""

log = logging.getLogger(__name__)


class Scratch(State):
    """A state directory of which nothing is kept."""

    def check_space(self) -> None:
        """Nothing that grows is in it."""


class Keeper:
    """Keeps the consortium of `resource`, in the namespace of `api`, while `leading` is set. A changed unit may take
    `unit_seconds` to be fit again."""

    def __init__(
        self,
        api: Api,
        resource: Mapping[str, Any],
        work: Path,
        leading: asyncio.Event,
        *,
        unit_seconds: float = UNIT_SECONDS,
    ) -> None:
        self._api = api
        self._resource = resource
        self._name = str(resource["metadata"]["name"])
        self._work = work
        self._leading = leading
        self._unit_seconds = unit_seconds
        self._status: dict[str, Any] = dict(resource.get("status") or {})
        self._writing = asyncio.Lock()
        self._changed = asyncio.Event()
        self._moved = asyncio.Event()
        self._record: Record | None = None
        self._told: dict[str, str] = {}

    def notice(self, resource: Mapping[str, Any]) -> None:
        """Take up the resource as it is now."""
        if resource["metadata"].get("generation") != self._resource["metadata"].get("generation"):
            self._changed.set()
        self._resource = resource

    def touch(self) -> None:
        """Something of ours was changed, or is gone."""
        self._changed.set()
        self._moved.set()

    def look(self) -> None:
        """Pods changed."""
        self._moved.set()

    async def run(self) -> None:
        """Keep it until cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._mend())
            both.create_task(self._watch())

    async def _mend(self) -> None:
        while True:
            await self._leading.wait()
            self._changed.clear()
            pause = await self._pass(self._resource)
            await _woken(self._changed, pause)

    async def _watch(self) -> None:
        async with ReadinessClient() as client:
            while True:
                await self._leading.wait()
                self._moved.clear()
                if self._record is not None:
                    await self._observe(self._record, client)
                await _woken(self._moved, OBSERVE_SECONDS)

    async def _pass(self, resource: Mapping[str, Any]) -> float:
        """Bring about what the resource says. Seconds until that is to be looked at again."""
        generation = int(resource["metadata"].get("generation") or 0)
        try:
            spec = specification(resource)
            if generation != self._status.get("observedGeneration"):
                await self._tell(generation, True, "Changing", "the resource was changed")
            await self._bring_about(spec, resource)
        except MunimentError as error:
            log.warning("it cannot be brought about", extra={"consortium": self._name, "cause": str(error)})
            await self._tell(generation, False, _reason(error), str(error))
            return RETRY_SECONDS if isinstance(error, TemporaryError) else MENDED_SECONDS
        await self._tell(generation, False, "Applied", "everything was applied")
        return AGAIN_SECONDS

    async def _bring_about(self, spec: Consortium, resource: Mapping[str, Any]) -> None:
        with tempfile.TemporaryDirectory(prefix="pass-", dir=self._work) as scratch:
            state = Scratch(Path(scratch) / "state")
            deployment, target = await asyncio.to_thread(self._deploy, spec, resource, Path(scratch) / "files", state)
            self._record = deployment.record
            self._moved.set()
            try:
                await execute.up(
                    deployment,
                    target,
                    state,
                    wait=AWAIT_SECONDS,
                    unit_seconds=self._unit_seconds,
                    listener=self._step,
                )
            except WaitTimeoutError:
                # Whether all is ready is told apart. But when a change stopped half-way, that is to be told.
                if await asyncio.to_thread(target.pending, deployment.topology):
                    raise

    def _deploy(
        self, spec: Consortium, resource: Mapping[str, Any], base: Path, state: State
    ) -> tuple[Deployment, KubernetesTarget]:
        lay_out_files(self._api, self._name, base)
        return kubernetes.deploy(spec, base, state, self._api, owner=owner_reference(resource))

    async def _observe(self, record: Record, client: ReadinessClient) -> None:
        try:
            status = await observe_with(record, KubernetesTarget(self._api, self._name), client)
        except MunimentError as error:
            cause = str(error)
            await self._write(lambda before: conditions.unknown(before, cause, _now()))
            return
        await self._write(lambda before: conditions.serving(before, status, _now()))

    async def _tell(self, generation: int, going_on: bool, reason: str, text: str) -> None:
        await self._write(lambda before: conditions.progressing(before, generation, going_on, reason, text, _now()))

    async def _write(self, made: conditions.Making) -> None:
        async with self._writing:
            change = made(self._status)
            if not conditions.differs(self._status, change):
                return
            try:
                await asyncio.to_thread(self._api.set_status, KIND, self._name, change)
            except MunimentError as error:
                # The next look writes it.
                log.warning("the status cannot be written", extra={"consortium": self._name, "cause": str(error)})
                return
            self._status.update(change)

    def _step(self, step: Step) -> None:
        if self._told.get(step.subject) == step.text:
            return
        self._told[step.subject] = step.text
        log.info(step.text, extra={"consortium": self._name, "workload": step.subject, "state": step.state})


def _reason(error: MunimentError) -> str:
    match error:
        case InputError() | IntegrityError():
            return "Refused"
        case WaitTimeoutError():
            return "Stuck"
        case TemporaryError():
            return "Waiting"
        case _:
            return "Failed"


async def _woken(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set, and at most so long; never at once again."""
    await asyncio.sleep(QUIET_SECONDS)
    # Not wait_for: in Python 3.11 it loses a cancellation that comes together with the event.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
