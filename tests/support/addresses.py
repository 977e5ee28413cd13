"""Addresses for rigs that run a part of a member: ports on 127.0.0.1 from `base`, directories under `root`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from muniment.identity.model import Endpoint


@dataclass(frozen=True)
class RigAddresses(ABC):
    """Everything but the ports, which every rig counts in its own way: subclasses say `offset`."""

    base: int
    root: Path

    @abstractmethod
    def offset(self, workload: str, port: str) -> int:
        """The port's distance from `base`."""

    def listen(self, workload: str, port: str) -> Endpoint:
        return Endpoint(host="127.0.0.1", port=self.base + self.offset(workload, port))

    def reach(self, workload: str, port: str) -> Endpoint:
        return self.listen(workload, port)

    def config(self, workload: str) -> PurePosixPath:
        return PurePosixPath(self.root / "config" / workload)

    def data(self, workload: str) -> PurePosixPath:
        return PurePosixPath(self.root / "data" / workload)

    def run(self, workload: str) -> PurePosixPath:
        return PurePosixPath(self.root / "run" / workload)
