"""Running a build command: its output goes to a log, line by line, and it never outlives us at an interrupt."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path


def run_logged(
    command: Sequence[str | Path],
    *,
    directory: Path,
    environment: Mapping[str, str],
    log: Path,
    output: Path,
    on_line: Callable[[str], None],
) -> int:
    """Run `command` and return its exit status.

    Standard output goes to the file `output`; every line of standard error is appended to `log` and given to `on_line`.
    On any exception, Ctrl-C too, the command and its children are killed. Raises `OSError` when it cannot be started.
    """
    with output.open("wb") as stdout, log.open("a", encoding="utf-8") as stderr_log:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            # A group of its own, so that the compilers that `go` starts end with it.
            start_new_session=True,
        )
        try:
            assert process.stderr is not None  # noqa: S101 - PIPE was asked for
            for line in process.stderr:
                stderr_log.write(line)
                stderr_log.flush()
                on_line(line.rstrip("\n"))
            return process.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            if process.stderr is not None:
                process.stderr.close()
