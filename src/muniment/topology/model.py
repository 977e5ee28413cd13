"""Workloads as frozen values: everything that a target must know, and nothing of chains or IPFS.

A target gives every workload two directories of its own: *config* (rendered files, replaced at every `up`) and *data*
(the volume, survives). Paths in commands come from `Addresses`, so that the same derivation serves local processes,
compose and Kubernetes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Protocol

from muniment.identity.model import Endpoint


class Role(StrEnum):
    """What a workload is for."""

    NODE = "node"
    PRIVACY = "privacy"
    KUBO = "kubo"
    CLUSTER = "cluster"
    GATEWAY = "gateway"
    AGENT = "agent"
    NOTARY = "notary"
    DATABASE = "database"


class Program(StrEnum):
    """The executable of a workload; a target knows where each is."""

    GETH = "geth"
    IPFS = "ipfs"
    CLUSTER_SERVICE = "ipfs-cluster-service"
    HAPROXY = "haproxy"
    MARIADB = "mariadbd"
    MUNIMENT = "muniment"


class Addresses(Protocol):
    """Where a target puts things. Implementations are deterministic and do no I/O."""

    def listen(self, workload: str, port: str) -> Endpoint:
        """Address that the workload binds for its port of this name."""

    def reach(self, workload: str, port: str) -> Endpoint:
        """Address at which the others reach that port."""

    def config(self, workload: str) -> PurePosixPath:
        """The workload's config directory, as the workload sees it."""

    def data(self, workload: str) -> PurePosixPath:
        """The workload's data directory (volume), as the workload sees it."""

    def run(self, workload: str) -> PurePosixPath:
        """A directory with a short path for unix sockets, as the workload sees it."""


def secret(path: str) -> str:
    """Marker in a file's text that a target replaces by the secret's content (stripped) from the identity store."""
    return f"@secret:{path}@"


_SECRET = re.compile(r"@secret:([^@\n]+)@")


def secrets_in(text: str) -> list[str]:
    """Paths of the secrets whose markers stand in a text, in their order."""
    return _SECRET.findall(text)


def with_secrets(text: str, content: Callable[[str], str]) -> str:
    """The text with every marker replaced by the content of its secret."""
    return _SECRET.sub(lambda match: content(match[1]), text)


@dataclass(frozen=True)
class File:
    """A file that must be there before the workload starts."""

    path: PurePosixPath
    """Relative to the config directory, or to the data directory with `in_data`."""
    text: str
    """Content; may hold `secret(...)` markers, and then the file is written with mode 0600."""
    in_data: bool = False
    """Some engines want their configuration inside their volume (kubo's `config`, geth's static-nodes.json)."""
    reloaded: bool = False
    """The workload reads the file anew when it changes (certificates): a change is put in place at once, and is no
    reason for a restart."""


@dataclass(frozen=True)
class Port:
    """A port that the workload listens on. `scheme` makes the URL in `status`: http, ws or tcp."""

    name: str
    listen: Endpoint
    reach: Endpoint
    scheme: str = "http"
    path: str = ""
    """Path of the URL, for example /metrics."""

    @property
    def url(self) -> str:
        """Full URL of the port."""
        return f"{self.scheme}://{self.reach.host}:{self.reach.port}{self.path}"


@dataclass(frozen=True)
class Prepare:
    """A command to run in the data directory before the start whenever `creates` (relative to it) is absent."""

    arguments: tuple[str, ...]
    """Arguments of the workload's own program, or of `program`."""
    creates: PurePosixPath
    program: str | None = None
    """Name of another executable that comes with the workload's program."""


@dataclass(frozen=True)
class Probe:
    """Readiness: a request to `url` that must answer with a 2xx status; the body of a refusal is the cause."""

    url: str
    method: str = "GET"


@dataclass(frozen=True)
class Workload:
    """One thing to run."""

    name: str
    member: str
    role: Role
    program: Program
    arguments: tuple[str, ...]
    ready: Probe
    ports: tuple[Port, ...] = ()
    files: tuple[File, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    needs: tuple[Probe, ...] = ()
    """What must be ready before the program is started: it would end at once without."""
    shared: tuple[PurePosixPath, ...] = ()
    """Directories that it shares with workloads of its member, and that must be there."""
    prepare: Prepare | None = None
    stop_seconds: int = 30
    """Time between SIGTERM and SIGKILL at a stop."""

    def port(self, name: str) -> Port:
        """The port of this name; raises `KeyError`."""
        for port in self.ports:
            if port.name == name:
                return port
        raise KeyError(f"{self.name} has no port {name}")


@dataclass(frozen=True)
class Topology:
    """All workloads of a specification, in starting order, and the public values every verb needs."""

    consortium: str
    workloads: tuple[Workload, ...]
    genesis: str
    """Text of genesis.json."""
    members: tuple[str, ...] = field(default=())
    """Names of the members that this topology runs."""

    def workload(self, name: str) -> Workload:
        """The workload of this name; raises `KeyError`."""
        for workload in self.workloads:
            if workload.name == name:
                return workload
        raise KeyError(name)

    def of(self, member: str, role: Role) -> tuple[Workload, ...]:
        """The member's workloads with this role."""
        return tuple(w for w in self.workloads if w.member == member and w.role is role)
