"""Plans of `up`."""

from __future__ import annotations

from muniment.operate.plan import Action, plan
from muniment.targets.base import Process
from tests.unit.deployments import deployment

TOPOLOGY = deployment().topology
NAMES = tuple(workload.name for workload in TOPOLOGY.workloads)


def observed(*, running: bool) -> dict[str, Process]:
    return {name: Process(name, running, 1 if running else None, 0, "") for name in NAMES}


def test_first_start_checks_everything_before_it_changes_anything() -> None:
    steps = plan(TOPOLOGY, {})
    assert [step.action for step in steps] == [Action.CHECK, Action.APPLY, Action.AWAIT]
    assert all(step.subjects == NAMES for step in steps)
    assert all(step.precondition for step in steps)


def test_what_runs_needs_no_check() -> None:
    assert [step.action for step in plan(TOPOLOGY, observed(running=True))] == [Action.ROLL, Action.AWAIT]


def test_only_what_does_not_run_is_checked() -> None:
    found = observed(running=True) | {"alpha-2": Process("alpha-2", False, None, 3, "it ended")}
    assert plan(TOPOLOGY, found)[0].subjects == ("alpha-2",)


def test_without_waiting() -> None:
    assert plan(TOPOLOGY, observed(running=False), wait=False)[-1].action is Action.APPLY
