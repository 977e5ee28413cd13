"""A Go toolchain and engines made of small shell scripts, and the environment of a machine that has only these."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ENSURE = """
import json, sys
from muniment.engines.build import ensure_engines
print(json.dumps({name: str(path) for name, path in ensure_engines(names=sys.argv[1:]).items()}))
"""

FAKE_GO = """#!/bin/sh
case "$1" in
version) echo "go version go{version} linux/amd64" ;;
list)
    echo "go: downloading example.org/one v1.0.0" >&2
    {list}
    printf 'one\\ntwo\\nthree\\n'
    ;;
build)
    echo "$@" >> "{notes}/builds"
    while [ "$1" != -o ]; do shift; done
    {build}
    echo one >&2
    echo two >&2
    printf '%s' '{engine}' > "$2"
    /bin/chmod 755 "$2"
    ;;
esac
"""

REAL_OUTPUT = {
    "geth": "Geth\nVersion: 1.10.3-stable\nQuorum Version: 22.7.4\nArchitecture: amd64",
    "ipfs": "ipfs version 0.42.0",
    "ipfs-cluster-service": "ipfs-cluster-service version 1.1.0",
    "haproxy": "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/",
}
"""What the accepted engines print."""


def script(output: str) -> str:
    """A program that prints this."""
    return f'#!/bin/sh\necho "{output}"\n'


@dataclass(frozen=True)
class Machine:
    """A machine whose PATH is one directory of ours."""

    root: Path

    def __post_init__(self) -> None:
        for directory in (self.bin, self.notes, self.root / "home"):
            directory.mkdir(parents=True)

    @property
    def bin(self) -> Path:
        """The only directory on PATH."""
        return self.root / "bin"

    @property
    def notes(self) -> Path:
        """Where the programs note what they did."""
        return self.root / "notes"

    @property
    def cache(self) -> Path:
        """$MUNIMENT_CACHE."""
        return self.root / "cache"

    def environment(self) -> dict[str, str]:
        """Its whole environment."""
        return {
            "PATH": str(self.bin),
            "HOME": str(self.root / "home"),
            "MUNIMENT_CACHE": str(self.cache),
            # pip finds nothing, and asks nobody.
            "PIP_NO_INDEX": "1",
            "PIP_CONFIG_FILE": os.devnull,
        }

    def program(self, name: str, text: str) -> None:
        """Put a program on PATH."""
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def go(self, builds: str, *, version: str = "1.26.6", on_list: str = ":", on_build: str = ":") -> None:
        """A Go that builds the engine of this name; the last two are shell commands that it runs on its way."""
        self.program(
            "go",
            FAKE_GO.format(
                version=version, list=on_list, build=on_build, notes=self.notes, engine=script(REAL_OUTPUT[builds])
            ),
        )

    def c_compiler(self, *, works: bool = True) -> None:
        """A C compiler that takes everything, or one that misses the C library's headers."""
        self.program("gcc", f"#!/bin/sh\nexit {0 if works else 1}\n")

    def builds(self) -> list[str]:
        """The `go build` commands that ran."""
        notes = self.notes / "builds"
        return notes.read_text().splitlines() if notes.exists() else []

    def hidden(self) -> list[str]:
        """Working directories in the cache."""
        return [path.name for path in (self.cache / "engines").glob(".*") if path.is_dir()]

    def start(self, *names: str) -> subprocess.Popen[str]:
        """`ensure_engines` in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-c", ENSURE, *names],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
