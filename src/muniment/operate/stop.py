"""Stopping everything of one state directory."""

from __future__ import annotations

from muniment.operate.state import State
from muniment.targets.base import Target


def down(target: Target, state: State) -> bool:
    """Stop everything; state stays. Returns whether the state directory is there.

    Raises `PermanentError` when a process cannot be ended, `TemporaryError` when another command is at work here.
    """
    if not state.root.is_dir():
        # Somebody may have deleted it under running processes.
        target.down()
        return False
    with state.lock():
        target.down()
    return True
