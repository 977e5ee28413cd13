"""The transport that keeps connections, on real sockets: what is kept, what is not, and what is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from muniment.clients.kept import KeptTransport
from tests.support.scripted_http import ScriptedServer, Seen, answer, scripted

pytestmark = pytest.mark.anyio

OK = answer(200, b"yes")


async def says_yes(seen: Seen) -> bytes:
    del seen
    return OK


@contextlib.asynccontextmanager
async def transport_to(server: ScriptedServer, **options: Any) -> AsyncIterator[KeptTransport]:
    options = {"connect_seconds": 1.0, **options}
    async with KeptTransport(httpx2.URL(server.url), **options) as transport:
        yield transport


async def ask(transport: KeptTransport, url: str, body: bytes = b"", path: str = "push") -> httpx2.Response:
    async with asyncio.timeout(5):
        return await transport.handle_async_request(httpx2.Request("POST", url + path, content=body))


async def test_requests_one_after_the_other_share_a_connection() -> None:
    async with scripted(says_yes) as server, transport_to(server) as transport:
        for body in (b"", b"one", b"x" * (1 << 20)):
            response = await ask(transport, server.url, body, "a%2Fb?c=%2B")
            assert (response.status_code, response.content) == (200, b"yes")
    assert [seen.body for seen in server.seen] == [b"", b"one", b"x" * (1 << 20)]
    assert {(seen.method, seen.path) for seen in server.seen} == {("POST", "/a%2Fb?c=%2B")}
    assert server.seen[0].all("host") == [f"127.0.0.1:{server.port}"]
    assert server.connections == 1


async def test_requests_at_once_are_bounded_and_answers_stay_with_their_requests() -> None:
    under_way = most = 0

    async def echo(seen: Seen) -> bytes:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return answer(200, seen.body)

    async with scripted(echo) as server, transport_to(server, most=4) as transport:
        bodies = [b"%d" % number for number in range(40)]
        answers = await asyncio.gather(*(ask(transport, server.url, body) for body in bodies))
        assert [response.content for response in answers] == bodies
        assert most <= 4
        assert server.connections <= 4


@pytest.mark.parametrize("limit", ["idle_seconds", "oldest_seconds"])
async def test_an_old_connection_is_not_used_again(limit: str) -> None:
    async with scripted(says_yes) as server, transport_to(server, **{limit: 0.0}) as transport:
        await ask(transport, server.url)
        await ask(transport, server.url)
    assert server.connections == 2


async def test_a_connection_that_the_server_closed_while_idle_is_not_used_again() -> None:
    async with scripted(says_yes) as server, transport_to(server) as transport:
        await ask(transport, server.url)
        server.hang_up()
        response = await ask_again_once(transport, server.url)
        assert response.content == b"yes"
    assert server.connections == 2


async def ask_again_once(transport: KeptTransport, url: str) -> httpx2.Response:
    try:
        return await ask(transport, url)
    except httpx2.ReadError:
        return await ask(transport, url)


async def test_when_one_connection_breaks_the_idle_ones_are_not_trusted() -> None:
    together = asyncio.Event()

    async def script(seen: Seen) -> bytes | None:
        if seen.path == "/break":
            return None
        if len(server.seen) >= 3:
            together.set()
        await together.wait()
        return OK

    async with scripted(script) as server, transport_to(server) as transport:
        await asyncio.gather(*(ask(transport, server.url) for _ in range(3)))
        assert server.connections == 3
        with pytest.raises(httpx2.ReadError):
            await ask(transport, server.url, path="break")
        await ask(transport, server.url)
    assert server.seen[-1].connection == 4


async def test_a_cancelled_request_takes_its_connection_with_it() -> None:
    late = asyncio.Event()

    async def script(seen: Seen) -> bytes:
        if seen.body == b"slow":
            await late.wait()
        return answer(200, seen.body)

    async with scripted(script) as server, transport_to(server) as transport:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await ask(transport, server.url, b"slow")
        late.set()
        assert (await ask(transport, server.url, b"quick")).content == b"quick"


@pytest.mark.parametrize(
    ("said", "body", "connections"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n2\r\n!!\r\n0\r\n\r\n", b"yes!!", 1),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end", 2),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"yes", 1),
        (answer(200, b"bye", "Connection: close"), b"bye", 2),
        (answer(200, gzip.compress(b"packed"), "Content-Encoding: gzip"), gzip.compress(b"packed"), 1),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", 1),
        (OK + OK, b"yes", 2),
    ],
    ids=["chunked", "until-close", "continue", "close", "packed", "empty", "two-answers"],
)
async def test_forms_of_answers(said: bytes, body: bytes, connections: int) -> None:
    async def script(seen: Seen) -> bytes:
        del seen
        return said

    async with scripted(script) as server, transport_to(server) as transport:
        assert (await ask(transport, server.url)).content == body
        assert (await ask(transport, server.url)).content == body
    assert server.connections == connections


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        answer(200, b"x" * 5000),
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nyes",
    ],
    ids=["other-protocol", "large", "headers-without-end", "two-lengths"],
)
async def test_what_is_no_answer_is_an_error(said: bytes) -> None:
    async def script(seen: Seen) -> bytes:
        del seen
        return said

    async with scripted(script) as server, transport_to(server, largest=4096) as transport:
        with pytest.raises(httpx2.RemoteProtocolError):
            await ask(transport, server.url)


async def test_an_answer_that_is_cut_off_is_an_error() -> None:
    async def script(seen: Seen) -> bytes:
        del seen
        return b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhalf"

    async with scripted(script) as server, transport_to(server) as transport:
        with pytest.raises(httpx2.ReadError):
            await ask(transport, server.url)


async def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        async with KeptTransport(httpx2.URL(url), connect_seconds=1.0) as transport:
            with pytest.raises(httpx2.ConnectError):
                await ask(transport, url)


async def test_a_server_that_does_not_finish_the_handshake_is_given_up() -> None:
    context = ssl.create_default_context()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        async with KeptTransport(httpx2.URL(url), tls=context, connect_seconds=0.1) as transport:
            with pytest.raises(httpx2.ConnectTimeout):
                await ask(transport, url)


async def test_a_closed_transport_keeps_nothing() -> None:
    async with scripted(says_yes) as server:
        transport = KeptTransport(httpx2.URL(server.url), connect_seconds=1.0)
        await ask(transport, server.url)
        await transport.aclose()
        await ask(transport, server.url)
        await ask(transport, server.url)
        assert server.connections == 3
