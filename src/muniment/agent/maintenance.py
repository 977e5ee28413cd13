"""Which nodes are in maintenance: one empty file per node, so that it survives a restart of the agent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from muniment.kernel.errors import InputError
from muniment.kernel.files import sync_directory, write_atomically


class Maintenance:
    """The set of nodes in maintenance. It is in memory what the directory says; files of unknown nodes are left alone.

    Raises `InputError` when the directory cannot be made or read.
    """

    def __init__(self, directory: Path, nodes: Iterable[str]) -> None:
        self._directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._names = {name for name in nodes if (directory / name).exists()}
        except OSError as error:
            raise InputError(f"{directory} cannot be used ({error.strerror}): mend its permissions") from error

    @property
    def names(self) -> frozenset[str]:
        """Nodes that are in maintenance."""
        return frozenset(self._names)

    def begin(self, node: str) -> None:
        """Put the node into maintenance; durable when this returns. Repeating it changes nothing."""
        write_atomically(self._directory / node, b"")
        self._names.add(node)

    def end(self, node: str) -> None:
        """Take the node out of maintenance; durable when this returns. Repeating it changes nothing."""
        try:
            (self._directory / node).unlink(missing_ok=True)
            sync_directory(self._directory)
        except OSError as error:
            raise InputError(f"{self._directory} cannot be written ({error.strerror}): mend its permissions") from error
        self._names.discard(node)
