"""The programs of Kubernetes, built from the Go modules in `tests/kubernetes/modules` and cached beside the engines.

`python -m tests.kubernetes.lab.binaries` builds what is missing and prints the directory. The first time takes minutes
of both cores; a low priority (`nice`) makes it a background job that leaves the machine to others.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock

from muniment.cli import progress
from muniment.engines.cache import FLAGS, cache_root
from muniment.engines.running import run_logged
from muniment.engines.toolchain import find_go
from muniment.kernel.errors import MunimentError, PermanentError
from muniment.kernel.events import Listener, Step, ignore

MODULES: Final = Path(__file__).parent.parent / "modules"
KUBERNETES: Final = "v1.34.4"
HELM: Final = "v3.22.0"
_K8S: Final = "k8s.io/kubernetes/cmd"
_LAST_LINES: Final = 5
_REPORT_EVERY: Final = 50


@dataclass(frozen=True)
class Command:
    """One program: the module that it is built in, its package, and what the linker is told."""

    name: str
    module: str
    package: str
    values: Sequence[str] = ()


def _kubernetes_values() -> tuple[str, ...]:
    # Else it calls itself v0.0.0-master, and charts that ask for a version refuse it.
    minor = KUBERNETES.split(".")[1]
    given = {"gitVersion": KUBERNETES, "gitMajor": "1", "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return tuple(f"{package}.{name}={value}" for package in packages for name, value in given.items())


COMMANDS: Final = (
    *(
        Command(name, "kubernetes", f"{_K8S}/{name}", _kubernetes_values())
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
    ),
    Command("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    Command("helm", "helm", "helm.sh/helm/v3/cmd/helm", (f"helm.sh/helm/v3/internal/version.version={HELM}",)),
    Command("coredns", "coredns", "."),
    Command("pause", "pause", "."),
)


def binaries(listener: Listener = ignore) -> Path:
    """The directory with all programs; what is missing is built. Raises `PermanentError` when that fails."""
    place = cache_root() / "kubernetes" / _digest()
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / ".lock"):
        missing = [command for command in COMMANDS if not os.access(place / command.name, os.X_OK)]
        # All programs of a module at once: their packages are compiled, and they are linked, side by side.
        for module in dict.fromkeys(command.module for command in missing):
            _Build(module, [one for one in missing if one.module == module], place, listener).run()
    return place


@dataclass(frozen=True)
class _Build:
    """The programs of one module, which all have the same linker values."""

    module: str
    commands: Sequence[Command]
    place: Path
    listener: Listener

    def run(self) -> None:
        """Build them beside their place, and move them there."""
        begun = time.monotonic()
        work = self.place / f".{self.module}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        log = self.place / f"{self.module}.log"
        log.write_text("", "utf-8")
        packages = [command.package for command in self.commands]
        total = self._download(packages, work, log)
        result = self._compile(packages, work, log, total)
        for command in self.commands:
            (result / command.name).replace(self.place / command.name)
        shutil.rmtree(work)
        log.unlink()
        told = f"built in {time.monotonic() - begun:.0f} s"
        self.listener(Step(self.module, told, "end", total, total))

    def _download(self, packages: Sequence[str], work: Path, log: Path) -> int:
        self.listener(Step(self.module, "downloading sources"))
        self._go(work, log, lambda _line: None, "list", "-deps", *packages)
        return (work / "output").read_bytes().count(b"\n")

    def _compile(self, packages: Sequence[str], work: Path, log: Path, total: int) -> Path:
        self.listener(Step(self.module, "compiling", done=0, total=total))
        done = 0

        def count(line: str) -> None:
            # `go build -v` prints the import path of every package that it compiles.
            nonlocal done
            if line and " " not in line:
                done += 1
                if done % _REPORT_EVERY == 0:
                    self.listener(Step(self.module, "compiling", "progress", min(done, total), total))

        result = work / "result"
        result.mkdir()
        # A single program is named here: Go would name etcd's after the folder of its package.
        target = result / self.commands[0].name if len(self.commands) == 1 else result
        linker = " ".join(("-s", "-w", *(f"-X {value}" for value in self.commands[0].values)))
        self._go(work, log, count, "build", "-v", *FLAGS, "-ldflags", linker, "-o", str(target), *packages)
        return result

    def _go(self, work: Path, log: Path, on_line: Callable[[str], None], *arguments: str) -> None:
        go = find_go(cache_root(), lambda: self.listener(Step("go", "downloading the Go toolchain (70 MB)")))
        status = run_logged(
            [go, *arguments],
            directory=MODULES / self.module,
            # Static, for images that hold nothing else.
            environment={
                **os.environ,
                "CGO_ENABLED": "0",
                "GOFLAGS": FLAGS[-1],
                "GOTOOLCHAIN": "local",
                "GOWORK": "off",
            },
            log=log,
            output=work / "output",
            on_line=on_line,
        )
        if status:
            last = " / ".join(log.read_text("utf-8").splitlines()[-_LAST_LINES:])
            raise PermanentError(f"{self.module} could not be built ({last}): the whole output is in {log}")


def _digest() -> str:
    made = hashlib.sha256(repr(COMMANDS).encode())
    for path in sorted(MODULES.rglob("*")):
        if path.is_file() and re.fullmatch(r"go\.(mod|sum)|.*\.go", path.name):
            made.update(path.read_bytes())
    return made.hexdigest()[:16]


def main() -> None:
    """Build with progress on standard error."""
    # As an exception, at which the compilers are ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("kubernetes: told to end"))
    try:
        with progress.listener() as listener:
            place = binaries(listener)
    except MunimentError as error:
        sys.exit(f"kubernetes: {error}")
    sys.stdout.write(f"{place}\n")


if __name__ == "__main__":
    main()
