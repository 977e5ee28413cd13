"""What runs inside supervisord, by its own door for extensions (`rpcinterface_factory`): quick restarts, small logs,
and what each workload was started from.

- **Quick restarts.** supervisord looks for dead children when its poll returns, and starts them anew after the next
  poll; with nothing to read a poll takes a second (supervisord.py, `runforever`). Here the death of a child ends the
  poll at once (SIGCHLD through a pipe), and the next one does not wait: the launcher runs a tenth of a second later.
- **Small logs.** Workloads write to their log files themselves (`targets.launch` says why), so supervisord cannot limit
  them. Once a minute a log that has grown too long is copied and cut; writers append, so they go on at the new end.
- **Started from.** The configuration file says what shall run; only supervisord knows whether it took that up already.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from supervisor import events
from supervisor.states import ProcessStates

LONGEST_BYTES = 10_000_000
OLD_LOGS = 3


DIGEST_VARIABLE = "MUNIMENT_RENDERED"
"""In the environment of each program of the configuration: digest of what it is launched with."""


class Extension:
    """Methods that XML-RPC may call, as `muniment.NAME`."""

    def __init__(self, supervisord: Any) -> None:
        self._supervisord = supervisord

    def digests(self) -> dict[str, str]:
        """The digest of each workload in the configuration that supervisord works with, not the one in the file."""
        return {
            process.config.name: process.config.environment.get(DIGEST_VARIABLE, "")
            for group in self._supervisord.process_groups.values()
            for process in group.processes.values()
        }


def make(supervisord: Any, directory: str) -> Extension:
    """Called by supervisord when it starts, with the directory of the logs from its configuration."""
    wake_at_death(supervisord)
    logs = Path(directory)
    events.subscribe(events.Tick60Event, lambda _event: keep_small(logs))
    return Extension(supervisord)


def wake_at_death(supervisord: Any) -> None:
    """Let supervisord's poll return as soon as a child dies, and at once while a dead one waits for its restart."""
    poller = supervisord.options.poller
    poll: Callable[[float], tuple[list[int], list[int]]] = poller.poll
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def woken(seconds: float) -> tuple[list[int], list[int]]:
        # Every time: supervisord takes descriptors that it does not know out of the poller.
        poller.register_readable(reading)
        readable, writable = poll(0 if somebody_waits(supervisord) else seconds)
        if reading in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(reading, 4096)
        return [descriptor for descriptor in readable if descriptor != reading], writable

    poller.poll = woken


def somebody_waits(supervisord: Any) -> bool:
    """Whether a process has ended and will be started again."""
    return any(
        process.state == ProcessStates.EXITED and process.config.autorestart
        for group in supervisord.process_groups.values()
        for process in group.processes.values()
    )


def keep_small(directory: Path, *, longest: int = LONGEST_BYTES) -> None:
    """Move the content of every log in `directory` that is longer than `longest` bytes into numbered old logs."""
    for log in directory.glob("*.log"):
        # On a full disk logs stay long, and supervisord must not stop for it.
        with contextlib.suppress(OSError):
            if log.stat().st_size > longest:
                rotate(log)


def rotate(log: Path) -> None:
    """`x.log` becomes `x.log.1`, that one `x.log.2`, and so on; the file itself stays, and is empty."""
    for number in range(OLD_LOGS - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    with log.open("r+b") as stream:
        stream.truncate(0)
