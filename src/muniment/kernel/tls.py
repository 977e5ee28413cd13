"""Mutual TLS from files, whose change is taken up without a restart.

Both sides show a certificate, and take only those that the given authorities signed. TLS 1.2 at least.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from muniment.kernel.errors import InputError


@dataclass(frozen=True)
class CertificateFiles:
    """PEM files: our certificate, its secret key (may be the same file), and the authorities that we trust."""

    certificate: Path
    key: Path
    authorities: Path


class MutualTls:
    """The contexts of one interface. Raises `InputError` when a file cannot be used."""

    def __init__(self, files: CertificateFiles) -> None:
        self._files = files
        self._seen = _stamp(files)
        self._current = _context(files, ssl.Purpose.CLIENT_AUTH)
        self.server = _context(files, ssl.Purpose.CLIENT_AUTH)
        """For listeners; asks for certificates of clients. It stays the same object: connections made after a change
        show the new certificate, and are judged by the new authorities alone."""
        self.server.sni_callback = self._choose
        # A resumed session would bring back who was let in by authorities that count no more.
        self.server.num_tickets = 0
        self.server.options |= ssl.OP_NO_TICKET
        self.client = _context(files, ssl.Purpose.SERVER_AUTH)
        """For our own requests; replaced at a change."""

    def refresh(self) -> bool:
        """Take up changed files; whether there were any. Raises `InputError` when they cannot be used: then the old
        certificates stay in use, and the next call tries again."""
        now = _stamp(self._files)
        if now == self._seen:
            return False
        client = _context(self._files, ssl.Purpose.SERVER_AUTH)
        self._current = _context(self._files, ssl.Purpose.CLIENT_AUTH)
        self.client = client
        self._seen = now
        return True

    def _choose(self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        # A context's authorities can be added to, and never be taken away: each connection gets the newest context.
        # OpenSSL asks at every greeting, with or without a server name.
        connection.context = self._current


def _context(files: CertificateFiles, purpose: ssl.Purpose) -> ssl.SSLContext:
    is_server = purpose is ssl.Purpose.CLIENT_AUTH
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    _load(context, files)
    return context


def _load(context: ssl.SSLContext, files: CertificateFiles) -> None:
    try:
        context.load_cert_chain(files.certificate, files.key)
        context.load_verify_locations(files.authorities)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"{files.certificate}, its key in {files.key} and the authorities in {files.authorities} cannot be used"
            f" ({error}): make them anew by `muniment privacy renew`"
        ) from error


def _stamp(files: CertificateFiles) -> tuple[tuple[int, int, int], ...]:
    try:
        found = [path.stat() for path in (files.certificate, files.key, files.authorities)]
    except OSError as error:
        raise InputError(f"a file of the certificates cannot be read ({error}): put it back") from error
    return tuple((one.st_mtime_ns, one.st_ino, one.st_size) for one in found)
