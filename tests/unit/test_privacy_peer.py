"""The client of another member's privacy manager, against servers on real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from base64 import b64encode

import pytest

from muniment.clients.http import RefusedError
from muniment.clients.privacy_peer import VERSIONS_HEADER, PeerClient, versions_of
from muniment.kernel.errors import InputError, TemporaryError
from muniment.privacy.party_info import PartyInfo, encode
from tests.support.scripted_http import Seen, answer, scripted
from tests.unit.privacy_payloads import A

pytestmark = pytest.mark.anyio

ENCODED = bytes(range(256))
HASH = b"\xff" * 64


async def test_a_push_as_tessera_sends_it() -> None:
    async def script(seen: Seen) -> bytes:
        del seen
        return answer(201, b64encode(HASH))

    async with scripted(script) as server, PeerClient(server.url) as client:
        await client.push(ENCODED)
        await client.push(ENCODED)
    for seen in server.seen:
        assert (seen.method, seen.path, seen.body) == ("POST", "/push", ENCODED)
        assert seen.all("Content-Type") == ["application/octet-stream"]
        assert seen.all(VERSIONS_HEADER) == ["v1,v2,2.1,3.0,4.0"]
        assert seen.all("Host") == [f"127.0.0.1:{server.port}"]
    assert [name for name, _ in server.seen[0].headers if name.lower() == VERSIONS_HEADER.lower()] == [VERSIONS_HEADER]
    assert server.connections == 1


@pytest.mark.parametrize("end", ["", "/"])
async def test_a_url_with_and_without_a_final_slash(end: str) -> None:
    async def script(seen: Seen) -> bytes:
        del seen
        return answer(200)

    async with scripted(script) as server, PeerClient(server.url.rstrip("/") + end) as client:
        await client.push(ENCODED)
    async with scripted(script) as below, PeerClient(f"{below.url}below{end}") as client:
        await client.push(ENCODED)
    assert [seen.path for seen in server.seen + below.seen] == ["/push", "/below/push"]


async def test_the_party_info_of_the_specification() -> None:
    async def script(seen: Seen) -> bytes:
        del seen
        return answer(200)

    async with scripted(script) as server, PeerClient(server.url) as client:
        await client.announce(encode(PartyInfo("http://a:9001/", ((A, "http://a:9001/"),))))
    (seen,) = server.seen
    url = "000000000000000e687474703a2f2f613a393030312f"
    assert (seen.path, seen.all("Content-Type")) == ("/partyinfo", ["application/octet-stream"])
    assert len(seen.body) == 100
    assert seen.body.hex() == f"{url}00000000000000010000000000000020{A.hex()}{url}0000000000000000"


async def test_requests_of_a_recovery() -> None:
    answers = {"/resend": ENCODED, "/resendBatch": b'{"total":7}', "/pushBatch": b"", "/partyinfo/validate": b"text"}

    async def script(seen: Seen) -> bytes:
        return answer(200, answers[seen.path])

    key = b64encode(A).decode()
    async with scripted(script) as server, PeerClient(server.url) as client:
        assert await client.resend_one(HASH, A) == ENCODED
        await client.resend_all(A)
        assert await client.resend_batch(A, 50) == 7
        await client.push_batch([b"one", b"two"])
        assert await client.validate(ENCODED) == "text"
    assert [json.loads(seen.body) for seen in server.seen[:4]] == [
        {"type": "INDIVIDUAL", "publicKey": key, "key": b64encode(HASH).decode()},
        {"type": "ALL", "publicKey": key},
        {"publicKey": key, "batchSize": 50},
        {"encodedPayloads": ["b25l", "dHdv"]},
    ]
    assert {seen.all("Content-Type")[0] for seen in server.seen[:4]} == {"application/json"}
    assert server.seen[4].body == ENCODED


@pytest.mark.parametrize("total", [b"", b"[]", b'{"total":null}', b"{}", b'{"total":"many"}'])
async def test_a_batch_without_its_number(total: bytes) -> None:
    async def script(seen: Seen) -> bytes:
        del seen
        return answer(200, total)

    async with scripted(script) as server, PeerClient(server.url) as client:
        with pytest.raises(TemporaryError, match="number"):
            await client.resend_batch(A, 50)


@pytest.mark.parametrize("status", [302, 400, 403, 404, 500])
async def test_what_the_manager_refuses_is_not_sent_again(status: int) -> None:
    async def script(seen: Seen) -> bytes:
        del seen
        return answer(status, b"because\r\n  of " + b"x" * 10_000, "Location: http://127.0.0.1:1/push")

    async with scripted(script) as server, PeerClient(server.url) as client:
        with pytest.raises(RefusedError, match=f"{status}: because of x") as caught:
            await client.push(ENCODED)
    assert caught.value.status == status
    assert len(str(caught.value)) < 400
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_balancer_without_managers_is_tried_later(status: int) -> None:
    async def script(seen: Seen) -> bytes:
        del seen
        return answer(status, b"no privacy manager is ready")

    async with scripted(script) as server, PeerClient(server.url) as client:
        with pytest.raises(TemporaryError, match="no privacy manager is ready"):
            await client.push(ENCODED)


async def test_a_kept_connection_that_breaks_costs_nothing_but_another_try() -> None:
    async def script(seen: Seen) -> bytes | None:
        return answer(201) if seen.connection > 1 or len(server.seen) == 1 else None

    async with scripted(script) as server, PeerClient(server.url) as client:
        await client.push(b"first")
        await client.push(b"second")
    assert [(seen.connection, seen.body) for seen in server.seen] == [(1, b"first"), (1, b"second"), (2, b"second")]


async def test_there_are_two_tries_and_no_more() -> None:
    async def script(seen: Seen) -> bytes | None:
        del seen
        return None

    async with scripted(script) as server, PeerClient(server.url) as client:
        with pytest.raises(TemporaryError, match="cannot be reached"):
            await client.push(ENCODED)
    assert [seen.connection for seen in server.seen] == [1, 2]


async def test_a_slow_manager_is_given_up_in_time() -> None:
    async def script(seen: Seen) -> bytes | None:
        del seen
        await asyncio.Event().wait()
        return None

    async with scripted(script) as server, PeerClient(server.url, seconds=0.1) as client:
        begun = time.monotonic()
        with pytest.raises(TemporaryError, match="in its time"):
            await client.push(ENCODED)
        assert time.monotonic() - begun < 1
        assert len(server.seen) == 1


async def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with PeerClient(f"http://127.0.0.1:{taken.getsockname()[1]}") as client:
            with pytest.raises(TemporaryError, match="cannot be reached"):
                await client.push(ENCODED)


@pytest.mark.parametrize("url", ["", "a:9001", "ftp://a:9001/", "http://", "http://[::1", "http://a:99999/"])
async def test_what_is_no_url(url: str) -> None:
    with pytest.raises(InputError, match="no URL"):
        PeerClient(url)


@pytest.mark.parametrize(
    ("lines", "versions"),
    [
        (["v1,v2,2.1,3.0,4.0"], {"v1", "v2", "2.1", "3.0", "4.0"}),
        (["v1", "v2", "2.1"], {"v1", "v2", "2.1"}),
        ([" v1 , v2", "2.1,"], {"v1", "v2", "2.1"}),
        ([], set()),
        (["", ",,,"], set()),
        (["x" * 17, "v\x01", "vé", "v2"], {"v2"}),
    ],
)
def test_both_forms_of_the_header(lines: list[str], versions: set[str]) -> None:
    assert versions_of(lines) == versions


def test_a_header_of_many_versions_is_cut() -> None:
    assert len(versions_of([",".join(str(number) for number in range(10_000))] * 3)) <= 32
