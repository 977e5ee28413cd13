"""Progress events: what long operations tell the outside. The CLI draws them or prints them as JSON lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step of a long operation began, moved or ended.

    `subject` is the thing (a workload, an engine, a file), `text` one short phrase, `done` and `total` count
    units of work when they are known, `state` is `begin`, `progress`, `end` or `warn`.
    """

    subject: str
    text: str
    state: str = "begin"
    done: int | None = None
    total: int | None = None


Listener = Callable[[Step], None]


def ignore(_step: Step) -> None:
    """A listener for callers that do not care."""
