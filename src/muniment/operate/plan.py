"""Plans: ordered steps from what is observed to what is wanted, each with its precondition. Pure.

An interrupted plan is taken up by planning again: a step whose end is observed is no longer in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from muniment.targets.base import Process
from muniment.topology.model import Topology


class Action(StrEnum):
    """What a step does."""

    CHECK = "check"
    """Nothing in the way: ports, disk. Changes nothing."""
    APPLY = "apply"
    """Render, stop what is no longer wanted, start what does not run, restart what changed."""
    ROLL = "roll"
    """The same while it serves: what does not run at once, the rest one after the other."""
    AWAIT = "await"
    """Wait until the subjects are ready."""


@dataclass(frozen=True)
class PlannedStep:
    """One step of a plan."""

    action: Action
    subjects: tuple[str, ...]
    """Names of workloads."""
    precondition: str
    """What must hold before, in words; the executor checks it by having done the steps before."""


def plan(topology: Topology, observed: Mapping[str, Process], *, wait: bool = True) -> tuple[PlannedStep, ...]:
    """The steps of `up`. Only what does not run needs its ports checked. What runs is changed one after the other;
    without `wait` nothing is waited for, so all is changed at once."""
    wanted = tuple(workload.name for workload in topology.workloads)
    absent = tuple(name for name in wanted if name not in observed or not observed[name].running)
    action = Action.ROLL if wait and len(absent) < len(wanted) else Action.APPLY
    steps = [PlannedStep(action, wanted, "ports and disk are free")]
    if absent:
        steps.insert(0, PlannedStep(Action.CHECK, absent, "identities and genesis agree with the specification"))
    if wait:
        steps.append(PlannedStep(Action.AWAIT, wanted, "every workload was started"))
    return tuple(steps)
