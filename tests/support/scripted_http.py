"""An HTTP server on a real socket that answers as a test says, also with what no proper server would send."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

Headers = list[tuple[str, str]]


@dataclass
class Seen:
    """A request as it came."""

    method: str
    path: str
    headers: Headers
    body: bytes
    connection: int
    """Number of the connection, from 1."""

    def all(self, name: str) -> list[str]:
        """The values of a header's lines."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


Script = Callable[[Seen], Awaitable[bytes | None]]
"""Gives the bytes to be sent, or `None`: then the connection is closed."""


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    """A proper answer."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class ScriptedServer:
    """What came, and where."""

    url: str
    port: int
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def hang_up(self) -> None:
        """Close all connections now."""
        for writer in self.writers:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def scripted(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedServer]:
    """A server on a free port of loopback that answers by `script`."""
    server: ScriptedServer

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        number = server.connections
        server.writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                seen = await _request(reader, number)
                server.seen.append(seen)
                said = await script(seen)
                if said is None:
                    break
                writer.write(said)
                await writer.drain()
                if b"connection: close" in said.lower() or said.startswith(b"HTTP/1.0"):
                    break
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = listener.sockets[0].getsockname()[1]
    server = ScriptedServer(f"{'https' if tls else 'http'}://127.0.0.1:{port}/", port)
    try:
        yield server
    finally:
        listener.close()
        server.hang_up()


async def _request(reader: asyncio.StreamReader, number: int) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:] if line)]
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    return Seen(method, path, headers, await reader.readexactly(length), number)
