"""An HTTP client that takes little of the machine that it measures: kept connections, no checks, answers as bytes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

import uvloop

Request = tuple[str, str, bytes]
"""Method, path and body."""


@dataclass(frozen=True)
class Outcome:
    """Answers (status and body) in the order of the requests, the seconds that each took, and those of all together."""

    answers: list[tuple[int, bytes]]
    latencies: list[float]
    seconds: float

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.answers) / self.seconds

    def quantile(self, part: float) -> float:
        """Milliseconds within which this part of the requests was answered."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(part * len(ordered)))]

    def text(self) -> str:
        """Rate and latencies in a cell of the table."""
        return f"{self.rate:.0f}/s, p50 {self.quantile(0.5):.1f} ms, p99 {self.quantile(0.99):.1f} ms"


def ask_all(url: str, requests: Sequence[Request], *, at_a_time: int) -> Outcome:
    """Send all, so many at a time."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_ask_all(url, requests, at_a_time))


async def _ask_all(url: str, requests: Sequence[Request], at_a_time: int) -> Outcome:
    connections = [await _Connection.open(url) for _ in range(at_a_time)]
    answers: list[tuple[int, bytes]] = [(0, b"")] * len(requests)
    latencies = [0.0] * len(requests)
    left = iter(enumerate(requests))

    async def work(connection: _Connection, left: Iterator[tuple[int, Request]]) -> None:
        for number, request in left:
            begun = time.perf_counter()
            answers[number] = await connection.ask(*request)
            latencies[number] = time.perf_counter() - begun

    begun = time.perf_counter()
    await asyncio.gather(*(work(connection, left) for connection in connections))
    seconds = time.perf_counter() - begun
    for connection in connections:
        connection.close()
    return Outcome(answers, latencies, seconds)


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, url: str) -> Self:
        place = urlsplit(url)
        return cls(*await asyncio.open_connection(place.hostname, place.port))

    async def ask(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        kind = "Content-Type: application/json\r\nAccept: application/json\r\n\r\n"
        self._writer.write((head + kind).encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        return int(lines[0].split(b" ")[1]), await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()
