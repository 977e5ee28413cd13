"""Which keys other managers have shown lately, so that they need not show them at every announcement."""

from __future__ import annotations

import time
from typing import Final

REMEMBERED_SECONDS: Final = 60.0
MOST: Final = 4096
"""So many are remembered; then all are forgotten, which costs a challenge each."""


class Validated:
    """Keys by the URL whose manager opened a text sealed for them. In this process only."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, bytes], float] = {}

    def remembers(self, url: str, key: bytes) -> bool:
        """Whether the manager at `url` has shown `key` within the last minute."""
        return time.monotonic() < self._until.get((url, key), 0.0)

    def remember(self, url: str, key: bytes) -> None:
        """It has shown it now."""
        if len(self._until) >= MOST:
            self._until.clear()
        self._until[url, key] = time.monotonic() + REMEMBERED_SECONDS
