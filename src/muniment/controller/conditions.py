"""The status of a resource: verdict, cause, and two conditions. Pure.

- `Ready`: true while the verdict is ok.
- `Progressing`: true while something is being changed; false with the cause when it cannot go on.

Conditions follow Kubernetes' API conventions ("Typical status properties").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from muniment.operate.status import Status, Verdict

Document = dict[str, Any]
Making = Callable[[Mapping[str, Any]], Document]
"""From the status before to what changes in it."""

LONGEST = 1024


def serving(before: Mapping[str, Any], status: Status, now: str) -> Document:
    """The status that tells how the consortium is."""
    parts = len(status.record.parts)
    ok = status.verdict is Verdict.OK
    return {
        "verdict": status.verdict.value,
        "cause": status.cause[:LONGEST],
        "faultsTolerated": status.faults_tolerated,
        "ready": f"{parts - len(status.unready)}/{parts}",
        "members": {member: status.record.urls(member) for member in status.record.members},
        "conditions": _conditions(
            before,
            _condition("Ready", ok, "Ok" if ok else status.verdict.value.capitalize(), status.cause),
            now,
        ),
    }


def progressing(
    before: Mapping[str, Any], generation: int, going_on: bool, reason: str, text: str, now: str
) -> Document:
    """The status that tells whether something is being changed, for this generation of the specification."""
    return {
        "observedGeneration": generation,
        "conditions": _conditions(before, _condition("Progressing", going_on, reason, text), now),
    }


def unknown(before: Mapping[str, Any], text: str, now: str) -> Document:
    """The status that tells that nothing is known."""
    return {
        "conditions": _conditions(before, {**_condition("Ready", False, "Unknown", text), "status": "Unknown"}, now)
    }


def differs(before: Mapping[str, Any], change: Mapping[str, Any]) -> bool:
    """Whether merging `change` into the status `before` changes it."""
    return any(before.get(name) != value for name, value in change.items())


def _condition(kind: str, holds: bool, reason: str, text: str) -> Document:
    return {"type": kind, "status": "True" if holds else "False", "reason": reason, "message": text[:LONGEST]}


def _conditions(before: Mapping[str, Any], changed: Document, now: str) -> list[Document]:
    """All conditions, of which one changed: a merge patch replaces lists whole."""
    found = {one["type"]: one for one in before.get("conditions") or []}
    last = found.get(changed["type"], {})
    since = last.get("lastTransitionTime", now) if last.get("status") == changed["status"] else now
    found[changed["type"]] = {**changed, "lastTransitionTime": since}
    return [found[kind] for kind in sorted(found)]
