"""The status port of a privacy manager: whether it can serve its node, over plain HTTP.

`GET /ready` answers 200 when the manager serves: its keys are loaded and its database takes writes. Else the JSON of
its answer has the cause.
"""

from __future__ import annotations

import asyncio

import httpx2

from muniment.clients.http import EngineHttp, RefusedError
from muniment.kernel.encoding import parse_json
from muniment.kernel.errors import TemporaryError


class SilentError(TemporaryError):
    """The manager did not answer in its time."""


class PrivacyStatusClient(EngineHttp):
    """An async client of the status port of one manager. `timeout` (seconds) limits each request as a whole."""

    engine = "the privacy manager"

    def __init__(self, url: str, *, timeout: float = 5.0, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        super().__init__(url, timeout=timeout, transport=transport)
        self._timeout = timeout

    async def ready(self) -> None:
        """Return when the manager says that it is ready; raises `SilentError`, or `TemporaryError` or `PermanentError`
        with the cause."""
        try:
            async with asyncio.timeout(self._timeout), self._stream("GET", "/ready"):
                return
        except TimeoutError as error:
            raise SilentError(f"{self.engine} at {self.url} did not answer in its time: try again") from error

    def _refusal(self, status: int, body: bytes) -> TemporaryError | RefusedError:
        try:
            document = parse_json(body)
        except ValueError:
            document = None
        if isinstance(document, dict) and document.get("cause"):
            return TemporaryError(str(document["cause"]))
        return super()._refusal(status, body)
