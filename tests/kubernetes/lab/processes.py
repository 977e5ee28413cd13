"""Processes of a lab: started in sessions of their own, ended by process ID and start time, never by name."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import psutil

from muniment.kernel.waiting import NotYetError, wait_blocking

END_SECONDS = 20


class Processes:
    """What one lab started, by name."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

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
        self._running[name] = process
        return process

    def pid(self, name: str) -> int | None:
        """Its process ID while it runs."""
        process = self._running.get(name)
        return process.pid if process and process.poll() is None else None

    def kill(self, name: str) -> None:
        """kill -9, and wait for the end."""
        process = self._running.pop(name, None)
        if process is not None:
            process.kill()
            process.wait(END_SECONDS)

    def kill_all(self) -> None:
        """The last one first."""
        for name in reversed(list(self._running)):
            self.kill(name)


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
