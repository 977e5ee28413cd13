"""How a deployment is: the document of `muniment status --json`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from muniment.operate.health import faults_tolerated, outages_tolerated
from muniment.operate.record import Part, Record
from muniment.targets.base import Process
from muniment.topology.model import Role

CAUSES = 3
"""So many causes stand in the verdict's; the rest is counted."""


class Verdict(StrEnum):
    """OK: everything is ready. DOWN: no block can be made, or a member's gateway or notary does not serve. DEGRADED:
    it serves, but something is not ready."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True)
class Observation:
    """One workload as it was observed."""

    process: Process
    ready: bool
    cause: str
    """Why it is not ready; empty when it is."""


@dataclass(frozen=True)
class Status:
    """The whole, as observed at one time."""

    record: Record
    observations: Mapping[str, Observation]
    """By name of the workload."""
    fault: str = ""
    """What is wrong with the target itself."""

    @property
    def unready(self) -> tuple[Part, ...]:
        """The workloads that are not ready."""
        return tuple(part for part in self.record.parts if not self.observations[part.name].ready)

    @property
    def verdict(self) -> Verdict:
        """The verdict."""
        if self._down():
            return Verdict.DOWN
        return Verdict.DEGRADED if self.unready or self.fault else Verdict.OK

    @property
    def cause(self) -> str:
        """Why the verdict is not ok: what stopped serving first, then the first few workloads; empty when it is ok."""
        causes = [self.fault] if self.fault else []
        causes += self._down()
        if not self._anything_runs():
            return "; ".join(causes)
        causes += _first(f"{part.name}: {self.observations[part.name].cause}" for part in self.unready)
        return "; ".join(causes)

    @property
    def faults_tolerated(self) -> int:
        """How many more validators may be faulty. Those of other operators count as well; only ours are observed."""
        total = faults_tolerated(self.record.consensus, self.record.validators)
        return max(0, total - self._missing_validators())

    def document(self) -> dict[str, Any]:
        """The document of `status --json`."""
        return {
            "verdict": self.verdict.value,
            "cause": self.cause,
            "faults_tolerated": self.faults_tolerated,
            "members": {
                member: {**self.record.urls(member), "database": self.record.databases.get(member)}
                for member in self.record.members
            },
            "workloads": [_workload(part, self.observations[part.name]) for part in self.record.parts],
        }

    def _missing_validators(self) -> int:
        return sum(part.validator for part in self.unready)

    def _anything_runs(self) -> bool:
        return any(seen.process.running or seen.process.starting for seen in self.observations.values())

    def _down(self) -> list[str]:
        """What does not serve at all, in words; empty when everything serves somehow."""
        record = self.record
        if not self._anything_runs():
            return [f"{record.consortium} is stopped: `muniment up` starts it"]
        found = []
        missing = self._missing_validators()
        if missing > outages_tolerated(record.consensus, record.validators):
            found.append(f"no block can be made: {missing} of {record.validators} validators are missing")
        for role in (Role.GATEWAY, Role.NOTARY):
            parts = [part for part in record.parts if part.role is role]
            if parts and all(part in self.unready for part in parts):
                found.append(f"no {role} serves")
        return found


def _workload(part: Part, observation: Observation) -> dict[str, Any]:
    return {
        "name": part.name,
        "member": part.member,
        "role": part.role.value,
        "running": observation.process.running,
        "ready": observation.ready,
        "cause": observation.cause,
        "pid": observation.process.pid,
        "restarts": observation.process.restarts,
        "endpoints": dict(part.endpoints),
    }


def _first(causes: Iterable[str]) -> list[str]:
    found = list(causes)
    more = [f"and {len(found) - CAUSES} more"] if len(found) > CAUSES else []
    return found[:CAUSES] + more
