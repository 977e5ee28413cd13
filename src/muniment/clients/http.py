"""HTTP to one engine: connections that are kept, time-outs on everything, and errors of the product's own tree.

What the engine says goes into the message. A status of 4xx means that the request is wrong (`RefusedError`); 5xx,
429, time-outs and broken connections mean that it may work later or elsewhere (`TemporaryError`).
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

import httpx2

from muniment.kernel.encoding import parse_json
from muniment.kernel.errors import PermanentError, TemporaryError

CONNECT_TIMEOUT = 3.0
"""Seconds for a connection."""

_LONGEST_ERROR_BYTES = 4096
_RETRIABLE = (408, 425, 429)

Parameters = Mapping[str, str | int]


class RefusedError(PermanentError):
    """The engine will not do what was asked: `status` is its HTTP status (4xx)."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class HttpClient:
    """Base of all clients: kept connections to one address. Use it as a context manager, or call `close`.

    One client serves any number of tasks. `transport` replaces the network in tests; `tls` shows a certificate of ours.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: httpx2.Timeout,
        credentials: tuple[str, str] | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._http = httpx2.AsyncClient(
            base_url=self.url,
            auth=credentials,
            timeout=timeout,
            transport=transport,
            # Proxies of the environment are for the outside world; certificates are only loaded where they are used.
            trust_env=False,
            verify=tls or url.startswith("https://"),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


class EngineHttp(HttpClient):
    """Base of the clients of kubo, cluster and privacy manager.

    `timeout` (seconds) is the longest wait for the next byte of an answer, and for the next byte to be taken.
    """

    engine = "the engine"
    """What errors call it."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        credentials: tuple[str, str] | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        limits = httpx2.Timeout(timeout, connect=CONNECT_TIMEOUT)
        super().__init__(url, timeout=limits, credentials=credentials, transport=transport, tls=tls)

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of the answer, `None` for an empty one."""
        async with self._stream(method, path, **options) as response:
            body = await response.aread()
        return self._json(body) if body.strip() else None

    async def _lines(self, method: str, path: str, **options: Any) -> list[Any]:
        """The JSON documents of an answer that has one per line."""
        async with self._stream(method, path, **options) as response:
            return [self._json(line) async for line in response.aiter_lines() if line.strip()]

    @asynccontextmanager
    async def _stream(
        self,
        method: str,
        path: str,
        *,
        parameters: Parameters | None = None,
        content: AsyncIterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - handed to the transport, which limits every single wait
    ) -> AsyncIterator[httpx2.Response]:
        """An answer with a status of success, its body not read yet. Errors while it is read are mapped too."""
        limits = httpx2.USE_CLIENT_DEFAULT if timeout is None else httpx2.Timeout(timeout, connect=CONNECT_TIMEOUT)
        try:
            async with self._http.stream(
                method, path, params=parameters, content=content, headers=headers, timeout=limits
            ) as response:
                if not response.is_success:
                    raise self._refusal(response.status_code, await _beginning(response))
                yield response
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise PermanentError(
                f"{self.engine} at {self.url} cannot be asked ({error}): correct the address"
            ) from error
        except httpx2.TimeoutException as error:
            raise TemporaryError(f"{self.engine} at {self.url} did not answer in its time: try again") from error
        except httpx2.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise TemporaryError(
                f"{self.engine} at {self.url} cannot be reached ({reason}): try again when it runs"
            ) from error

    def _refusal(self, status: int, body: bytes) -> TemporaryError | RefusedError:
        if status == httpx2.codes.UNAUTHORIZED:
            return RefusedError(
                f"{self.engine} at {self.url} refuses the user or the password: correct the password", status
            )
        said = f"{self.engine} at {self.url} answered with status {status}: {_message(body)}"
        if status >= httpx2.codes.INTERNAL_SERVER_ERROR or status in _RETRIABLE:
            return TemporaryError(said)
        return RefusedError(said, status)

    def _json(self, text: str | bytes) -> Any:
        try:
            return parse_json(text)
        except ValueError as error:
            raise TemporaryError(
                f"{self.engine} at {self.url} answered with something that is not JSON: try again"
            ) from error

    def _misfit(self, error: Exception) -> TemporaryError:
        """JSON of another shape than the engine's documentation says."""
        return TemporaryError(
            f"{self.engine} at {self.url} answered with something unexpected ({error!r}): check its version"
        )


async def _beginning(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) >= _LONGEST_ERROR_BYTES:
            break
    return bytes(body[:_LONGEST_ERROR_BYTES])


def _message(body: bytes) -> str:
    """What the engine says, on one line: `Message` (kubo) or `message` (cluster) of a JSON object, else the text."""
    text = body.decode(errors="replace").strip()
    try:
        document = parse_json(text)
    except ValueError:
        document = {}
    if isinstance(document, dict):
        text = str(document.get("Message") or document.get("message") or text)
    return " ".join(text.split()) or "no reason given"
