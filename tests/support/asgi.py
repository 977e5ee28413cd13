"""One request to an ASGI app, without a server between."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from muniment.kernel.encoding import parse_json
from muniment.privacy.asgi import App

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes

    def json(self) -> Any:
        return parse_json(self.body)


async def call(
    app: App,
    method: str,
    target: bytes,
    pieces: Sequence[bytes] = (b"",),
    headers: Headers = (),
    *,
    stuck: asyncio.Event | None = None,
) -> Answer:
    """Ask for `target`, a path as it is sent and perhaps a query. With `stuck` the body's last piece never comes; it is
    set when the app waits for that."""
    path, _, query = target.partition(b"?")
    left = list(pieces)
    said: list[dict[str, Any]] = []

    async def receive() -> Mapping[str, Any]:
        if not left:
            assert stuck is not None
            stuck.set()
            await asyncio.Event().wait()
        piece = left.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(left) or stuck is not None}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    scope = {"type": "http", "method": method, "raw_path": path, "query_string": query, "headers": list(headers)}
    await app(scope, receive, send)
    start, body = said
    return Answer(start["status"], dict(start["headers"]), body["body"])
