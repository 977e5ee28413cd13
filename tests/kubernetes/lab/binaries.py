"""The programs of Kubernetes, built from the Go modules in `tests/kubernetes/modules` and cached beside the engines."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock

from muniment.engines.cache import cache_root
from muniment.engines.toolchain import find_go

MODULES: Final = Path(__file__).parent.parent / "modules"
KUBERNETES: Final = "v1.34.4"
HELM: Final = "v3.22.0"
_K8S: Final = "k8s.io/kubernetes/cmd"


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


def binaries() -> Path:
    """The directory with all programs; what is missing is built, which takes ten minutes and more at the first time."""
    place = cache_root() / "kubernetes" / _digest()
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / ".lock"):
        for command in COMMANDS:
            if not os.access(place / command.name, os.X_OK):
                _build(command, place / command.name)
    return place


def _build(command: Command, place: Path) -> None:
    sys.stderr.write(f"kubernetes: building {command.name}\n")
    go = find_go(cache_root(), lambda: print("kubernetes: downloading the Go toolchain", file=sys.stderr))
    linker = " ".join(("-s", "-w", *(f"-X {value}" for value in command.values)))
    beside = place.with_suffix(".part")
    subprocess.run(
        [
            go,
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-mod=readonly",
            "-ldflags",
            linker,
            "-o",
            beside,
            command.package,
        ],
        cwd=MODULES / command.module,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"},
        check=True,
    )
    beside.replace(place)


def _digest() -> str:
    made = hashlib.sha256(repr(COMMANDS).encode())
    for path in sorted(MODULES.rglob("*")):
        if path.is_file() and re.fullmatch(r"go\.(mod|sum)|.*\.go", path.name):
            made.update(path.read_bytes())
    return made.hexdigest()[:16]


if __name__ == "__main__":
    sys.stdout.write(f"{binaries()}\n")
