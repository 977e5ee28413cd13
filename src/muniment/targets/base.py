"""The door to a target: one Protocol, so that `operate` is the same for all of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from muniment.topology.model import Topology, Workload


@dataclass(frozen=True)
class Process:
    """What a target observes of one workload."""

    name: str
    running: bool
    pid: int | None
    restarts: int
    """How often it was started again after it had ended by itself, since it was first started by `up`."""
    cause: str
    """Why it does not run; empty while it does."""
    unready: str | None = None
    """Why it is not ready, in the target's own judgement, and empty when it is; None where the workload is to be asked
    itself. A target judges where its addresses cannot be reached from here."""
    starting: bool = False
    """It does not run yet, or not at the moment, and the target goes on trying: an image is fetched, for example."""


class Target(Protocol):
    """A place that can realise a topology. All methods are idempotent."""

    def render(self, topology: Topology) -> None:
        """Write every rendered file; starts nothing. Raises `InputError` when a place cannot be written."""

    def check(self, topology: Topology) -> None:
        """Raise `InputError` when something else is in the way, a taken port for example; changes nothing."""

    def pending(self, topology: Topology) -> dict[str, tuple[str, ...]]:
        """The units that `apply` would change or start, each with the names of its workloads, in starting order.

        A unit is what is restarted together: a workload on one machine, a pod with several on Kubernetes.
        """

    def apply(self, topology: Topology, only: Collection[str] | None = None) -> None:
        """Render, start what does not run, and restart what changed; with `only` no other units than these, beside
        those that are no longer wanted, which are stopped."""

    def refresh(self, topology: Topology) -> None:
        """Put changed files that running workloads read anew in place; starts and restarts nothing."""

    def observe(self) -> dict[str, Process]:
        """The state of every workload that this target knows of, by name; empty when nothing was applied."""

    def fault(self) -> str:
        """What is wrong with the target itself, in one sentence; empty when all is well or nothing is meant to run."""

    def start(self, workload: str) -> None:
        """Start one workload."""

    def stop(self, workload: str) -> None:
        """Stop one workload; it stays stopped until `start` or the next `apply`."""

    def down(self) -> None:
        """Stop all workloads and whatever watches them; state stays."""

    def logs(self, workload: Workload, *, lines: int, follow: bool) -> None:
        """Write the workload's log to standard output."""
