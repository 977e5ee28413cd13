"""A topology as files of one machine: for every workload its configuration and the launcher's description of it.

STATE/config/NAME/launch.json       what the launcher does (no secret in it)
STATE/config/NAME/original/         the rendered files; the launcher copies them to where the workload wants them,
                                    before every start, so that nothing a program writes into its configuration lasts
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from muniment.kernel.encoding import pretty_json
from muniment.kernel.errors import InputError
from muniment.kernel.files import PUBLIC_MODE, SECRET_MODE, unwritable
from muniment.targets.launch import place, remove
from muniment.targets.loopback import run_directory
from muniment.topology.model import File, Probe, Program, Topology, Workload, with_secrets

STATE_VARIABLE = "MUNIMENT_STATE"
"""Marks every process of a state directory, the supervisor too; its value is the state directory."""

WORKLOAD_VARIABLE = "MUNIMENT_WORKLOAD"
"""Marks every process of a workload."""

LAUNCH = "launch.json"
ORIGINAL = "original"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\"'\\;#%,]")

Secrets = Callable[[str], str]


@dataclass(frozen=True)
class Rendered:
    """One workload as rendered: what the supervisor must know of it."""

    name: str
    digest: str
    """Changes when anything changes that the workload was launched with."""
    launch: Path
    stop_seconds: int


class Renderer:
    """Writes topologies under `root`, for processes of the state directory `state` (mostly the same place)."""

    def __init__(self, state: Path, programs: Mapping[str, Path], secret: Secrets, *, root: Path | None = None) -> None:
        check_path(state)
        self._state = state
        self._root = root or state
        self._programs = programs
        self._secret = secret

    def digests(self, topology: Topology) -> dict[str, str]:
        """What `Rendered.digest` of each workload would be; writes nothing."""
        return {workload.name: self._described(workload).digest for workload in topology.workloads}

    def render(self, topology: Topology, only: Collection[str] | None = None) -> tuple[Rendered, ...]:
        """Write the files of all workloads, or of those in `only`, and remove those of workloads that are no more.

        Raises `InputError` when a place cannot be written.
        """
        chosen = (workload for workload in topology.workloads if only is None or workload.name in only)
        rendered = tuple(self._workload(workload) for workload in chosen)
        config = self._root / "config"
        wanted = {workload.name for workload in topology.workloads}
        for entry in config.iterdir() if config.is_dir() else ():
            if entry.name not in wanted:
                shutil.rmtree(entry, ignore_errors=True)
        return rendered

    def refresh(self, topology: Topology) -> None:
        """Put changed files that workloads read anew (`File.reloaded`) in place, for workloads rendered before.

        Raises `InputError` when a place cannot be written.
        """
        for workload in topology.workloads:
            if not (self._root / "config" / workload.name / LAUNCH).exists():
                continue
            for file in (self._file(workload, each) for each in workload.files if each.reloaded):
                try:
                    place(self._root / file.source, file.content, file.mode)
                    place(file.target, file.content, file.mode)
                except OSError as error:
                    raise unwritable(file.target, error) from error

    def _workload(self, workload: Workload) -> Rendered:
        directory = self._root / "config" / workload.name
        described = self._described(workload)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for file in described.files:
                place(self._root / file.source, file.content, file.mode)
            place(directory / LAUNCH, described.launch, PUBLIC_MODE)
            _remove_others(directory, {LAUNCH, ORIGINAL, *(file.top for file in described.files)})
            _remove_others(directory / ORIGINAL, {file.source.name for file in described.files})
        except OSError as error:
            raise unwritable(directory, error) from error
        launch = self._config(workload.name) / LAUNCH
        return Rendered(workload.name, described.digest, launch, workload.stop_seconds)

    def _described(self, workload: Workload) -> _Described:
        files = tuple(self._file(workload, file) for file in workload.files)
        launch = pretty_json(self._launch(workload, files)).encode()
        digest = hashlib.sha256(launch)
        for file in files:
            if not file.reloaded:
                digest.update(file.content)
        return _Described(files, launch, digest.hexdigest()[:16])

    def _file(self, workload: Workload, file: File) -> _File:
        text = with_secrets(file.text, self._secret)
        mode = SECRET_MODE if text != file.text else PUBLIC_MODE
        base = self._state / "data" / workload.name if file.in_data else self._config(workload.name)
        flat = ("data-" if file.in_data else "config-") + "-".join(file.path.parts)
        source = PurePosixPath("config", workload.name, ORIGINAL, flat)
        return _File(
            source, base / file.path, "" if file.in_data else file.path.parts[0], text.encode(), mode, file.reloaded
        )

    def _launch(self, workload: Workload, files: Sequence[_File]) -> dict[str, Any]:
        data = self._state / "data" / workload.name
        prepare = workload.prepare
        return {
            "arguments": workload.arguments,
            "data": str(data),
            "directories": [
                str(self._config(workload.name)),
                str(run_directory(self._state) / workload.name),
                *(str(path) for path in workload.shared),
            ],
            "environment": {
                # Nothing of the user's environment: engines take settings from it (CLUSTER_…, IPFS_…, GOLOG_…).
                "HOME": str(data),
                "LANG": "C.UTF-8",
                "PATH": _PATH,
                **dict(workload.environment),
                STATE_VARIABLE: str(self._state),
                WORKLOAD_VARIABLE: workload.name,
            },
            "files": [
                {"source": str(self._state / file.source), "target": str(file.target), "mode": file.mode}
                for file in files
            ],
            "log": str(log_file(self._state, workload.name)),
            "prepare": prepare and {"arguments": prepare.arguments, "creates": str(prepare.creates)},
            "needs": [_need(probe) for probe in workload.needs],
            "program": self._program(workload),
            "stop_seconds": workload.stop_seconds,
            "starts": str(starts_file(self._state, workload.name)),
            "workload": workload.name,
        }

    def _program(self, workload: Workload) -> list[str]:
        if workload.program is Program.MUNIMENT:
            return [sys.executable, "-P", "-m", "muniment"]
        return [str(self._programs[workload.program.value])]

    def _config(self, workload: str) -> Path:
        return self._state / "config" / workload


@dataclass(frozen=True)
class _File:
    source: PurePosixPath
    """Relative to the root that is rendered into."""
    target: Path
    top: str
    """First part of a config file's path in the config directory; empty for files of the data directory."""
    content: bytes
    mode: int
    reloaded: bool


@dataclass(frozen=True)
class _Described:
    """A workload's files and the launcher's description, before they are written."""

    files: tuple[_File, ...]
    launch: bytes
    digest: str


def starts_file(state: Path, workload: str) -> Path:
    """The file that counts the workload's starts."""
    return state / "run" / f"{workload}.starts"


def log_file(state: Path, workload: str) -> Path:
    """What the workload writes to standard output and standard error."""
    return state / "logs" / f"{workload}.log"


def check_path(state: Path) -> None:
    """Raises `InputError` for a state directory whose name the supervisor's configuration could misread."""
    if found := _FORBIDDEN.search(str(state)):
        raise InputError(f"the state directory {str(state)!r} has {found[0]!r} in its name: choose another (--state)")


def _need(probe: Probe) -> dict[str, Any]:
    url = urlsplit(probe.url)
    return {"host": url.hostname, "port": url.port, "path": url.path}


def _remove_others(directory: Path, wanted: set[str]) -> None:
    for entry in directory.iterdir() if directory.is_dir() else ():
        if entry.name not in wanted:
            remove(entry)
