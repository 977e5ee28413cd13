"""A privacy manager that does nothing but keep payloads in memory: the baseline of the benchmark.

`python -m tests.support.plain_manager PORT=KEY…` serves all nodes of a network from one process: whoever asks at a port
is the member with that privacy key (public, base64). Nothing is encrypted, pushed or stored; parties are told from
others by the recipients that the sender named. It answers what GoQuorum 22.7.4 asks for ordinary private transactions
and for those that were signed outside (private/engine/tessera/tessera.go).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx2
import uvicorn
import uvloop

from muniment.kernel.encoding import parse_json
from muniment.privacy.asgi import Receive, Scope, Send
from tests.support.waiting import STARTED, wait_until

VERSIONS = ["1.0", "2.0", "2.1", "3.0", "4.0"]
KEEP_ALIVE_SECONDS = 75

Answer = tuple[int, bytes]


@dataclass(frozen=True)
class Kept:
    """A payload and who may have it."""

    payload: str
    sender: str
    recipients: frozenset[str] = frozenset()
    rules: Mapping[str, Any] = field(default_factory=dict)

    def document(self, key: str) -> bytes:
        """As a party reads it."""
        return _json({"payload": self.payload, "managedParties": [key], "senderKey": self.sender, **self.rules})


class PlainManager:
    """The app. `keys` are the members' privacy keys by the port at which they ask."""

    def __init__(self, keys: Mapping[int, str]) -> None:
        self._keys = keys
        self._kept: dict[str, Kept] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3)."""
        body = b""
        if scope["method"] == "POST":
            more = True
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
        raw = b"isRaw=true" in scope["query_string"]
        status, answer = self.answer(self._keys[scope["server"][1]], scope["raw_path"].decode(), body, raw=raw)
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def answer(self, key: str, path: str, body: bytes, *, raw: bool) -> Answer:
        """Status and body for the member with this key."""
        if path.startswith("/transaction/"):
            payload_hash, _, question = path.removeprefix("/transaction/").partition("/")
            return self._look_up(key, unquote(payload_hash), question, raw=raw)
        if path in ("/send", "/storeraw", "/sendsignedtx"):
            return self._take(key, path, parse_json(body))
        fixed = {"/upcheck": b"I'm up!", "/version": b"plain", "/version/api": _json(VERSIONS)}
        return (200, fixed[path]) if path in fixed else (501, b"this manager cannot do that")

    def _take(self, key: str, path: str, asked: Mapping[str, Any]) -> Answer:
        if path == "/sendsignedtx":
            payload_hash = asked["hash"]
            kept = self._kept[payload_hash]
        else:
            payload_hash = b64encode(hashlib.sha3_512(os.urandom(32) + asked["payload"].encode()).digest()).decode()
            kept = Kept(asked["payload"], asked.get("from") or key)
        if path != "/storeraw":
            recipients = frozenset([*(asked.get("to") or ()), kept.sender])
            kept = replace(kept, recipients=recipients, rules=_rules(asked))
        self._kept[payload_hash] = kept
        return 201, _json({"key": payload_hash, "managedParties": [key], "senderKey": kept.sender})

    def _look_up(self, key: str, payload_hash: str, question: str, *, raw: bool) -> Answer:
        kept = self._kept.get(payload_hash)
        if kept is None or (key not in kept.recipients and not (raw and key == kept.sender)):
            return 404, b"no such payload"
        if not question:
            return 200, kept.document(key)
        lists = {"participants": kept.recipients, "mandatory": kept.rules.get("mandatoryRecipients") or ()}
        if question == "isSender":
            return 200, b"true" if kept.sender == key else b"false"
        return 200, ",".join(sorted(lists[question])).encode()


def _rules(asked: Mapping[str, Any]) -> dict[str, Any]:
    names = ("affectedContractTransactions", "execHash", "privacyFlag", "mandatoryRecipients")
    return {name: asked[name] for name in names if asked.get(name) is not None}


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def serve(keys: Mapping[int, str]) -> None:
    """Serve on 127.0.0.1 until SIGTERM."""
    config = uvicorn.Config(
        PlainManager(keys), loop="none", http="httptools", interface="asgi3", lifespan="off", ws="none",
        access_log=False, log_level="warning", timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )  # fmt: skip
    doors = [socket.create_server(("127.0.0.1", port), backlog=1024) for port in keys]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(uvicorn.Server(config).serve(sockets=doors))


@contextmanager
def plain_manager(keys: Mapping[int, str], log: Path) -> Iterator[None]:
    """One as a process of its own; it is ready inside, and ended after."""
    command = [sys.executable, "-m", "tests.support.plain_manager", *(f"{port}={key}" for port, key in keys.items())]
    with log.open("ab") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return all(httpx2.get(f"http://127.0.0.1:{port}/upcheck").status_code == 200 for port in keys)
        except httpx2.HTTPError as error:
            raise AssertionError(str(error)) from error

    try:
        wait_until("the plain manager", ready, timeout=STARTED, interval=0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def main(arguments: list[str]) -> None:
    """Serve what the command line says."""
    serve({int(port): key for port, _, key in (argument.partition("=") for argument in arguments)})


if __name__ == "__main__":
    main(sys.argv[1:])
