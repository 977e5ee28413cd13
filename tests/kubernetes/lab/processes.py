"""Processes of a lab: started in sessions of their own, ended by process ID and start time, never by name.

Both are on record in the lab's folder, so that what a killed test run left behind is found and ended by the next one.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psutil

from muniment.kernel.waiting import NotYetError, wait_blocking

END_SECONDS = 20
_STATE, _START_TIME = 0, 19
"""Where they are in /proc/PID/stat behind the program's name, see proc(5)."""


class Processes:
    """What one lab runs, by name: a file for each in `records`, a log for each in `logs`."""

    def __init__(self, records: Path, logs: Path) -> None:
        self._records = records
        self._logs = logs
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str | Path]) -> subprocess.Popen[bytes]:
        """Start it; what it prints goes to its log."""
        with (self._logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._children[name] = process
        (self._records / name).write_text(f"{process.pid} {_started(process.pid)}")
        return process

    def pid(self, name: str) -> int | None:
        """Its process ID while it runs."""
        if child := self._children.get(name):
            return child.pid if child.poll() is None else None
        try:
            pid, started = (self._records / name).read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if _started(int(pid)) == started else None

    def kill(self, name: str) -> None:
        """kill -9, and wait for the end; nothing if it does not run."""
        pid = self.pid(name)
        if pid is not None:
            # It leads a process group: what it started goes with it.
            os.killpg(pid, signal.SIGKILL)
            wait_blocking(f"the end of {name}", lambda: self._check_ended(name), timeout=END_SECONDS)
        self._children.pop(name, None)
        (self._records / name).unlink(missing_ok=True)

    def kill_all(self) -> None:
        """The last one first."""
        records = self._records.iterdir() if self._records.exists() else ()
        for record in sorted(records, key=lambda path: path.stat().st_mtime_ns, reverse=True):
            self.kill(record.name)

    def _check_ended(self, name: str) -> None:
        if self.pid(name) is not None:
            raise NotYetError("it still runs")


def _started(pid: int) -> str | None:
    """When a process started, in ticks since boot; None if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The program's name is in brackets and may hold anything.
    fields = stat.rpartition(")")[2].split()
    return None if fields[_STATE] in "ZX" else fields[_START_TIME]


def in_network(namespace: str, *command: str | Path) -> list[str]:
    """A command that runs in a network namespace. Not by `ip netns exec`: that hides the cgroups."""
    return ["nsenter", f"--net=/run/netns/{namespace}", "--", *map(str, command)]


def run(*command: str | Path, text: str | None = None) -> str:
    """Run a command to its end; raises `AssertionError` with what it said when it fails."""
    done = subprocess.run([str(part) for part in command], input=text, capture_output=True, text=True, check=False)
    assert not done.returncode, f"{command[0]} {' '.join(map(str, command[1:]))}: {done.stderr or done.stdout}"
    return done.stdout


def first_child(pid: int) -> int:
    """The process ID of the only child, as soon as there is one."""

    def probe() -> int:
        children = psutil.Process(pid).children()
        if not children:
            raise NotYetError("it has no child")
        return children[0].pid

    return wait_blocking(f"the child of {pid}", probe, timeout=END_SECONDS)
