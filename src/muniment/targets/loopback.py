"""Addresses on one machine: everything listens on 127.0.0.1, at ports counted from `ports.base`.

Every member that runs here has 400 ports, in the order of the specification (members of other operators take none, so
that a member keeps its ports when others join): gateway +0 to +2 and (privacy) +5, notary +3, agent +4, node i from
10 * i on and its privacy manager from 10 * i + 5 on, peer i from 200 + 10 * (i - 1) on.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path, PurePosixPath

from muniment.identity.model import Endpoint
from muniment.spec.model import PORTS_PER_MEMBER, Consortium

HOST = "127.0.0.1"
LONGEST_RUN_DIRECTORY = 60
"""A unix socket's path has at most 107 bytes (unix(7)); this leaves room for the workload's name and the socket's."""

_EDGE = {
    "gateway": {"rpc": 0, "ws": 1, "metrics": 2, "privacy": 5},
    "notary": {"api": 3, "metrics": 3},
    "agent": {"api": 4, "metrics": 4},
}
_NODE = {"rpc": 0, "ws": 1, "p2p": 2, "raft": 3, "metrics": 4}
_PRIVACY = {"q2t": 5, "p2p": 6, "status": 7}
_PEER = {
    "kubo": {"swarm": 0, "api": 1},
    "cluster": {"swarm": 2, "api": 3, "metrics": 4},
}
_FIRST_PEER_PORT = 200
_PORTS_PER_THING = 10
_NAME = re.compile(r"^(?P<member>[a-z0-9]+)-(?:(?P<kind>[a-z]+)-?)?(?P<number>[0-9]+)?$")


class LoopbackAddresses:
    """The `Addresses` of the local target: pure, from the specification and the state directory."""

    def __init__(self, spec: Consortium, state: Path) -> None:
        self._state = PurePosixPath(state)
        self._run = PurePosixPath(run_directory(state))
        self._first = {
            member: spec.ports.base + PORTS_PER_MEMBER * position for position, member in enumerate(spec.own_members)
        }

    def listen(self, workload: str, port: str) -> Endpoint:
        """The port on 127.0.0.1; raises `KeyError` for a workload or port that there is not."""
        match = _NAME.match(workload)
        if match is None or match["member"] not in self._first:
            raise KeyError(workload)
        return Endpoint(host=HOST, port=self._first[match["member"]] + _offset(match, port))

    def reach(self, workload: str, port: str) -> Endpoint:
        """Others reach a port where it listens."""
        return self.listen(workload, port)

    def config(self, workload: str) -> PurePosixPath:
        """STATE/config/WORKLOAD."""
        return self._state / "config" / workload

    def data(self, workload: str) -> PurePosixPath:
        """STATE/data/WORKLOAD."""
        return self._state / "data" / workload

    def run(self, workload: str) -> PurePosixPath:
        """STATE/run/WORKLOAD, or a short stand-in under /tmp."""
        return self._run / workload


def run_directory(state: Path) -> Path:
    """Where unix sockets go: STATE/run, or /tmp/muniment-UID-HASH where that would be too long for a socket."""
    inside = state / "run"
    if len(os.fsencode(inside)) <= LONGEST_RUN_DIRECTORY:
        return inside
    digest = hashlib.sha256(os.fsencode(state)).hexdigest()[:8]
    return Path(f"/tmp/muniment-{os.getuid()}-{digest}")  # noqa: S108 - made 0700 and checked to be ours before use


def _offset(match: re.Match[str], port: str) -> int:
    kind, number = match["kind"], match["number"]
    if kind is None and number:
        return _PORTS_PER_THING * int(number) + _NODE[port]
    if kind == "privacy" and number:
        return _PORTS_PER_THING * int(number) + _PRIVACY[port]
    if number is None and kind in _EDGE:
        return _EDGE[kind][port]
    return _FIRST_PEER_PORT + _PORTS_PER_THING * (int(number or 0) - 1) + _PEER[kind or ""][port]
