"""Rolling changes: what may be changed next while everything goes on serving. Pure.

A *unit* is what a target restarts together: a workload on one machine, a pod with several workloads on Kubernetes.

- What does not run loses nothing: such units, and new ones, are changed at once, all together.
- The others one after the other. First those that run but are not ready, whatever else is out: the change may be what
  mends them. They may serve all the same, where only their judge (the agent) is away; so a validator among them is
  changed only while enough others run.
- Then those that are ready, each only while nothing of the same kind is out: a change that breaks what it changes stops
  at the first, whatever the chain would still tolerate.
- A ready validator only while the chain goes on without it and without those that are missing already. Where it
  tolerates no outage at all, it is changed nevertheless: the change is an outage then, and `announcement` says so.
- A ready node only while a sibling behind the same gateway is fit, where there are siblings.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from muniment.operate.health import outages_tolerated
from muniment.operate.record import Part, Record
from muniment.topology.model import Role

Units = Mapping[str, tuple[str, ...]]
"""Names of workloads by name of the unit."""

_KINDS = {
    Role.PRIVACY: Role.NODE,
    Role.NODE: Role.NODE,
    Role.AGENT: Role.AGENT,
    Role.KUBO: Role.KUBO,
    # Content is reached through both halves of a peer.
    Role.CLUSTER: Role.KUBO,
}
"""Roles that stand and fall together."""


@dataclass(frozen=True)
class Next:
    """What may be changed now: nothing where `cause` says why."""

    units: tuple[str, ...]
    cause: str = ""


@dataclass(frozen=True)
class Seen:
    """Names of the workloads that run, and of those among them that are ready."""

    running: Collection[str]
    ready: Collection[str]


def at_once(pending: Units, seen: Seen) -> tuple[str, ...]:
    """The pending units of which nothing runs."""
    return tuple(unit for unit, workloads in pending.items() if not any(name in seen.running for name in workloads))


def following(record: Record, pending: Units, seen: Seen) -> Next:
    """Which of the pending units may be changed now."""
    parts = {part.name: part for part in record.parts}
    first = ""
    for name in sorted(pending, key=lambda name: _turn(_parts(parts, pending[name]), seen)):
        cause = _obstacle(record, _parts(parts, pending[name]), seen)
        if not cause:
            return Next((name,))
        first = first or f"{name} is not changed yet: {cause}"
    return Next((), first)


def _parts(parts: Mapping[str, Part], workloads: Sequence[str]) -> list[Part]:
    return [parts[name] for name in workloads if name in parts]


def _turn(unit: Sequence[Part], seen: Seen) -> tuple[bool, bool]:
    """What is not ready comes first; of that the agents, without whom nothing is found to be ready."""
    ready = ready_all([part.name for part in unit], seen.ready)
    return ready, ready or all(part.role is not Role.AGENT for part in unit)


def announcement(record: Record, pending: Units) -> str:
    """One sentence when a change is an outage, because the chain tolerates none; else empty."""
    validators = {part.name for part in record.parts if part.validator}
    changed = [name for workloads in pending.values() for name in workloads if name in validators]
    if not changed or outages_tolerated(record.consensus, record.validators):
        return ""
    return f"the chain tolerates no outage: it stands still while {', '.join(changed)} is changed"


def lags_unseen(record: Record, workloads: Collection[str]) -> bool:
    """Whether nobody sees that a validator among them lacks blocks: its agent compares a member's nodes with one
    another, and it has no sibling. The chain's only validator lacks nothing."""
    parts = [part for part in record.parts if part.name in workloads and part.validator]
    return record.validators > 1 and any(len(record.of(part.member, Role.NODE)) == 1 for part in parts)


def ready_all(workloads: Sequence[str], ready: Collection[str]) -> bool:
    """Whether all of them are ready."""
    return all(name in ready for name in workloads)


def _obstacle(record: Record, unit: Sequence[Part], seen: Seen) -> str:
    own = {part.name for part in unit}
    others = [part for part in record.parts if part.name not in own]
    if not ready_all(sorted(own), seen.ready):
        stopped = [part for part in others if part.name not in seen.running]
        return _quorum(record, unit, stopped)
    out = [part for part in others if part.name not in seen.ready]
    return _same_kind(unit, out) or _quorum(record, unit, out) or _last_of_member(record, unit, own, seen.ready)


def _same_kind(unit: Sequence[Part], out: Sequence[Part]) -> str:
    kinds = {_kind(part) for part in unit}
    for part in out:
        if _kind(part) in kinds:
            return f"{part.name} is not ready"
    return ""


def _kind(part: Part) -> Role:
    return _KINDS.get(part.role, part.role)


def _quorum(record: Record, unit: Sequence[Part], out: Sequence[Part]) -> str:
    taken = sum(part.validator for part in unit)
    tolerated = outages_tolerated(record.consensus, record.validators)
    missing = sum(part.validator for part in out)
    if not taken or not tolerated or missing + taken <= tolerated:
        return ""
    return f"{missing} of {record.validators} validators are missing already, and {tolerated} may be"


def _last_of_member(record: Record, unit: Sequence[Part], own: Collection[str], ready: Collection[str]) -> str:
    members = {part.member for part in unit if _kind(part) is Role.NODE}
    for member in members:
        siblings = [part.name for part in record.of(member, Role.NODE) if part.name not in own]
        if siblings and not any(name in ready for name in siblings):
            return f"no other node of {member} is fit"
    return ""
