"""The processes of one state directory, found by the marker in their environment: also those that nobody watches."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

import psutil

from muniment.kernel.errors import PermanentError
from muniment.targets.rendering import STATE_VARIABLE, WORKLOAD_VARIABLE

KILLED_SECONDS = 10.0
"""So long a process may take to be gone after SIGKILL."""


def marked(state: str) -> dict[int, tuple[psutil.Process, str]]:
    """Every process with the marker of `state`: pid to the process and its workload (empty: the supervisor).

    This process and its ancestors are left out: a command may be run from within a workload.
    """
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[int, tuple[psutil.Process, str]] = {}
    for process in psutil.process_iter():
        workload = mark_of(process, state)
        if workload is not None and process.pid not in own:
            found[process.pid] = (process, workload)
    return found


def mark_of(process: psutil.Process, state: str) -> str | None:
    """Name of the workload of `state` that the process belongs to, empty for its supervisor; None for a stranger."""
    try:
        environment = process.environ()
    except (psutil.Error, OSError):
        return None
    if environment.get(STATE_VARIABLE) != state:
        return None
    return environment.get(WORKLOAD_VARIABLE, "")


def main_processes(state: str) -> dict[str, int]:
    """The process of each workload that runs (not its children), by workload; without the supervisor."""
    found = marked(state)
    mains: dict[str, int] = {}
    for pid, (process, workload) in found.items():
        if workload and not _inside(process, workload, found):
            mains.setdefault(workload, pid)
    return mains


def end(state: str, *, patience: float) -> None:
    """End every process with the marker of `state`: the supervisor at once (or it would start the others anew), then
    the others by SIGTERM, and after `patience` seconds by SIGKILL.

    Raises `PermanentError` when one cannot be ended.
    """
    found = marked(state)
    _kill([process for process, workload in found.values() if not workload])
    rest = [process for process, workload in found.values() if workload]
    for process in rest:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(rest, timeout=patience)
    _kill(process for process, _ in marked(state).values())
    if left := marked(state):
        pids = ", ".join(str(pid) for pid in sorted(left))
        raise PermanentError(f"process {pids} of {state} cannot be ended: end it by hand (kill -9 {pids})")


def _kill(processes: Iterable[psutil.Process]) -> None:
    killed = list(processes)
    for process in killed:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(killed, timeout=KILLED_SECONDS)


def _inside(process: psutil.Process, workload: str, found: dict[int, tuple[psutil.Process, str]]) -> bool:
    with contextlib.suppress(psutil.Error):
        parent = found.get(process.ppid())
        return parent is not None and parent[1] == workload
    return False
