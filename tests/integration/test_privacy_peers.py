"""Members' privacy managers with one another, as real processes: discovery, absence, resending, recovery."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from muniment.identity.model import Endpoint
from muniment.topology.haproxy_privacy import Manager, PrivacyDoor, section
from tests.support.manager_process import PORTS, ManagerProcess, Member
from tests.support.ports import port_block
from tests.support.waiting import wait_until

EXEC_HASH = b64encode(b"\x07" * 32).decode()


@pytest.fixture
def port() -> Iterator[int]:
    with port_block() as base:
        yield base


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as entered:
        yield entered


def member(stack: ExitStack, root: Path, port: int, **options: Any) -> Member:
    made = Member(root, port, **options)
    stack.callback(made.remove)
    return made


def payloads_in(one: Member) -> int:
    with closing(sqlite3.connect(one.database)) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM privacy_payload").fetchone()[0])


def wait_until_known(manager: ManagerProcess, *keys: str) -> None:
    wait_until("an announcement", lambda: all(manager.knows(key) for key in keys), timeout=20, interval=0.05)


def test_what_one_replica_hears_all_know_at_once(tmp_path: Path, stack: ExitStack, port: int) -> None:
    alpha = member(stack, tmp_path / "alpha", port, replicas=3)
    beta = member(stack, tmp_path / "beta", port + 3 * PORTS, peers=[alpha.url])
    alpha.start()
    for manager in alpha.managers:
        answer = manager.post("/send", {"payload": "aGVsbG8=", "to": [beta.key]})
        assert (answer.status_code, "Recipient not found" in answer.text) == (404, True)
    beta.start()
    wait_until_known(alpha.managers[0], beta.key)
    sent = {manager.send(b"from %d" % manager.port, [beta.key]): manager for manager in alpha.managers}
    for payload_hash, manager in sent.items():
        expected = b"from %d" % manager.port
        assert beta.managers[0].payload(payload_hash) == expected
        assert [each.payload(payload_hash) for each in alpha.managers] == [expected] * 3
    # And beta, who was told by nobody but found alpha in its own configuration, has heard of alpha as well.
    wait_until_known(beta.managers[0], alpha.key)
    assert alpha.managers[2].payload(beta.managers[0].send(b"back", [alpha.key])) == b"back"


def test_a_recipient_that_is_away(tmp_path: Path, stack: ExitStack, port: int) -> None:
    alpha = member(stack, tmp_path / "alpha", port)
    beta = member(stack, tmp_path / "beta", port + PORTS, peers=[alpha.url])
    gamma = member(stack, tmp_path / "gamma", port + 2 * PORTS, peers=[alpha.url])
    for each in (alpha, beta, gamma):
        each.start()
    (sender,), (receiver,) = alpha.managers, beta.managers
    wait_until_known(sender, beta.key, gamma.key)
    before = sender.send(b"before", [beta.key, gamma.key])

    receiver.kill()
    answer = sender.post("/send", {"payload": "aGVsbG8=", "to": [beta.key, gamma.key]})
    assert answer.status_code == 410
    assert f"the privacy manager at {beta.url.rstrip('/')}" in answer.text
    assert payloads_in(alpha) == 1
    # Others are not disturbed, and the key keeps its owner.
    assert gamma.managers[0].payload(sender.send(b"without beta", [gamma.key])) == b"without beta"

    receiver.start()
    again = sender.send(b"again", [beta.key, gamma.key])
    assert receiver.payload(again) == b"again"
    assert receiver.payload(before) == b"before"

    # What it lost meanwhile comes back on its request.
    for payload_hash in (before, again):
        assert receiver.post("/delete", {"key": payload_hash}).status_code == 200
        assert receiver.get(payload_hash).status_code == 404
    request = {"type": "all", "publicKey": beta.key}
    assert httpx2.post(f"{sender.p2p}resend", json=request, timeout=20).status_code == 200
    assert [receiver.payload(payload_hash) for payload_hash in (before, again)] == [b"before", b"again"]
    request = {"type": "INDIVIDUAL", "publicKey": beta.key, "key": again}
    answer = httpx2.post(f"{sender.p2p}resend", json=request, timeout=20)
    pushed = httpx2.post(f"{receiver.p2p}push", content=answer.content, timeout=20)
    assert (pushed.status_code, pushed.text) == (201, again)


def test_a_lost_database_comes_back_from_the_others(tmp_path: Path, stack: ExitStack, port: int) -> None:
    alpha = member(stack, tmp_path / "alpha", port, replicas=2, settings={"hold_seconds": 0.2})
    beta = member(stack, tmp_path / "beta", port + 2 * PORTS, peers=[alpha.url])
    gamma = member(stack, tmp_path / "gamma", port + 3 * PORTS, peers=[alpha.url, beta.url])
    for each in (alpha, beta, gamma):
        each.start()
    one, two = alpha.managers
    (other,), (third,) = beta.managers, gamma.managers
    wait_until_known(one, beta.key, gamma.key)
    wait_until_known(other, alpha.key, gamma.key)
    wait_until_known(third, alpha.key)
    everywhere = {
        one.send(b"sent", [beta.key]): b"sent",
        two.send(b"sent to both", [beta.key, gamma.key]): b"sent to both",
        other.send(b"received", [alpha.key]): b"received",
        third.send(b"received from gamma", [alpha.key]): b"received from gamma",
        one.send(b"x" * 300_000, [beta.key]): b"x" * 300_000,
    }
    for flag, more in ((1, {}), (2, {"mandatoryRecipients": [beta.key]}), (3, {"execHash": EXEC_HASH})):
        first = other.send(b"creation %d" % flag, [alpha.key, gamma.key], privacyFlag=flag, **more)
        chained = {"privacyFlag": flag, "affectedContractTransactions": [first], **more}
        last = one.send(b"call %d" % flag, [beta.key, gamma.key], **chained)
        everywhere |= {first: b"creation %d" % flag, last: b"call %d" % flag}
    participants = {payload_hash: _participants(one, payload_hash) for payload_hash in everywhere}

    alpha.lose_database()
    for manager in alpha.managers:
        manager.start(ready=False)
    for payload_hash in everywhere:
        assert one.get(payload_hash).status_code == 503

    # One of the others is away: the managers stay closed.
    third.kill()
    partly = two.recover()
    assert partly.returncode == 1, partly.stderr
    assert "1 managers could not be asked" in partly.stdout
    assert "The managers do not serve" in partly.stdout
    assert two.get(next(iter(everywhere))).status_code == 503

    # Nor does the other one, whose volume was lost as well: it must not take the gaps for the truth.
    one.kill()
    shutil.rmtree(one.data)
    one.start(ready=False)
    assert one.get(next(iter(everywhere))).status_code == 503

    third.start()
    refused = two.recover()
    assert (refused.returncode, "--resume" in refused.stderr) == (2, True)
    done = two.recover("--resume")
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "all that the other members have" in done.stdout
    for manager in alpha.managers:
        wait_until("the manager", manager.is_ready, timeout=20)
        for payload_hash, expected in everywhere.items():
            assert manager.payload(payload_hash) == expected
    assert payloads_in(alpha) == len(everywhere)
    for payload_hash, keys in participants.items():
        assert alpha.key in _participants(one, payload_hash)
        assert _participants(one, payload_hash) <= keys
    assert other.payload(one.send(b"after", [beta.key])) == b"after"


@pytest.mark.engines
def test_a_database_comes_back_through_the_gateway(tmp_path: Path, stack: ExitStack, port: int) -> None:
    """While a member recovers, its managers are not ready for nodes, but must be reached by other members."""
    gate = Endpoint(host="127.0.0.1", port=port + 100)
    announced = f"http://{gate.host}:{gate.port}/"
    settings = {"hold_seconds": 0.2, "advertised_url": announced}
    alpha = member(stack, tmp_path / "alpha", port, replicas=2, settings=settings)
    beta = member(stack, tmp_path / "beta", port + 2 * PORTS, peers=[announced])
    stack.enter_context(_gateway(tmp_path / "haproxy.cfg", gate, alpha))
    alpha.start()
    beta.start()
    (other,) = beta.managers
    wait_until("an announcement", lambda: all(one.knows(beta.key) for one in alpha.managers), timeout=20)
    wait_until_known(other, alpha.key)
    everywhere = {one.send(b"%d" % one.port, [beta.key]): b"%d" % one.port for one in alpha.managers}
    everywhere |= {other.send(b"received", [alpha.key]): b"received"}

    alpha.lose_database()
    for manager in alpha.managers:
        manager.start(ready=False)
    done = alpha.managers[0].recover()
    assert done.returncode == 0, (done.stdout, done.stderr)
    for manager in alpha.managers:
        wait_until("the manager", manager.is_ready, timeout=20)
        assert {payload_hash: manager.payload(payload_hash) for payload_hash in everywhere} == everywhere


@contextmanager
def _gateway(config: Path, gate: Endpoint, one: Member) -> Iterator[None]:
    """haproxy as the topology renders it, in front of a member's managers."""
    managers = tuple(
        Manager(
            each.root.name,
            Endpoint(host="127.0.0.1", port=each.port + 1),
            Endpoint(host="127.0.0.1", port=each.port + 2),
        )
        for each in one.managers
    )
    defaults = "defaults\n    mode http\n    timeout connect 1s\n    timeout client 60s\n    timeout server 60s\n"
    config.write_text(defaults + section(PrivacyDoor(gate, managers, tls=False)))
    haproxy = subprocess.Popen(["haproxy", "-db", "-f", str(config)])
    try:
        yield
    finally:
        haproxy.kill()
        haproxy.wait()


def _participants(manager: ManagerProcess, payload_hash: str) -> set[str]:
    path = payload_hash.replace("/", "%2F")
    answer = httpx2.get(f"{manager.q2t}/transaction/{path}/participants", timeout=20)
    assert all(len(b64decode(key)) == 32 for key in answer.text.split(","))
    return set(answer.text.split(","))
