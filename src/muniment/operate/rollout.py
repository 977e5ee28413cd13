"""Carries out a rolling change: unit by unit, each fit again before the next one is touched. See `operate.rolling`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from muniment.kernel.errors import WaitTimeoutError
from muniment.kernel.events import Listener, Step, ignore
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.operate.rolling import Next, Seen, Units, announcement, at_once, following, lags_unseen, ready_all
from muniment.operate.status import Status
from muniment.targets.base import Target
from muniment.topology.model import Topology

UNIT_SECONDS = 120.0
"""So long a changed unit may take to become fit, and so long it is waited until one may be changed."""

STEADY_SECONDS = 2.0
"""So long a unit must be found ready without a break: the first looks may be judgements from before the change."""

SYNC_SECONDS = 12.0
"""The same for a validator of which nobody sees that it lags. A node that comes back may fetch what it lacks only in
the engine's next sync cycle, ten seconds later (eth/sync.go); it takes no part in the consensus until then."""

Observe = Callable[[], Awaitable[Status]]


@dataclass(frozen=True)
class Rollout:
    """A change of what runs on `target` to `topology`."""

    topology: Topology
    target: Target
    observe: Observe
    unit_seconds: float = UNIT_SECONDS
    steady_seconds: float = STEADY_SECONDS
    sync_seconds: float = SYNC_SECONDS
    listener: Listener = ignore
    note: Callable[[str, str], None] = lambda _unit, _state: None
    """Writes a line to the journal: the unit, and `begin`, `end` or `failed`."""

    async def run(self) -> None:
        """Change everything that is pending. Raises `WaitTimeoutError` naming the unit that did not become fit, or that
        may not be changed: the others are left as they are, and the next `run` goes on.
        """
        pending = await asyncio.to_thread(self.target.pending, self.topology)
        first = at_once(pending, _seen(await self.observe()))
        # Also when there are none: what is no longer wanted is stopped.
        await asyncio.to_thread(self.target.apply, self.topology, first)
        left = {unit: workloads for unit, workloads in pending.items() if unit not in first}
        while left:
            unit = await self._allowed(left)
            await self._change(unit, left.pop(unit))

    async def _allowed(self, left: Units) -> str:
        async def look() -> Next:
            status = await self.observe()
            found = following(status.record, left, _seen(status))
            if not found.units:
                raise NotYetError(found.cause)
            return found

        found = await wait_for(f"the change of {', '.join(left)}", look, timeout=self.unit_seconds)
        return found.units[0]

    async def _change(self, unit: str, workloads: tuple[str, ...]) -> None:
        status = await self.observe()
        said = announcement(status.record, {unit: workloads})
        self.listener(Step(unit, f"changing; {said}" if said else "changing"))
        self.note(unit, "begin")
        await asyncio.to_thread(self.target.apply, self.topology, (unit,))
        try:
            steady = self.sync_seconds if lags_unseen(status.record, workloads) else self.steady_seconds
            await self._fit(unit, workloads, steady)
        except WaitTimeoutError as error:
            self.note(unit, "failed")
            raise WaitTimeoutError(
                f"{error}; nothing after it was changed: see `muniment logs {workloads[0]}`, correct the specification,"
                " and run the same command again"
            ) from error
        self.note(unit, "end")
        self.listener(Step(unit, "ready", "end"))

    async def _fit(self, unit: str, workloads: tuple[str, ...], steady: float) -> None:
        since: float | None = None

        async def look() -> None:
            nonlocal since
            status = await self.observe()
            ready = _seen(status).ready
            if not ready_all(workloads, ready):
                since = None
                raise NotYetError(_causes(status, workloads, ready))
            since = since or time.monotonic()
            if time.monotonic() - since < steady:
                raise NotYetError("it was ready for a moment only")

        await wait_for(f"{unit} being fit after its change", look, timeout=self.unit_seconds + steady)


def _seen(status: Status) -> Seen:
    observed = status.observations
    return Seen(
        running={name for name, seen in observed.items() if seen.process.running},
        ready={name for name, seen in observed.items() if seen.ready},
    )


def _causes(status: Status, workloads: Collection[str], ready: Collection[str]) -> str:
    return "; ".join(f"{name}: {status.observations[name].cause}" for name in workloads if name not in ready)
