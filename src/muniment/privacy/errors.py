"""Errors of the privacy manager, beside those of `kernel.errors`; the apps turn each into its HTTP status.

The statuses are Tessera's (package com.quorum.tessera.api.exception). 404 for a transaction is special: GoQuorum takes
it for "this member is not a party" and skips the transaction for ever, so only `UnknownHashError` may become one.
"""

from __future__ import annotations

from muniment.kernel.errors import IntegrityError, PermanentError, TemporaryError


class MalformedError(PermanentError):
    """Bytes or JSON from outside that are not what they should be (400)."""


class UnknownHashError(PermanentError):
    """The database was read, is authoritative, and has no such payload (404)."""


class UnknownKeyError(PermanentError):
    """A recipient that no peer announced, or a sender whose key is not held here (404, on sending only)."""


class RuleError(PermanentError):
    """A rule of the privacy flags is broken, or a peer or the manager lacks what the flag needs (403)."""


class PeerAwayError(TemporaryError):
    """A recipient's manager cannot be reached (410)."""


class PeerRefusedError(PermanentError):
    """A recipient's manager did not take the payload (500)."""


class UnopenableError(IntegrityError):
    """A payload that no key held here opens (500 when read, 400 when pushed)."""


class ConflictError(IntegrityError):
    """The same hash with other contents than those stored (409)."""


class NotReadyError(TemporaryError):
    """The manager cannot serve now: its database or a key is missing (503)."""
