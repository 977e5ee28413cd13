"""The manager's listeners, opened before anything else is loaded.

A node whose manager cannot be connected five times in a row ends. Where a port listens, its requests wait instead,
while the manager starts. So this module imports as little as possible.
"""

from __future__ import annotations

import socket
from typing import Final, Protocol

from muniment.kernel.errors import InputError

BACKLOG: Final = 2048


class Place(Protocol):
    """An address and a port."""

    @property
    def host(self) -> str:
        """IP address."""

    @property
    def port(self) -> int:
        """TCP port."""


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
