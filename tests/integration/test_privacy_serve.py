"""Promise: a manager's process waits rather than refuses, ends what it began, and renews its certificates.

Real processes of `muniment privacy serve`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme

from muniment.kernel.encoding import parse_json
from tests.support.manager_process import COMMAND, ManagerProcess, Member
from tests.support.ports import port_block
from tests.support.waiting import MENDED, wait_until

Start = Callable[..., Member]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Makes one member and starts its managers."""
    made = []
    with port_block() as base:

        def begin(*, replicas: int = 1, **settings: Any) -> Member:
            member = Member(tmp_path / "alpha", base, replicas, settings=settings)
            made.append(member)
            member.start()
            return member

        try:
            yield begin
        finally:
            for member in made:
                member.remove()


def unknown() -> str:
    return b64encode(os.urandom(64)).decode()


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 1)
    connection.settimeout(MENDED)
    return connection


def status(connection: socket.socket) -> int:
    """The status of the next answer; 0 when the connection is closed without one."""
    line = connection.makefile("rb").readline()
    return int(line.split()[1]) if line else 0


def look_up(payload_hash: str) -> bytes:
    path = payload_hash.replace("/", "%2F")
    return f"GET /transaction/{path}?isRaw=false HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def storing(payload: bytes) -> tuple[bytes, bytes]:
    """A request to store, in two halves."""
    body = json.dumps({"payload": b64encode(payload).decode()}).encode()
    head = f"POST /storeraw HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    return head + body[: len(body) // 2], body[len(body) // 2 :]


def test_a_request_that_comes_while_the_manager_starts_is_answered_and_never_refused(start: Start) -> None:
    manager = start().managers[0]
    known = manager.send(b"kept", [])
    manager.kill()
    with (manager.root / "log").open("ab") as log:
        manager.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "privacy", "serve", "--config", str(manager.config)],
            env={**os.environ, "PYTHONPATH": "src"},
            stderr=log,
        )
    connection = wait_until("the open door", lambda: connect(manager.port), timeout=MENDED, interval=0.002)
    with connection:
        connection.sendall(b"GET /upcheck HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        assert status(connection) == 200
    for payload_hash, expected in ((known, 200), (unknown(), 404)):
        with connect(manager.port) as connection:
            connection.sendall(look_up(payload_hash))
            assert status(connection) == expected


def test_what_was_begun_is_finished_after_sigterm(start: Start) -> None:
    manager = start().managers[0]
    assert manager.process is not None
    first, second = storing(b"x" * 1000)
    with connect(manager.port) as connection:
        connection.sendall(first)
        # It is read before the signal comes: a later request on another connection was answered.
        assert manager.get(unknown()).status_code == 404
        manager.process.send_signal(signal.SIGTERM)
        wait_until("a closed door", lambda: is_refused(manager.port), timeout=MENDED, interval=0.02)
        assert not is_ready(manager)
        connection.sendall(second)
        assert status(connection) == 200
    assert manager.process.wait(MENDED) == 0


def is_refused(port: int) -> bool:
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


def is_ready(manager: ManagerProcess) -> bool:
    try:
        return httpx2.get(f"{manager.status}/ready", timeout=MENDED).status_code == 200
    except httpx2.HTTPError:
        return False


def test_who_does_not_end_is_not_waited_for_longer_than_the_grace_time(start: Start) -> None:
    manager = start().managers[0]
    begun = time.monotonic()
    with connect(manager.port) as connection, connect(manager.port + 2) as idle:
        connection.sendall(storing(b"x" * 1000)[0])
        assert manager.get(unknown()).status_code == 404
        assert manager.stop() == 0
        assert status(idle) == 0
    assert time.monotonic() - begun < 20


def test_a_database_that_was_exchanged_is_never_a_404(start: Start) -> None:
    member = start(replicas=2, hold_seconds=0.2)
    known = member.managers[0].send(b"kept", [])
    for manager in member.managers:
        assert manager.payload(known) == b"kept"
    member.lose_database()
    for manager in member.managers:
        manager.start(ready=False)
        # Asked from the first moment on.
        for _ in range(5):
            assert manager.get(known).status_code == 503
        answer = httpx2.get(f"{manager.status}/ready", timeout=MENDED)
        assert answer.status_code == 503
        assert httpx2.get(f"{manager.q2t}/upcheck", timeout=MENDED).status_code == 503
    wait_until(
        "the cause",
        lambda: "muniment privacy recover" in httpx2.get(f"{manager.status}/ready", timeout=MENDED).json()["cause"],
        timeout=MENDED,
    )
    assert manager.get(known).status_code == 503


def test_requests_and_those_that_were_held_are_counted(start: Start) -> None:
    manager = start().managers[0]
    manager.get(unknown())
    manager.send(b"x", [])
    said = httpx2.get(f"{manager.status}/metrics", timeout=MENDED).text
    assert 'muniment_privacy_requests_total{interface="q2t",route="/transaction/",status="404"} 1.0' in said
    assert 'muniment_privacy_requests_total{interface="q2t",route="/send",status="201"} 1.0' in said
    assert "muniment_privacy_ready 1.0" in said


def test_a_key_outside_the_resident_groups_is_told_before_anything_is_served(start: Start, tmp_path: Path) -> None:
    manager = start().managers[0]
    manager.stop()
    stranger = b64encode(bytes(32)).decode()
    groups = [{"name": "x", "id": b64encode(b"x").decode(), "members": [stranger]}]
    path = tmp_path / "other.json"
    path.write_text(json.dumps({**parse_json(manager.config.read_bytes()), "resident_groups": groups}))
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "privacy", "serve", "--config", str(path)],
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        check=False,
        timeout=MENDED,
    )
    assert done.returncode == 2
    assert "in no resident group" in done.stderr


class Certificates:
    """The files of one manager, and clients that have something to show."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self.authority = trustme.CA()
        self.renew(self.authority)

    def renew(self, authority: trustme.CA) -> None:
        """A new certificate, by an authority that is trusted alone from now on."""
        self.authority = authority
        issued = authority.issue_cert("127.0.0.1")
        self._put("certificate.pem", issued.private_key_and_cert_chain_pem.bytes())
        self._put("authorities.pem", authority.cert_pem.bytes())

    def spoil(self) -> None:
        """Rubbish instead of the certificate."""
        self._put("certificate.pem", b"rubbish")

    def settings(self) -> dict[str, Any]:
        certificate = str(self._folder / "certificate.pem")
        return {
            "certificate_file": certificate,
            "key_file": certificate,
            "authorities_file": str(self._folder / "authorities.pem"),
        }

    def client(self, shows: trustme.CA | None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        if shows:
            shows.issue_cert("node.example").configure_cert(context)
        return context

    def _put(self, name: str, content: bytes) -> None:
        fresh = self._folder / "fresh"
        fresh.write_bytes(content)
        fresh.rename(self._folder / name)


def answers(port: int, context: ssl.SSLContext) -> bool:
    """Whether a request on a new connection is answered."""
    try:
        with connect(port) as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as tls:
            tls.sendall(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
            return tls.recv(12) == b"HTTP/1.1 200"
    except (ConnectionError, ssl.SSLError):
        return False


def test_certificates_are_renewed_without_a_restart_and_old_authorities_end(start: Start, tmp_path: Path) -> None:
    certificates = {name: Certificates(tmp_path / name) for name in ("q2t", "p2p")}
    tls = {name: each.settings() for name, each in certificates.items()}
    manager = start(advertised_url="https://127.0.0.1:1/", tls=tls).managers[0]
    for port, ours in zip((manager.port, manager.port + 1), certificates.values(), strict=True):
        old = ours.authority
        assert answers(port, ours.client(old))
        assert not answers(port, ours.client(None))
        assert not answers(port, ours.client(trustme.CA()))
        with connect(port) as plain:
            plain.sendall(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
            assert status(plain) == 0
        kept = ours.client(old)
        with connect(port) as plain, kept.wrap_socket(plain, server_hostname="127.0.0.1") as open_before:
            ours.renew(trustme.CA())
            renewed = ours.client(ours.authority)
            wait_until("the new certificate", lambda: answers(port, renewed), timeout=MENDED)  # noqa: B023
            # Connections go on; whoever comes anew is judged by the new authority alone.
            open_before.sendall(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
            assert open_before.recv(12) == b"HTTP/1.1 200"
        assert not answers(port, ours.client(old))
        assert not answers(port, kept)


def test_rubbish_in_the_place_of_certificates_leaves_the_old_ones_in_use(start: Start, tmp_path: Path) -> None:
    ours = Certificates(tmp_path / "q2t")
    manager = start(tls={"q2t": ours.settings()}).managers[0]
    ours.spoil()
    log = manager.root / "log"
    wait_until("a word in the log", lambda: "the old ones stay" in log.read_text(), timeout=MENDED)
    assert answers(manager.port, ours.client(ours.authority))
    ours.renew(trustme.CA())
    wait_until("the new one", lambda: answers(manager.port, ours.client(ours.authority)), timeout=MENDED)
    assert log.read_text().count("the old ones stay") == 1
    assert manager.is_ready()
