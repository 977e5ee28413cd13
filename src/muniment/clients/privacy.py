"""A privacy manager as a node or an application asks it (Tessera's interface for nodes, in JSON).

Byte strings are bytes here, and base64 on the wire.
"""

from __future__ import annotations

import json
import ssl
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx2

from muniment.clients.http import EngineHttp

_JSON = {"Content-Type": "application/json"}


class PrivacyClient(EngineHttp):
    """An async client of one privacy manager.

    `timeout` (seconds) limits the wait for each part of an answer; `tls` is for https, and shows our certificate. Every
    call raises `TemporaryError` when it may be tried again, `RefusedError` with the manager's status and words.
    """

    engine = "the privacy manager"

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 10.0,
        tls: ssl.SSLContext | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(url, timeout=timeout, transport=transport, tls=tls)

    async def upcheck(self) -> None:
        """Return when the manager says that it can serve."""
        async with self._stream("GET", "/upcheck"):
            return

    async def keys(self) -> tuple[bytes, ...]:
        """The public keys that it holds, the default one first."""
        answer = await self._ask("GET", "/keys")
        try:
            return tuple(b64decode(one["key"], validate=True) for one in answer["keys"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._misfit(error) from error

    async def versions(self) -> tuple[str, ...]:
        """The versions of the interface that it offers; the highest switches a node's features on."""
        answer = await self._ask("GET", "/version/api")
        if not isinstance(answer, list):
            raise self._misfit(TypeError("the versions are no list"))
        return tuple(str(version) for version in answer)

    async def store_raw(self, payload: bytes, sender: bytes | None = None) -> bytes:
        """Store a payload for a transaction that is signed elsewhere; gives its hash, 64 bytes."""
        document = {"payload": _text(payload)} | ({"from": _text(sender)} if sender else {})
        return self._bytes(await self._post("/storeraw", document), "key")

    async def send(
        self,
        payload: bytes,
        to: Sequence[bytes],
        *,
        sender: bytes | None = None,
        flag: int = 0,
        mandatory: Sequence[bytes] = (),
    ) -> bytes:
        """Send a payload to the holders of these keys; gives its hash. Nodes do this themselves."""
        document = {"payload": _text(payload), "to": [_text(key) for key in to], "privacyFlag": flag}
        document |= {"from": _text(sender)} if sender else {}
        document |= {"mandatoryRecipients": [_text(key) for key in mandatory]} if mandatory else {}
        return self._bytes(await self._post("/send", document), "key")

    async def receive(self, payload_hash: bytes) -> bytes:
        """The plain bytes of a payload; `RefusedError` with status 404 when this member is no party of it."""
        answer = await self._ask("GET", f"/transaction/{quote(_text(payload_hash), safe='+=')}")
        return self._bytes(answer, "payload")

    async def _post(self, path: str, document: Mapping[str, Any]) -> Any:
        async def content() -> Any:
            yield json.dumps(document).encode()

        return await self._ask("POST", path, content=content(), headers=_JSON)

    def _bytes(self, answer: Any, name: str) -> bytes:
        try:
            return b64decode(answer[name], validate=True)
        except (KeyError, TypeError, ValueError) as error:
            raise self._misfit(error) from error


def _text(data: bytes) -> str:
    return b64encode(data).decode()
