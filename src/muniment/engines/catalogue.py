"""The engines: which versions are accepted, and what they are built from.

The Go modules stand in `engines/` of a checkout and in `muniment/engines/modules` of an installed package.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from muniment.kernel.errors import InputError

Version = tuple[int, ...]


@dataclass(frozen=True)
class Source:
    """How an engine is built."""

    module: str
    """Directory of the Go module below `modules_root()`."""
    package: str
    """Go package of the command."""
    flags: tuple[str, ...] = ()
    """Flags of `go build` beyond those that every engine gets."""


@dataclass(frozen=True)
class Engine:
    """One engine."""

    name: str
    """Name of its executable, and its name everywhere else."""
    title: str
    """What people call it."""
    version: Version
    """The accepted version: exactly this one when it is built, this or a later one when it comes from the system."""
    ask: tuple[str, ...]
    """Arguments that make it print its version."""
    says: re.Pattern[str]
    """Finds the version (group 1) in what it prints; no match means that it is another program of that name."""
    source: Source | None = None
    """None: it comes from the system's packages, and `package` says from which one."""
    package: str = ""

    def accepts(self, version: Version) -> bool:
        """Whether an executable of this version may be used."""
        return version == self.version if self.source else version >= self.version

    @property
    def wanted(self) -> str:
        """The accepted version for people: `22.7.4` or `2.4 or later`."""
        text = ".".join(map(str, self.version))
        return text if self.source else f"{text} or later"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.MULTILINE)


ENGINES: tuple[Engine, ...] = (
    # Plain geth prints "Geth" and "Version: 1.10.3-stable" too: only GoQuorum has the line that is looked for.
    Engine(
        name="geth",
        title="GoQuorum",
        version=(22, 7, 4),
        ask=("version",),
        says=_pattern(r"^Quorum Version: (\d+\.\d+\.\d+)\s*$"),
        # GoQuorum reaches into the runtime by go:linkname, which the linker forbids since Go 1.23.
        source=Source("geth", "github.com/ethereum/go-ethereum/cmd/geth", ("-ldflags=-checklinkname=0",)),
    ),
    Engine(
        name="ipfs",
        title="kubo",
        version=(0, 42, 0),
        ask=("version",),
        says=_pattern(r"^ipfs version (\d+\.\d+\.\d+)\s*$"),
        source=Source("kubo", "github.com/ipfs/kubo/cmd/ipfs"),
    ),
    Engine(
        name="ipfs-cluster-service",
        title="IPFS Cluster",
        version=(1, 1, 0),
        ask=("--version",),
        says=_pattern(r"^ipfs-cluster-service version (\d+\.\d+\.\d+)\s*$"),
        source=Source("cluster", "github.com/ipfs-cluster/ipfs-cluster/cmd/ipfs-cluster-service"),
    ),
    Engine(
        name="haproxy",
        title="HAProxy",
        version=(2, 4),
        ask=("-v",),
        says=_pattern(r"^HAProxy version (\d+\.\d+(?:\.\d+)?)"),
        package="haproxy",
    ),
)


def engine(name: str) -> Engine:
    """The engine of this name; raises `InputError` naming those that there are."""
    for candidate in ENGINES:
        if candidate.name == name:
            return candidate
    raise InputError(f"there is no engine {name}: the engines are {', '.join(each.name for each in ENGINES)}")


def modules_root() -> Path:
    """Directory of the engines' Go modules: inside the installed package, else in the checkout."""
    packaged = Path(__file__).parent / "modules"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "engines"
