"""Promise: the gateway gives a member's managers one address to other members, and answers nothing of its own.

The real haproxy in front of managers that only note what they were sent.
"""

from __future__ import annotations

import http.client
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from muniment.identity.model import tls_authority_paths, tls_certificate_path
from muniment.identity.store import IdentityStore
from muniment.spec.model import Consortium
from muniment.targets.loopback import LoopbackAddresses
from muniment.topology import edge
from tests.support.ports import port_block
from tests.support.waiting import wait_until

pytestmark = pytest.mark.engines

MANAGERS = ("alpha-privacy-1", "alpha-privacy-2")
NOTICED = 20.0
LARGE = bytes(range(256)) * 4096 * 10
"""10 MiB: many times what the gateway keeps of a request."""


@dataclass
class Manager:
    """What one manager was sent, and what it answers."""

    name: str
    ready: int = 200
    answers: list[int] = field(default_factory=list)
    """Statuses of its next answers; 0 ends the connection without one. Then 201."""
    paths: list[str] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    servers: list[ThreadingHTTPServer] = field(default_factory=list)

    def start(self, p2p: int, status: int, tls: ssl.SSLContext | None) -> None:
        """Listen on both ports."""
        self.servers = [Server(("127.0.0.1", port), handler(self)) for port in (p2p, status)]
        if tls:
            self.servers[0].socket = tls.wrap_socket(self.servers[0].socket, server_side=True)
        for server in self.servers:
            threading.Thread(target=server.serve_forever, args=(0.05,)).start()

    def stop(self) -> None:
        """As if it were killed: its ports are closed."""
        for server in self.servers:
            server.shutdown()
            server.server_close()
        self.servers = []


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Refused certificates are what tests are about."""


def handler(manager: Manager) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/ready/members":
                self._answer(manager.ready)
            else:
                self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status = manager.answers.pop(0) if manager.answers else 201
            if not status:
                self.close_connection = True
                return
            manager.paths.append(self.path)
            manager.lengths.append(len(body))
            self._answer(status)

        def _answer(self, status: int) -> None:
            body = manager.name.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    return Handler


@dataclass
class Rig:
    """haproxy and two managers of member alpha."""

    root: Path
    base: int
    strict: bool

    def __post_init__(self) -> None:
        self.spec = Consortium.model_validate(
            {
                "ports": {"base": self.base},
                "privacy": {"tls": "strict" if self.strict else "off"},
                "members": {
                    name: {"nodes": 2, "peers": 0, "notary": False} for name in ("alpha", "beta")
                },
            }
        )  # fmt: skip
        self.store = IdentityStore(self.root / "identity")
        identities = self.store.ensure(self.spec, self.root)
        self.addresses = LoopbackAddresses(self.spec, self.root)
        workload = edge.gateway(self.spec, "alpha", identities, self.addresses)
        (file,) = workload.files
        self.file = self.root / "haproxy.cfg"
        self.file.write_text(file.text)
        self.port = workload.port("privacy").listen.port
        self.managers = {name: Manager(name) for name in MANAGERS}

    def start(self) -> None:
        """Start everything, and wait until the gateway takes both managers for ready."""
        for name in MANAGERS:
            self.start_manager(name)
        self.haproxy = subprocess.Popen(["haproxy", "-db", "-f", str(self.file)])
        self.wait_for(dict.fromkeys(MANAGERS, True))

    def stop(self) -> None:
        """End everything."""
        self.haproxy.kill()
        self.haproxy.wait()
        for manager in self.managers.values():
            manager.stop()

    def start_manager(self, name: str) -> None:
        """Let one manager listen."""
        p2p, status = (self.addresses.listen(name, port).port for port in ("p2p", "status"))
        tls = self.context("alpha", ssl.PROTOCOL_TLS_SERVER) if self.strict else None
        self.managers[name].start(p2p, status, tls)

    def context(self, member: str, side: int) -> ssl.SSLContext:
        """One end with the certificate of a member, which trusts both members."""
        made = ssl.SSLContext(side)
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_cert_chain(self.root / "identity" / tls_certificate_path(member))
        for each in ("alpha", "beta"):
            made.load_verify_locations(self.root / "identity" / tls_authority_paths(each)[0])
        return made

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, str]:
        """One request on a connection of its own: status and body."""
        connection = (
            http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=20, context=self.context("beta", ssl.PROTOCOL_TLS_CLIENT)
            )
            if self.strict
            else http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        )
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def wait_for(self, wanted: dict[str, bool]) -> None:
        """Wait until the gateway takes managers for ready or not as `wanted`, by its own metrics."""
        metrics = self.addresses.listen("alpha-gateway", "metrics").port

        def seen() -> bool:
            connection = http.client.HTTPConnection("127.0.0.1", metrics, timeout=5)
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
            connection.close()
            state = 'haproxy_server_status{{proxy="privacy",server="{}",state="UP"}} 1'
            checked = 'haproxy_server_check_status{{proxy="privacy",server="{}",state="L7OK"}} 1'
            found = {name: state.format(name) in text and checked.format(name) in text for name in wanted}
            assert found == wanted
            return True

        wait_until(f"{wanted} at the gateway", seen, timeout=NOTICED)


@contextmanager
def running(root: Path, *, strict: bool) -> Iterator[Rig]:
    with port_block() as base:
        rig = Rig(root, base, strict)
        try:
            rig.start()
            yield rig
        finally:
            rig.stop()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with running(tmp_path, strict=False) as made:
        yield made


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Rig]:
    with running(tmp_path, strict=True) as made:
        yield made


def paths(rig: Rig) -> list[str]:
    return [path for manager in rig.managers.values() for path in manager.paths]


def test_paths_come_through_as_they_were_sent(rig: Rig) -> None:
    asked = ["/push", "/transaction/%2F%2f+A==?isRaw=false", "/a//b/../c/%20", "/partyinfo/validate"]
    for path in asked:
        assert rig.ask("POST", path, b"x")[0] == 201
    assert sorted(paths(rig)) == sorted(asked)
    assert all(manager.paths for manager in rig.managers.values())


@pytest.mark.parametrize("body", [b"", b"x" * 200_000, LARGE], ids=["empty", "200 kB", "10 MiB"])
def test_pushes_of_any_size_pass(rig: Rig, body: bytes) -> None:
    assert rig.ask("POST", "/push", body)[0] == 201
    assert [length for manager in rig.managers.values() for length in manager.lengths] == [len(body)]


def test_a_killed_manager_costs_no_request(rig: Rig) -> None:
    rig.managers[MANAGERS[0]].stop()
    for body in (b"x" * 1000, LARGE):
        assert [rig.ask("POST", "/push", body) for _ in range(3)] == [(201, MANAGERS[1])] * 3
    rig.wait_for({MANAGERS[0]: False, MANAGERS[1]: True})
    rig.start_manager(MANAGERS[0])
    rig.wait_for(dict.fromkeys(MANAGERS, True))
    assert {rig.ask("POST", "/push", b"x")[1] for _ in range(4)} == set(MANAGERS)


@pytest.mark.parametrize("first", [0, 502, 503, 504])
def test_what_one_manager_does_not_take_another_one_gets(rig: Rig, first: int) -> None:
    for manager in rig.managers.values():
        manager.answers = [first]
    # Both fail once: the third try is answered.
    assert rig.ask("POST", "/push", b"x")[0] == 201


@pytest.mark.parametrize("status", [400, 403, 404, 409, 500])
def test_a_managers_answer_is_passed_on(rig: Rig, status: int) -> None:
    for manager in rig.managers.values():
        manager.answers = [status]
    assert rig.ask("POST", "/push", b"x")[0] == status
    assert len(paths(rig)) == 1


def test_a_manager_that_is_not_ready_gets_nothing(rig: Rig) -> None:
    rig.managers[MANAGERS[0]].ready = 503
    rig.wait_for({MANAGERS[0]: False, MANAGERS[1]: True})
    assert {rig.ask("POST", "/push", b"x")[1] for _ in range(4)} == {MANAGERS[1]}


def test_without_any_manager_the_answer_is_503_and_never_404(rig: Rig) -> None:
    for manager in rig.managers.values():
        manager.stop()
    for method, path in (("POST", "/push"), ("GET", "/transaction/AAAA"), ("GET", "/nothing/like/it")):
        assert rig.ask(method, path)[0] == 503
    rig.wait_for(dict.fromkeys(MANAGERS, False))
    assert rig.ask("GET", "/transaction/AAAA") == (503, "no privacy manager is ready")


def test_with_tls_connections_are_passed_through(strict: Rig) -> None:
    assert strict.ask("POST", "/push", LARGE)[0] == 201
    assert {strict.ask("POST", "/push", b"x")[1] for _ in range(4)} == set(MANAGERS)
    plain = http.client.HTTPConnection("127.0.0.1", strict.port, timeout=20)
    plain.request("GET", "/push")
    with pytest.raises((http.client.HTTPException, OSError)):
        plain.getresponse()
    plain.close()


def test_with_tls_a_killed_manager_costs_no_connection(strict: Rig) -> None:
    strict.managers[MANAGERS[0]].stop()
    assert [strict.ask("POST", "/push", b"x") for _ in range(3)] == [(201, MANAGERS[1])] * 3
