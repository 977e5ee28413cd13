"""Errors of databases beside those of the kernel."""

from __future__ import annotations

from muniment.kernel.errors import TemporaryError


class DiskFullError(TemporaryError):
    """No room left; nothing was kept of what was to be written."""


class ReadOnlyError(TemporaryError):
    """The database takes no writes: it is a replica, or was made read-only."""
