"""A made-up deployment and a target that remembers what it was asked, for tests of `operate`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from muniment.kernel.errors import InputError
from muniment.operate.execute import Deployment
from muniment.operate.health import assess
from muniment.operate.record import Record, record_of
from muniment.operate.status import Observation, Status
from muniment.spec.model import Consortium
from muniment.targets.base import Process
from muniment.targets.loopback import LoopbackAddresses
from muniment.topology.derive import derive
from muniment.topology.model import Topology, Workload
from tests.unit.identities import consortium, member

SPEC = Consortium.model_validate(
    {"name": "demo", "members": {"alpha": {"nodes": 3}, "beta": {"nodes": 1, "peers": 0, "notary": False}}}
)
IDENTITIES = consortium(member("alpha", first_key=1, nodes=3, peers=3), member("beta", first_key=50, nodes=1))


def deployment() -> Deployment:
    """A deployment with four validators, as the demo has it."""
    topology = derive(SPEC, IDENTITIES, LoopbackAddresses(SPEC, Path("/srv/state")), "{}")
    record = record_of(SPEC, IDENTITIES, topology)
    return Deployment(SPEC, IDENTITIES, assess(SPEC, IDENTITIES), topology, record)


def status(causes: dict[str, str] | None = None, *, stopped: bool | Collection[str] = False, fault: str = "") -> Status:
    """A status in which everything is ready but what `causes` names; of what is `stopped` (True: all) nothing runs."""
    record = deployment().record
    names = [part.name for part in record.parts]
    ended = stopped if isinstance(stopped, Collection) else names if stopped else ()
    return Status(record, {name: _seen(name, causes or {}, name in ended) for name in names}, fault)


def _seen(name: str, causes: dict[str, str], stopped: bool) -> Observation:
    if stopped:
        return Observation(Process(name, False, None, 0, "it is stopped"), False, "it is stopped")
    return Observation(Process(name, True, 4711, 0, ""), name not in causes, causes.get(name, ""))


@dataclass
class FakeTarget:
    """Runs nothing, and remembers."""

    running: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    in_the_way: str = ""

    def render(self, topology: Topology) -> None:
        del topology
        self.calls.append("render")

    def check(self, topology: Topology) -> None:
        del topology
        self.calls.append("check")
        if self.in_the_way:
            raise InputError(self.in_the_way)

    def pending(self, topology: Topology) -> dict[str, tuple[str, ...]]:
        return {one.name: (one.name,) for one in topology.workloads if one.name not in self.running}

    def apply(self, topology: Topology, only: Collection[str] | None = None) -> None:
        self.calls.append("apply")
        self.running |= {workload.name for workload in topology.workloads if only is None or workload.name in only}

    def refresh(self, topology: Topology) -> None:
        del topology
        self.calls.append("refresh")

    def observe(self) -> dict[str, Process]:
        return {name: Process(name, True, 1, 0, "") for name in self.running}

    def fault(self) -> str:
        return ""

    def start(self, workload: str) -> None:
        self.running.add(workload)

    def stop(self, workload: str) -> None:
        self.running.remove(workload)

    def down(self) -> None:
        self.calls.append("down")
        self.running.clear()

    def logs(self, workload: Workload, *, lines: int, follow: bool) -> None:
        del workload, lines, follow


def record() -> Record:
    """The record of `deployment`."""
    return deployment().record
