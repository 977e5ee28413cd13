"""The notary's HTTP API: uploads that may be repeated, states, receipts.

`UploadPart.read` is called anew for every try, in a thread. A notary that is away, stops or refuses for the moment is
tried again until the client's patience ends; an upload carries an idempotency key, so that a try whose answer was lost
notarises nothing twice.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx2
import stamina

from muniment.clients.http import HttpClient
from muniment.kernel.encoding import parse_json
from muniment.kernel.errors import PermanentError, TemporaryError, WaitTimeoutError
from muniment.kernel.pieces import next_piece

T = TypeVar("T")

DEFAULT_PATIENCE_SECONDS: Final = 120.0
"""How long a notary that is away is tried again."""

ANSWER_SECONDS: Final = 120.0
"""How long one answer may take beyond what the request asks to wait."""

CONNECT_SECONDS: Final = 5.0
_NO_ROOM = 507
_SERVER_ERROR = 500
_CLIENT_ERROR = 400
_TOO_MANY = 429


class NotaryRefusedError(PermanentError):
    """The notary refuses the request: `status` and its own words."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class UploadPart:
    """One file to upload: its name hint, size in bytes, SHA-256 in hex, and how to read it (blocking, in pieces)."""

    name: str
    size: int
    sha256: str
    read: Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class NotarisedFile:
    """What the notary says of a file.

    `state` is received, batched, stored or anchored; `cause` says why it is stuck.
    """

    id: str
    name: str
    size: int
    sha256: str
    cid: str
    state: str
    cause: str = ""


class NotaryClient(HttpClient):
    """An async client of one notary. Use it as a context manager, or call `close`.

    Every method raises `NotaryRefusedError`, and `WaitTimeoutError` when the notary stays away for `patience` seconds.
    `transport` replaces the network in tests.
    """

    def __init__(
        self,
        url: str,
        *,
        patience: float = DEFAULT_PATIENCE_SECONDS,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(url, timeout=httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS), transport=transport)
        self._patience = patience

    async def upload(self, parts: Sequence[UploadPart], *, key: str | None = None) -> list[NotarisedFile]:
        """Upload files in one request, all or none; returns them in order. `key` is made up when it is not given."""
        body = MultipartBody(parts)
        headers = {
            "Content-Type": body.content_type,
            "Content-Length": str(body.size),
            "Idempotency-Key": key or secrets.token_hex(16),
        }

        async def once() -> list[NotarisedFile]:
            return _files(await self._ask("POST", "/v1/files", content=body.chunks(), headers=headers))

        return await self._patiently("take the upload", once)

    async def states(self, ids: Sequence[str], *, wait: str | None = None, seconds: float = 0) -> list[NotarisedFile]:
        """States of files in order; with `wait` (stored, anchored) when all have reached it or after `seconds`."""
        query = {} if wait is None else {"wait": wait, "timeout": f"{seconds:g}"}

        async def once() -> list[NotarisedFile]:
            return _files(await self._ask("POST", "/v1/states", json={"ids": list(ids)}, params=query))

        return await self._patiently("tell states", once)

    async def receipts(self, ids: Sequence[str]) -> list[str]:
        """The receipts of files in order, each as the JSON text that the notary wrote."""

        async def once() -> list[str]:
            answer = await self._ask("POST", "/v1/receipts", json={"ids": list(ids)})
            lines = answer.text.splitlines()
            if len(lines) != len(ids):
                raise TemporaryError(f"{self.url} broke off after {len(lines)} of {len(ids)} receipts: try again")
            return lines

        return await self._patiently("give receipts", once)

    async def _patiently(self, what: str, once: Callable[[], Awaitable[T]]) -> T:
        try:
            async for attempt in stamina.retry_context(
                on=TemporaryError,
                attempts=None,
                timeout=self._patience,
                wait_initial=0.1,
                wait_max=2.0,
                wait_jitter=0.2,
            ):
                with attempt:
                    return await once()
        except TemporaryError as error:
            raise WaitTimeoutError(f"{self.url} did not {what} within {self._patience:g} s: {error}") from error
        raise AssertionError("the last attempt returns or raises")

    async def _ask(self, method: str, path: str, **request: Any) -> httpx2.Response:
        try:
            answer = await self._http.request(method, path, **request)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise PermanentError(f"{self.url} is no notary's address ({error}): correct it") from error
        except httpx2.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise TemporaryError(f"{self.url} cannot be reached ({reason}): start the notary") from error
        if answer.status_code < _CLIENT_ERROR:
            return answer
        detail = _detail(answer)
        if answer.status_code == _TOO_MANY or (answer.status_code >= _SERVER_ERROR and answer.status_code != _NO_ROOM):
            raise TemporaryError(detail)
        raise NotaryRefusedError(detail, answer.status_code)


class MultipartBody:
    """A multipart/form-data body (RFC 7578) of known size that streams its files."""

    def __init__(self, parts: Sequence[UploadPart]) -> None:
        self._boundary = secrets.token_hex(16)
        self._parts = [(self._head(part), part) for part in parts]
        self._end = f"--{self._boundary}--\r\n".encode()
        self.content_type = f"multipart/form-data; boundary={self._boundary}"
        self.size = sum(len(head) + part.size + 2 for head, part in self._parts) + len(self._end)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces; files are read in a thread."""
        pieces = self._pieces()
        while chunk := await asyncio.to_thread(next_piece, pieces, _CHUNK_BYTES):
            yield chunk

    def _pieces(self) -> Iterator[bytes]:
        for head, part in self._parts:
            yield head
            yield from part.read()
            yield b"\r\n"
        yield self._end

    def _head(self, part: UploadPart) -> bytes:
        name = part.name.encode("utf-8", "replace").replace(b'"', b"%22").replace(b"\r", b"%0D").replace(b"\n", b"%0A")
        return b"".join(
            (
                f'--{self._boundary}\r\nContent-Disposition: form-data; name="file"; filename="'.encode(),
                # A backslash would escape what follows it.
                name.replace(b"\\", b"\\\\"),
                f'"\r\nX-Content-SHA256: {part.sha256}\r\n\r\n'.encode(),
            )
        )


_CHUNK_BYTES: Final = 256 * 1024


def _files(answer: httpx2.Response) -> list[NotarisedFile]:
    try:
        return [
            NotarisedFile(f["id"], f["name"], f["size"], f["sha256"], f["cid"], f["state"], f.get("cause", ""))
            for f in parse_json(answer.content)["files"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise PermanentError(f"{answer.url} answers as no notary does: correct the address") from error


def _detail(answer: httpx2.Response) -> str:
    try:
        return str(parse_json(answer.content)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.url} answered with status {answer.status_code}"
