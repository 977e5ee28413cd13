"""Privacy managers of other members: what they ask one another, in Tessera's peer-to-peer protocol.

One client for one manager. Connections are kept; each request as a whole has its time. A request whose connection broke
is sent once more on another one: none of them has a second effect when it is repeated.

Every request says the versions of this side's interface in one header line; other managers write one line for each
version (`tesseraSupportedApiVersions`; Tessera shared/Constants.java, VersionHeaderDecorator.java).
"""

from __future__ import annotations

import asyncio
import json
import ssl
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Final, Self

import httpx2

from muniment.clients.http import RefusedError
from muniment.clients.kept import KeptTransport
from muniment.kernel.encoding import parse_json
from muniment.kernel.errors import InputError, TemporaryError

VERSIONS_HEADER: Final = "tesseraSupportedApiVersions"
VERSIONS: Final = "v1,v2,2.1,3.0,4.0"
"""Not 5.0: that would be another encoding of payloads (CBOR)."""

CONNECT_SECONDS: Final = 1.0
PUSH_SECONDS: Final = 3.5
"""A node waits five seconds for its manager (GoQuorum's default), and the manager for all recipients."""

BATCH_SECONDS: Final = 300.0
"""A peer sends all that it has before it answers."""

MOST_AT_ONCE: Final = 32
"""Requests to one manager that are under way; what waits behind a slow one waits for that one only."""

_LARGEST_WORD: Final = 4096
LARGEST_ANSWER: Final = 64 << 20
"""Bytes of a resent payload; other answers are a few words."""

_LONGEST_CAUSE: Final = 200
_LONGEST_VERSION: Final = 16
_MOST_VERSIONS: Final = 32

_BYTES: Final = "application/octet-stream"
_JSON: Final = "application/json"
_AWAY: Final = frozenset((408, 425, 429, 502, 503, 504))
"""Statuses of a balancer whose managers are all away, and of managers that cannot serve now."""


class PeerClient:
    """An async client of the manager at `url`. `tls` is needed for https, and shows this side's certificate.

    `seconds` limits every request but those for batches. Raises `InputError` when `url` is none of http or https.
    `transport` replaces the network in tests.
    """

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext | None = None,
        seconds: float = PUSH_SECONDS,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._seconds = seconds
        parsed = _parsed(self.url)
        # The transport alone, without httpx2's client around it: its cookies, redirects, hooks and logs cost as much
        # again as a whole push does.
        self._transport = transport or KeptTransport(
            parsed, tls=tls, connect_seconds=CONNECT_SECONDS, most=MOST_AT_ONCE, largest=LARGEST_ANSWER
        )
        self._push = httpx2.URL(f"{self.url}/push")
        host = {"Host": parsed.netloc.decode("ascii"), "Accept": "*/*", VERSIONS_HEADER: VERSIONS}
        self._headers = {kind: httpx2.Headers({**host, "Content-Type": kind}) for kind in (_BYTES, _JSON)}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; requests that are under way are finished first."""
        await self._transport.aclose()

    async def push(self, encoded: bytes) -> None:
        """Hand over one encoded payload; returns when the manager took it.

        Raises `TemporaryError` when it cannot be reached, does not answer in its time or cannot serve now, and
        `RefusedError` with what it said when it answers otherwise (Tessera takes with 201, its predecessors with 200).
        """
        await self._ask(self._push, encoded, _BYTES, self._seconds)

    async def push_batch(self, encoded: Sequence[bytes]) -> None:
        """Hand over payloads to a manager that recovers. Raises as `push`."""
        await self._ask_json("/pushBatch", {"encodedPayloads": [_text(each) for each in encoded]}, BATCH_SECONDS)

    async def announce(self, party_info: bytes) -> None:
        """Tell the manager who we are. Raises as `push`."""
        await self._ask(self._at("/partyinfo"), party_info, _BYTES, self._seconds)

    async def validate(self, challenge: bytes) -> str:
        """The text that the manager reads in an encoded payload for one of its keys. Raises as `push`."""
        answer = await self._ask(self._at("/partyinfo/validate"), challenge, _BYTES, self._seconds)
        return answer[:_LARGEST_WORD].decode("utf-8", "replace")

    async def resend_one(self, payload_hash: bytes, key: bytes) -> bytes:
        """One encoded payload for the holder of `key`. Raises as `push`."""
        request = {"type": "INDIVIDUAL", "publicKey": _text(key), "key": _text(payload_hash)}
        return await self._ask_json("/resend", request, self._seconds)

    async def resend_all(self, key: bytes) -> None:
        """Let the manager push again everything with privacy flag 0 that it has for the holder of `key`.

        It answers when all is sent. Raises as `push`.
        """
        await self._ask_json("/resend", {"type": "ALL", "publicKey": _text(key)}, BATCH_SECONDS)

    async def resend_batch(self, key: bytes, size: int) -> int:
        """Let the manager send everything that it has for the holder of `key` in batches; gives the number of payloads.

        It answers when all is sent. Raises as `push`.
        """
        answer = await self._ask_json("/resendBatch", {"publicKey": _text(key), "batchSize": size}, BATCH_SECONDS)
        try:
            return int(parse_json(answer)["total"])
        except (ValueError, KeyError, TypeError) as error:
            raise TemporaryError(f"the privacy manager at {self.url} gave no number of payloads: try again") from error

    async def _ask_json(self, path: str, document: object, seconds: float) -> bytes:
        return await self._ask(self._at(path), json.dumps(document).encode(), _JSON, seconds)

    async def _ask(self, url: httpx2.URL, body: bytes, kind: str, seconds: float) -> bytes:
        request = httpx2.Request("POST", url, content=body, headers=self._headers[kind])
        try:
            async with asyncio.timeout(seconds):
                try:
                    response = await self._transport.handle_async_request(request)
                except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
                    response = await self._transport.handle_async_request(request)
                return self._taken(response.status_code, await response.aread())
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise TemporaryError(f"the privacy manager at {self.url} did not answer in its time: try again") from error
        except httpx2.TransportError as error:
            reason = str(error) or type(error).__name__
            raise TemporaryError(
                f"the privacy manager at {self.url} cannot be reached ({reason}): try again when it runs"
            ) from error

    def _taken(self, status: int, body: bytes) -> bytes:
        if httpx2.codes.is_success(status):
            return body
        said = " ".join(body[:_LARGEST_WORD].decode("utf-8", "replace").split())[:_LONGEST_CAUSE] or "no reason given"
        message = f"the privacy manager at {self.url} answered with status {status}: {said}"
        if status in _AWAY:
            raise TemporaryError(message)
        raise RefusedError(message, status)

    def _at(self, path: str) -> httpx2.URL:
        return httpx2.URL(self.url + path)


def versions_of(values: Iterable[str]) -> frozenset[str]:
    """The versions in one or several header lines, each of which may hold several; rubbish is left out."""
    found = (version.strip() for value in values for version in value.split(",", _MOST_VERSIONS)[:_MOST_VERSIONS])
    versions = (version for version in found if 0 < len(version) <= _LONGEST_VERSION and version.isascii())
    return frozenset(sorted({version for version in versions if version.isprintable()})[:_MOST_VERSIONS])


def _parsed(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise InputError(f"{url!r} is no URL of a privacy manager ({error}): correct the address") from error
    if parsed.scheme not in ("http", "https") or not parsed.host or (parsed.port or 1) not in range(1, 65536):
        raise InputError(f"{url!r} is no URL of a privacy manager: give one that begins with http:// or https://")
    return parsed


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")
