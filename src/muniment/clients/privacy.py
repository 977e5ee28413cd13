"""The API of a privacy manager that GoQuorum and the agent use: for now, whether it is up.

`GET /upcheck` answers 200 when the manager can serve (Tessera's third-party API, which GoQuorum asks at its start).
"""

from __future__ import annotations

import asyncio

import httpx2

from muniment.clients.http import EngineHttp
from muniment.kernel.errors import TemporaryError


class PrivacyClient(EngineHttp):
    """An async client of one privacy manager. `timeout` (seconds) limits each request as a whole."""

    engine = "the privacy manager"

    def __init__(self, url: str, *, timeout: float = 5.0, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        super().__init__(url, timeout=timeout, transport=transport)
        self._timeout = timeout

    async def upcheck(self) -> None:
        """Return when the manager says that it is up; raises `TemporaryError` or `PermanentError` with the cause."""
        try:
            async with asyncio.timeout(self._timeout), self._stream("GET", "/upcheck"):
                return
        except TimeoutError as error:
            raise TemporaryError(f"{self.engine} at {self.url} did not answer in its time: try again") from error
