"""The manager's listeners, opened before anything else is loaded.

A node whose manager cannot be connected five times in a row ends. Where a port listens, its requests wait instead,
while the manager starts. So this module imports as little as possible.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from muniment.kernel.encoding import parse_json
from muniment.kernel.errors import InputError

BACKLOG: Final = 2048
INTERFACES: Final = ("q2t", "p2p", "status")
_HIGHEST_PORT: Final = 65535


class Place(Protocol):
    """An address and a port."""

    @property
    def host(self) -> str:
        """IP address."""

    @property
    def port(self) -> int:
        """TCP port."""


class Address(NamedTuple):
    """A `Place`."""

    host: str
    port: int


def addresses(path: Path) -> list[Address]:
    """Where the interfaces listen by the configuration file at `path`, in the order of `INTERFACES`.

    None when they cannot be told: whoever reads the whole file says what is wrong with it, and takes longer.
    """
    try:
        document = parse_json(path.read_bytes())
        found = [Address(document[name]["host"], document[name]["port"]) for name in INTERFACES]
    except (OSError, ValueError, TypeError, KeyError):
        return []
    fits = all(isinstance(host, str) and type(port) is int and 0 < port <= _HIGHEST_PORT for host, port in found)
    return found if fits else []


def open_door(place: Place) -> socket.socket:
    """A socket that listens at `place`. Raises `InputError` when it cannot be opened."""
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((place.host, place.port))
        door.listen(BACKLOG)
    except OSError as error:
        door.close()
        raise InputError(
            f"{place.host}:{place.port} cannot be opened ({error.strerror}): end what uses it or choose another port"
        ) from error
    return door
