"""Whether the ports of workloads are free, and who has them if not."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from muniment.identity.model import Endpoint
from muniment.kernel.errors import InputError
from muniment.targets.processes import mark_of
from muniment.topology.model import Workload


@dataclass(frozen=True)
class Taken:
    """A port that somebody else has."""

    workload: str
    port: str
    number: int
    holder: str
    """Name and pid of the process; empty when it cannot be seen."""

    def __str__(self) -> str:
        by = f" by {self.holder}" if self.holder else ""
        return f"port {self.number} ({self.port} of {self.workload}) is in use{by}"


def check_ports(workloads: Iterable[Workload], state: str) -> None:
    """Raises `InputError` when a port of these workloads is taken by a process that is not one of `state`."""
    taken = [
        Taken(workload.name, port.name, port.listen.port, holder)
        for workload in workloads
        for port in {port.listen: port for port in workload.ports}.values()
        if not _is_free(port.listen) and (holder := _stranger(port.listen, state)) is not None
    ]
    if taken:
        more = f" (and {len(taken) - 1} more)" if len(taken) > 1 else ""
        raise InputError(f"{taken[0]}{more}: end it, or set ports.base in the specification to a free range")


def _is_free(endpoint: Endpoint) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET) as probe:
        # As the engines do: what a closed connection leaves behind (TIME_WAIT) is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((endpoint.host, endpoint.port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


def _stranger(endpoint: Endpoint, state: str) -> str | None:
    """Who has the port, empty when that cannot be seen; None when it is a process of `state`."""
    for connection in psutil.net_connections("tcp"):
        if connection.laddr and connection.laddr.port == endpoint.port and connection.pid:
            try:
                process = psutil.Process(connection.pid)
                return None if mark_of(process, state) is not None else f"{process.name()} (process {process.pid})"
            except psutil.Error:
                continue
    return ""
