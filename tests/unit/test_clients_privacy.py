"""The client of a privacy manager: what it asks, what it reads, and what it makes of refusals."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from muniment.clients.http import RefusedError
from muniment.clients.privacy import PrivacyClient
from muniment.kernel.errors import TemporaryError

pytestmark = pytest.mark.anyio

KEYS = (bytes(range(32)), bytes(range(32, 64)))
HASH = b"\xff" * 64


def text(data: bytes) -> str:
    return b64encode(data).decode()


class Manager:
    """Answers every request with the same, and remembers the last one."""

    def __init__(self, answer: Any, status: int = 200) -> None:
        self.answer = answer
        self.status = status
        self.request: httpx2.Request | None = None

    async def handle(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.request = request
        return httpx2.Response(self.status, json=self.answer)

    def client(self) -> PrivacyClient:
        return PrivacyClient("http://manager", transport=httpx2.MockTransport(self.handle))

    @property
    def asked(self) -> tuple[str, str]:
        assert self.request is not None
        return self.request.method, self.request.url.raw_path.decode()

    @property
    def document(self) -> dict[str, Any]:
        assert self.request is not None
        assert self.request.headers["content-type"] == "application/json"
        return dict(json.loads(self.request.content))


async def test_a_payload_is_stored() -> None:
    manager = Manager({"key": text(HASH)})
    async with manager.client() as client:
        assert await client.store_raw(b"secret") == HASH
        assert (manager.asked, manager.document) == (("POST", "/storeraw"), {"payload": text(b"secret")})
        await client.store_raw(b"secret", KEYS[0])
        assert manager.document == {"payload": text(b"secret"), "from": text(KEYS[0])}


async def test_a_payload_is_sent() -> None:
    manager = Manager({"key": text(HASH), "managedParties": []}, 201)
    async with manager.client() as client:
        assert await client.send(b"secret", KEYS) == HASH
        wanted = {"payload": text(b"secret"), "to": [text(key) for key in KEYS], "privacyFlag": 0}
        assert (manager.asked, manager.document) == (("POST", "/send"), wanted)
        await client.send(b"secret", KEYS, sender=KEYS[1], flag=2, mandatory=KEYS[:1])
        more = {"privacyFlag": 2, "from": text(KEYS[1]), "mandatoryRecipients": [text(KEYS[0])]}
        assert manager.document == wanted | more


async def test_a_hash_keeps_its_slashes_in_one_segment_of_the_path() -> None:
    manager = Manager({"payload": text(b"secret")})
    async with manager.client() as client:
        assert await client.receive(HASH) == b"secret"
    assert manager.asked == ("GET", f"/transaction/{'%2F' * 85}w==")


async def test_keys_and_versions_are_read() -> None:
    manager = Manager({"keys": [{"key": text(key)} for key in KEYS]})
    async with manager.client() as client:
        assert await client.keys() == KEYS
        manager.answer = ["1.0", "4.0"]
        assert await client.versions() == ("1.0", "4.0")
        assert manager.asked == ("GET", "/version/api")
        await client.upcheck()
        assert manager.asked == ("GET", "/upcheck")


CALLS: list[Callable[[PrivacyClient], Any]] = [
    lambda client: client.store_raw(b""),
    lambda client: client.send(b"", KEYS),
    lambda client: client.receive(HASH),
    lambda client: client.keys(),
    lambda client: client.versions(),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("answer", [None, {}, 7, {"key": 7, "payload": None, "keys": [{}]}, {"key": "é", "keys": "x"}])
async def test_strange_answers_are_no_crash(call: Callable[[PrivacyClient], Any], answer: Any) -> None:
    async with Manager(answer).client() as client:
        with pytest.raises(TemporaryError, match="unexpected"):
            await call(client)


async def test_a_member_that_is_no_party_is_told_from_a_manager_that_cannot_say() -> None:
    manager = Manager("no such payload", 404)
    async with manager.client() as client:
        with pytest.raises(RefusedError) as refused:
            await client.receive(HASH)
        assert refused.value.status == 404
        manager.status = 503
        with pytest.raises(TemporaryError, match="503"):
            await client.receive(HASH)
        with pytest.raises(TemporaryError, match="503"):
            await client.upcheck()
