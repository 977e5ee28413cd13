"""Ports and places that are the same in every container. Pure."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

ROOT = PurePosixPath("/muniment")
"""Below it: config, data and run, each with one directory for every workload; templates and secrets."""

USER = 10001
"""User and group of every process, and the owner of every volume."""

PLACE = ROOT / "place.py"
"""The placing step's program in the image of muniment."""

PORTS = {
    "node": {"rpc": 8545, "ws": 8546, "p2p": 30303, "raft": 50400, "metrics": 6060},
    "privacy": {"q2t": 9101, "p2p": 9103, "status": 9102},
    "agent": {"api": 9200},
    "kubo": {"swarm": 4001, "api": 5001},
    "cluster": {"swarm": 9096, "api": 9094, "metrics": 8888},
    "gateway": {"rpc": 8545, "ws": 8546, "metrics": 8404, "privacy": 9103},
    "notary": {"api": 8080},
    "database": {"sql": 3306},
}
"""Ports by kind of workload and name."""

_NAME = re.compile(r"^(?P<member>[a-z0-9]+)-(?:(?P<kind>[a-z]+)-?)?(?P<number>[0-9]+)?$")


def kind_of(workload: str) -> str:
    """What a workload is, by its name: node, privacy, agent, kubo … Raises `KeyError` for any other name."""
    match = _NAME.match(workload)
    kind = (match["kind"] or "node") if match else ""
    if match is None or kind not in PORTS:
        raise KeyError(workload)
    return kind


class ContainerPlaces:
    """The directories of `topology.model.Addresses`, the same in every container."""

    def config(self, workload: str) -> PurePosixPath:
        """/muniment/config/WORKLOAD."""
        return ROOT / "config" / workload

    def data(self, workload: str) -> PurePosixPath:
        """/muniment/data/WORKLOAD."""
        return ROOT / "data" / workload

    def run(self, workload: str) -> PurePosixPath:
        """/muniment/run/WORKLOAD."""
        return ROOT / "run" / workload
