"""A rolling change goes unit by unit, stops at the first that does not become fit, and goes on when repeated."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest

from muniment.kernel.errors import WaitTimeoutError
from muniment.operate.rollout import Rollout
from muniment.operate.status import Status
from muniment.topology.model import Topology
from tests.unit.deployments import FakeTarget, deployment, status

pytestmark = pytest.mark.anyio

NODES = ("alpha-1", "alpha-2", "alpha-3", "beta-1")


class Changing(FakeTarget):
    """Nodes run an old version; `broken` ones never become fit after their change."""

    def __init__(self, *broken: str) -> None:
        super().__init__()
        self.old = list(NODES)
        self.changed: list[tuple[str, ...]] = []
        self.broken = set(broken)
        self.stopped: set[str] = set()
        self.flapping = False
        self.lagging = ""
        self.looks = 0

    def pending(self, topology: Topology) -> dict[str, tuple[str, ...]]:
        del topology
        return {name: (name,) for name in self.old}

    def apply(self, topology: Topology, only: Collection[str] | None = None) -> None:
        del topology
        changed = tuple(name for name in self.old if only is None or name in only)
        if changed:
            self.changed.append(changed)
            self.stopped -= set(changed)
        self.old = [name for name in self.old if name not in changed]

    async def status(self) -> Status:
        away = {name for group in self.changed for name in group} & self.broken
        if self.flapping and self.changed:
            self.looks += 1
            away |= {name for group in self.changed for name in group} if self.looks % 2 else set()
        if (self.lagging,) in self.changed:
            self.looks += 1
            away |= {self.lagging} if self.looks > 1 else set()
        return status(dict.fromkeys(away | self.stopped, "it ended"), stopped=self.stopped)


def rollout(target: Changing, notes: list[tuple[str, str]] | None = None) -> Rollout:
    return Rollout(
        topology=deployment().topology,
        target=target,
        observe=target.status,
        unit_seconds=0.5,
        steady_seconds=0.05,
        sync_seconds=0.05,
        note=lambda unit, state: None if notes is None else notes.append((unit, state)),
    )


async def test_one_after_the_other() -> None:
    target, notes = Changing(), list[tuple[str, str]]()
    await rollout(target, notes).run()
    assert target.changed == [(name,) for name in NODES]
    assert notes == [(name, state) for name in NODES for state in ("begin", "end")]


async def test_it_stops_at_the_first_that_does_not_become_fit_and_goes_on_when_repeated() -> None:
    target = Changing("alpha-2")
    with pytest.raises(WaitTimeoutError, match=r"alpha-2 being fit after its change.*it ended.*nothing after it"):
        await rollout(target).run()
    assert target.changed == [("alpha-1",), ("alpha-2",)]
    with pytest.raises(WaitTimeoutError, match="alpha-3 is not changed yet: alpha-2 is not ready"):
        await rollout(target).run()
    assert target.changed == [("alpha-1",), ("alpha-2",)]
    # The specification was corrected: what is not ready is changed first.
    target.broken = set()
    target.old.insert(0, "alpha-2")
    await rollout(target).run()
    assert sorted(target.changed[2:]) == [("alpha-2",), ("alpha-3",), ("beta-1",)]


async def test_what_does_not_run_is_changed_at_once() -> None:
    target = Changing()
    target.stopped = {"alpha-1", "alpha-2"}
    await rollout(target).run()
    assert target.changed == [("alpha-1", "alpha-2"), ("alpha-3",), ("beta-1",)]


async def test_what_runs_without_being_ready_is_changed_one_after_the_other() -> None:
    target = Changing("alpha-1", "alpha-2")
    target.changed = [("alpha-1", "alpha-2")]
    with pytest.raises(WaitTimeoutError, match="alpha-1 being fit"):
        await rollout(target).run()
    assert target.changed[1:] == [("alpha-1",)]


async def test_ready_for_a_moment_is_not_fit() -> None:
    """The first look after a change may still be the judgement of what ran before it."""
    target = Changing()
    target.flapping = True
    with pytest.raises(WaitTimeoutError, match=r"alpha-1 being fit after its change"):
        await rollout(target).run()
    assert target.changed == [("alpha-1",)]


@pytest.mark.parametrize(("node", "noticed"), [("alpha-1", False), ("beta-1", True)])
async def test_a_validator_without_siblings_must_be_fit_for_longer(node: str, noticed: bool) -> None:
    """Nobody can tell it at its first look that it lags; of the others their agent says so by itself."""
    target = Changing()
    target.lagging = node
    target.old = [node]
    change = replace(rollout(target), steady_seconds=0.0, sync_seconds=0.3)
    if noticed:
        with pytest.raises(WaitTimeoutError, match="beta-1 being fit after its change"):
            await change.run()
    else:
        await change.run()
