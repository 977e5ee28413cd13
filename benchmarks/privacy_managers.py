"""The privacy manager alone, without nodes, on each database: look-ups of a member that is no party, and sending.

A look-up that ends with 404 is what every node that is no party asks for every private transaction: the network's hot
path. The do-nothing manager (tests/support/plain_manager.py) shows what client, HTTP and machine allow.
"""

from __future__ import annotations

import json
import os
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.lean import Outcome, ask_all
from tests.support.databases import DatabaseServer, MariaDb, PostgreSql, free_port
from tests.support.manager_process import PORTS, Member
from tests.support.plain_manager import plain_manager
from tests.support.ports import port_block
from tests.support.waiting import STARTED, wait_until

AT_A_TIME = 20
LOOK_UPS = 10_000
SENDS = 2_000
PAYLOAD_BYTES = 300
"""A small contract's call, or a small contract."""

SERVERS: dict[str, type[DatabaseServer] | None] = {"SQLite": None, "MariaDB": MariaDb, "PostgreSQL": PostgreSql}


def measure() -> list[tuple[str, str, str]]:
    """Look-ups and sends, for the do-nothing manager and for ours on every database."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="muniment-bench-") as folder, port_block() as base:
        root = Path(folder)
        with _plain(root, base) as (url, to):
            rows += _rows("do-nothing manager", url, to)
        for name, kind in SERVERS.items():
            with _ours(root / name, base, kind) as (url, to):
                rows += _rows(name, url, to)
    return rows


def _rows(name: str, url: str, to: str) -> list[tuple[str, str, str]]:
    return [
        (f"404 look-ups, {AT_A_TIME} at a time, {name}", _look_ups(url).text(), ""),
        (f"`/send` to one member, {AT_A_TIME} at a time, {name}", _sends(url, to, AT_A_TIME).text(), ""),
        (f"`/send` to one member, one at a time, {name}", _sends(url, to, 1).text(), ""),
    ]


def _look_ups(url: str) -> Outcome:
    hashes = (b64encode(os.urandom(64)).decode().replace("/", "%2F") for _ in range(LOOK_UPS))
    requests = [("GET", f"/transaction/{one}?isRaw=false", b"") for one in hashes]
    outcome = ask_all(url, requests, at_a_time=AT_A_TIME)
    assert {status for status, _ in outcome.answers} == {404}
    return outcome


def _sends(url: str, to: str, at_a_time: int) -> Outcome:
    def document() -> bytes:
        payload = b64encode(os.urandom(PAYLOAD_BYTES)).decode()
        return json.dumps({"payload": payload, "to": [to], "privacyFlag": 0}).encode()

    requests = [("POST", "/send", document()) for _ in range(SENDS if at_a_time > 1 else SENDS // 10)]
    outcome = ask_all(url, requests, at_a_time=at_a_time)
    assert {status for status, _ in outcome.answers} == {201}, outcome.answers[0]
    return outcome


@contextmanager
def _plain(root: Path, base: int) -> Iterator[tuple[str, str]]:
    keys = {base + number: b64encode(bytes([number]) * 32).decode() for number in (1, 2)}
    with plain_manager(keys, root / "plain.log"):
        yield f"http://127.0.0.1:{base + 1}", keys[base + 2]


@contextmanager
def _ours(root: Path, base: int, kind: type[DatabaseServer] | None) -> Iterator[tuple[str, str]]:
    """Two members with a manager each, both on the same kind of database; the URL of one, the key of the other."""
    with ExitStack() as stack:
        members: list[Member] = []
        for number, name in enumerate(("alpha", "beta")):
            settings: dict[str, Any] = {"peers": [member.url for member in members]}
            if kind is not None:
                server = kind(root / f"{name}-database", free_port())
                stack.callback(server.remove)
                server.start()
                settings["database"] = {"url": server.url, "password_file": str(server.password_file)}
            member = Member(root / name, base + 10 + PORTS * number, settings=settings)
            stack.callback(member.remove)
            members.append(member)
        alpha, beta = members
        for member in members:
            member.start()
        wait_until("the managers to know one another", lambda: alpha.managers[0].knows(beta.key), timeout=STARTED)
        yield alpha.managers[0].q2t, beta.key
