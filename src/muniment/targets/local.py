"""The local target: every workload is a process of this machine, watched by supervisord."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from muniment.kernel.errors import InputError, PermanentError, TemporaryError, WaitTimeoutError
from muniment.kernel.files import SECRET_MODE, make_private_directory, unwritable
from muniment.kernel.waiting import NotYetError, wait_blocking
from muniment.targets import processes
from muniment.targets.base import Process
from muniment.targets.launch import STARTED, place
from muniment.targets.loopback import run_directory
from muniment.targets.ports import check_ports
from muniment.targets.rendering import LAUNCH, Rendered, Renderer, Secrets, check_path, log_file, starts_file
from muniment.targets.supervision import ENDED_STATES, Places, Supervisor, configuration
from muniment.topology.model import Topology, Workload

ON_PURPOSE = b"-"
"""Stands in the file of starts before a start that somebody asked for: that one is no restart."""

STOP_SLACK_SECONDS = 10.0
ORPHAN_SECONDS = 30.0
"""So long workloads that nobody watches may take to end after SIGTERM."""

LONGEST_STOP_SECONDS = 90.0
"""For a workload whose description is gone already; the supervisor itself keeps to the right time."""

NOTHING_WATCHES = "the supervisor is not running, so nothing that ends is started again: run `muniment up`"


class LocalTarget:
    """Implements `targets.base.Target` in the state directory `state`.

    `programs` maps engine names to executables (may be empty for everything but `render` and `apply`), `secret` gives
    the content of a secret by its path in the identity store.
    """

    def __init__(self, state: Path, programs: Mapping[str, Path], secret: Secrets) -> None:
        check_path(state)
        self._state = state
        self._renderer = Renderer(state, programs, secret)
        self._places = Places(state, run_directory(state))
        self._supervisor = Supervisor(self._places)

    def render(self, topology: Topology) -> None:
        """Write every rendered file; starts nothing. Raises `InputError` when a place cannot be written."""
        self._render(topology, None)

    def check(self, topology: Topology) -> None:
        """Raises `InputError` when a port is taken by a process that does not belong to this state directory."""
        check_ports(topology.workloads, str(self._state))

    def pending(self, topology: Topology) -> dict[str, tuple[str, ...]]:
        """See `Target.pending`: every workload is a unit of its own."""
        running = self._supervisor.digests() if self._supervisor.answers() else {}
        wanted = self._renderer.digests(topology)
        observed = self.observe()
        return {
            name: (name,)
            for name, digest in wanted.items()
            if running.get(name) != digest or name not in observed or not observed[name].running
        }

    def apply(self, topology: Topology, only: Collection[str] | None = None) -> None:
        """See `Target.apply`. Workloads start all at once: each waits for what it needs by itself.

        Raises `InputError` when a place cannot be written, `PermanentError` when a process cannot be ended or the
        supervisor does not start.
        """
        answers = self._supervisor.answers()
        rendered = self._render(topology, only if answers else None)
        self._renderer.refresh(topology)
        text = configuration(self._places, rendered).encode()
        with _writing(self._places.configuration):
            place(self._places.configuration, text, SECRET_MODE)
        if answers:
            self._change(rendered)
        else:
            # What an earlier supervisor left goes on serving, but nobody would start it again.
            processes.end(str(self._state), patience=ORPHAN_SECONDS)
            for workload in rendered:
                starts_file(self._state, workload.name).write_bytes(ON_PURPOSE)
            self._supervisor.start()

    def refresh(self, topology: Topology) -> None:
        """Put changed files that running workloads read anew in place; starts and restarts nothing."""
        self._renderer.refresh(topology)

    def observe(self) -> dict[str, Process]:
        """The state of every workload that was rendered, by name; empty when nothing was applied."""
        try:
            infos = self._supervisor.infos()
        except TemporaryError:
            return self._unwatched()
        return {info["name"]: self._process(info) for info in infos}

    def fault(self) -> str:
        """What is wrong with the target itself, in one sentence; empty when all is well or nothing is meant to run."""
        if not self._places.configuration.exists() or self._supervisor.answers():
            return ""
        return NOTHING_WATCHES

    def start(self, workload: str) -> None:
        """Start one workload; nothing happens when it runs."""
        self._start([workload])

    def stop(self, workload: str) -> None:
        """Stop one workload; it stays stopped until `start` or the next `apply`."""
        self._supervisor.stop([workload], patience=self._patience([workload]))

    def down(self) -> None:
        """Stop everything that belongs to this state directory, watched or not; state stays.

        Raises `PermanentError` when a process cannot be ended.
        """
        with contextlib.suppress(TemporaryError, WaitTimeoutError):
            names = [info["name"] for info in self._supervisor.infos()]
            self._supervisor.stop(names, patience=self._patience(names))
            self._supervisor.shut_down()
            self._wait_for_end()
        processes.end(str(self._state), patience=ORPHAN_SECONDS)
        with _writing(self._places.configuration):
            if self._places.configuration.exists():
                self._places.configuration.unlink()
            if self._places.run.is_dir() and self._state not in self._places.run.parents:
                shutil.rmtree(self._places.run)

    def logs(self, workload: Workload, *, lines: int, follow: bool) -> None:
        """Write the workload's log to standard output: the last `lines` lines, and with `follow` what comes then."""
        self.show_log(workload.name, lines=lines, follow=follow)

    def show_log(self, workload: str, *, lines: int, follow: bool) -> None:
        """`logs` by the workload's name. Raises `InputError` when it has none yet."""
        path = log_file(self._state, workload)
        if not path.exists():
            raise InputError(f"{workload} has no log in {path.parent}: it was not started yet (`muniment status`)")
        command = ["tail", "-n", str(lines), *(["-F"] if follow else []), "--", str(path)]
        with contextlib.suppress(KeyboardInterrupt):
            subprocess.run(command, check=False, stderr=subprocess.DEVNULL)

    def _render(self, topology: Topology, only: Collection[str] | None) -> tuple[Rendered, ...]:
        """Render, and give all workloads: those that are not in `only` as they run."""
        for directory in (self._state, self._state / "config", self._state / "run", self._state / "logs"):
            make_private_directory(directory)
        _make_run_directory(self._places.run)
        before = {} if only is None else self._supervisor.digests()
        rendered = {workload.name: workload for workload in self._renderer.render(topology, only)}
        for name, digest in before.items():
            if name not in rendered:
                launch = self._state / "config" / name / LAUNCH
                rendered[name] = Rendered(name, digest, launch, int(self._stop_seconds(name)))
        return tuple(rendered[workload.name] for workload in topology.workloads if workload.name in rendered)

    def _change(self, rendered: Iterable[Rendered]) -> None:
        """Bring a running supervisor to the new configuration."""
        added, changed, removed = self._supervisor.reload()
        going = [*changed, *removed]
        self._supervisor.stop(going, patience=self._patience(going))
        for name in going:
            self._supervisor.discard(name)
        for name in (*changed, *added):
            self._expect_start(name)
            self._supervisor.add(name)
        fresh = {*changed, *added}
        resting = {info["name"] for info in self._supervisor.infos() if info["statename"] in ENDED_STATES}
        self._start(w.name for w in rendered if w.name in resting and w.name not in fresh)

    def _start(self, names: Iterable[str]) -> None:
        for name in names:
            self._expect_start(name)
            self._supervisor.launch(name)

    def _expect_start(self, name: str) -> None:
        with starts_file(self._state, name).open("ab") as stream:
            stream.write(ON_PURPOSE)

    def _patience(self, names: Iterable[str]) -> float:
        return STOP_SLACK_SECONDS + max((self._stop_seconds(name) for name in names), default=0)

    def _stop_seconds(self, name: str) -> float:
        # Of the running configuration; a workload that is gone from the new one has no description any more.
        with contextlib.suppress(OSError, ValueError):
            return float(json.loads((self._state / "config" / name / LAUNCH).read_bytes())["stop_seconds"])
        return LONGEST_STOP_SECONDS

    def _wait_for_end(self) -> None:
        def probe() -> None:
            if processes.marked(str(self._state)):
                raise NotYetError("processes are left")

        wait_blocking("the end of the supervisor", probe, timeout=STOP_SLACK_SECONDS)

    def _process(self, info: dict[str, Any]) -> Process:
        name = info["name"]
        running = bool(info["pid"])
        return Process(name, running, info["pid"] or None, self._restarts(name), "" if running else _why_ended(info))

    def _unwatched(self) -> dict[str, Process]:
        """What runs although no supervisor answers."""
        config = self._state / "config"
        names = sorted(path.parent.name for path in config.glob(f"*/{LAUNCH}")) if config.is_dir() else []
        running = processes.main_processes(str(self._state))
        meant = self._places.configuration.exists()
        cause = "it ended, and the supervisor is not running" if meant else "it is stopped"
        return {
            name: Process(name, pid is not None, pid, self._restarts(name), "" if pid else cause)
            for name in names
            for pid in (running.get(name),)
        }

    def _restarts(self, name: str) -> int:
        try:
            starts = starts_file(self._state, name).read_bytes()
        except OSError:
            return 0
        return max(0, starts.count(STARTED) - starts.count(ON_PURPOSE))


def render_into(
    root: Path, topology: Topology, state: Path, programs: Mapping[str, Path], secret: Secrets
) -> tuple[Rendered, ...]:
    """Write what `apply` would write for the state directory `state` under `root` instead, and the supervisor's
    configuration beside it; starts nothing. Raises `InputError` when a place cannot be written."""
    make_private_directory(root)
    rendered = Renderer(state, programs, secret, root=root).render(topology)
    path = root / "supervisord.conf"
    with _writing(path):
        place(path, configuration(Places(state, run_directory(state)), rendered).encode(), SECRET_MODE)
    return rendered


def _why_ended(info: dict[str, Any]) -> str:
    log = f"see `muniment logs {info['name']}`"
    match info["statename"]:
        case "STOPPED" | "STOPPING":
            return "it is stopped"
        case "EXITED":
            return f"it ended with status {info['exitstatus']} and will be started again; {log}"
        case _:
            return f"{info['spawnerr'] or 'it cannot be started'}; {log}"


def _make_run_directory(run: Path) -> None:
    """Make the directory of the sockets, for us alone; under /tmp somebody else may have been there first."""
    try:
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = run.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise PermanentError(f"{run} belongs to somebody else: remove it, or choose a shorter --state")
        run.chmod(0o700)
    except OSError as error:
        raise unwritable(run, error) from error


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Map what goes wrong with a file to the sentence for it."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error
