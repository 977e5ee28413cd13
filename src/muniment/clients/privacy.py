"""The API of a privacy manager that GoQuorum and the agent use: for now, whether it is up.

`GET /upcheck` answers 200 when the manager can serve (Tessera's third-party API, which GoQuorum asks at its start).
"""

from __future__ import annotations

import asyncio
from typing import Self

import httpx2

from muniment.kernel.errors import PermanentError, TemporaryError


class PrivacyClient:
    """An async client of one privacy manager. `timeout` (seconds) limits each request as a whole."""

    def __init__(self, url: str, *, timeout: float = 5.0, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout
        self._http = httpx2.AsyncClient(
            timeout=timeout, transport=transport, trust_env=False, verify=url.startswith("https://")
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def upcheck(self) -> None:
        """Return when the manager says that it is up; raises `TemporaryError` with the cause when it does not."""
        try:
            async with asyncio.timeout(self.timeout):
                response = await self._http.get(f"{self.url}/upcheck")
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise PermanentError(f"{self.url} cannot be asked ({error}): correct the address") from error
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise TemporaryError(f"{self.url} did not answer within {self.timeout:g} s: try again") from error
        except httpx2.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise TemporaryError(f"{self.url} cannot be reached ({reason}): try again when it runs") from error
        if response.status_code != httpx2.codes.OK:
            raise TemporaryError(f"{self.url}/upcheck answered with status {response.status_code}: see its log")
