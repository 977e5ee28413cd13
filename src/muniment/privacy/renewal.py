"""Takes up certificates whose files have changed, and says in the log what became of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from muniment.kernel.errors import InputError
from muniment.kernel.tls import MutualTls

_log = logging.getLogger(__name__)


class Renewal:
    """The certificates of a manager's interfaces."""

    def __init__(self, certificates: Sequence[MutualTls]) -> None:
        self._certificates = certificates
        self._told: set[str] = set()

    def happened(self) -> bool:
        """Look at the files; whether new certificates are in use since. A cause why they are not is logged once."""
        changed = False
        causes = set()
        for tls in self._certificates:
            try:
                changed |= tls.refresh()
            except InputError as error:
                causes.add(str(error))
        for cause in causes - self._told:
            _log.warning("changed certificates cannot be used, the old ones stay: %s", cause)
        self._told = causes
        if changed:
            _log.info("new certificates are in use")
        return changed
