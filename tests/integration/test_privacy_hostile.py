"""A privacy manager that is given rubbish: never a 5xx for it, never a 404 that a node could take for an answer."""

from __future__ import annotations

import json
import random
import socket
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.support.manager_process import ManagerProcess, Member
from tests.support.ports import port_block

DOCS = Path(__file__).parents[2] / "docs" / "openapi"
REQUESTS = 1000
BY_SCHEMA = 100
"""Of the thousand for each endpoint, so many are made from the interface's description."""
GROWTH_BYTES = 40 << 20

Q2T = {
    "POST": ("/send", "/storeraw", "/sendsignedtx", "/encodedpayload/create", "/encodedpayload/decrypt", "/delete"),
    "GET": ("/transaction/{}", "/transaction/{}/isSender", "/transaction/{}/participants", "/transaction/{}/mandatory"),
}
P2P = ("/push", "/partyinfo", "/partyinfo/validate", "/resend", "/resendBatch", "/pushBatch")
JSON_PATHS = frozenset({*Q2T["POST"], "/resend", "/resendBatch", "/pushBatch"})
ALLOWED = frozenset({503})
"""`/groups/resident` says by 503 that there is one private state; a party info whose keys cannot be shown is 500."""


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerProcess]:
    with port_block() as base:
        member = Member(tmp_path_factory.mktemp("hostile") / "alpha", base, settings={"key_validation": False})
        try:
            member.start()
            yield member.managers[0]
        finally:
            member.remove()


def rubbish(chance: random.Random) -> Any:
    """A JSON value of any kind."""
    kinds = (
        lambda: None, lambda: chance.choice([True, False]), lambda: chance.randint(-(2**70), 2**70),
        lambda: chance.random() * 1e300, lambda: "", lambda: chance.randbytes(chance.randint(0, 90)).hex(),
        lambda: b64encode(chance.randbytes(chance.choice([0, 1, 24, 31, 32, 33, 48, 64, 65]))).decode(),
        lambda: "\x00\ud7ff%2F+/=" * chance.randint(1, 20),
        lambda: [rubbish(chance) for _ in range(chance.randint(0, 3))],
        lambda: {"a": rubbish(chance)},
    )  # fmt: skip
    return chance.choice(kinds)()


FIELDS = (
    "payload", "from", "to", "affectedContractTransactions", "execHash", "privacyFlag", "mandatoryRecipients", "hash",
    "key", "senderKey", "cipherText", "cipherTextNonce", "recipientBoxes", "recipientNonce", "recipientKeys", "type",
    "publicKey", "batchSize", "encodedPayloads",
)  # fmt: skip


def body(chance: random.Random, path: str) -> bytes:
    """A body that is wrong in one of many ways."""
    shape = chance.randint(0, 9)
    if shape == 0:
        return chance.randbytes(chance.randint(0, 2000))
    if shape == 1:
        return b"[" * chance.randint(1, 50_000)
    if shape == 2:
        return b'{"payload":' * 2000
    if path not in JSON_PATHS:
        number = chance.choice([0, 1, 24, 32, 2**31, 2**62, 2**63, 2**64 - 1]).to_bytes(8, "big")
        return number + chance.randbytes(chance.randint(0, 400))
    document = {name: rubbish(chance) for name in chance.sample(FIELDS, chance.randint(0, 8))}
    return json.dumps(document).encode()[: None if shape < 8 else chance.randint(0, 60)]


def wrong_hash(chance: random.Random) -> str:
    """A segment that is no hash."""
    text = b64encode(chance.randbytes(chance.choice([0, 1, 31, 63, 65, 200]))).decode()
    forms = (
        text,
        text.replace("/", "%2f"),
        text.replace("/", "%252F"),
        "%",
        "%zz",
        "%00",
        "a/b",
        "//",
        "..",
        "+" * 88,
        "é",
    )
    return chance.choice(forms)


def check_alive(manager: ManagerProcess) -> None:
    """It serves a good request."""
    assert manager.payload(manager.send(b"good", [])) == b"good"


def memory(manager: ManagerProcess) -> int:
    assert manager.process is not None
    return int(psutil.Process(manager.process.pid).memory_info().rss)


@pytest.mark.parametrize("path", [*Q2T["POST"], *P2P])
def test_rubbish_as_a_body_is_refused(manager: ManagerProcess, path: str) -> None:
    chance = random.Random(path)
    url = (manager.p2p.rstrip("/") if path in P2P else manager.q2t) + path
    kinds = ["application/json", "application/octet-stream", "application/vnd.tessera-4.0+json", "x"]
    sizes = []
    with httpx2.Client(timeout=30) as client:
        for number in range(REQUESTS - BY_SCHEMA):
            answer = client.post(url, content=body(chance, path), headers={"Content-Type": chance.choice(kinds)})
            assert answer.status_code < 500, (answer.status_code, answer.text)
            if number % 300 == 299:
                sizes.append(memory(manager))
    assert sizes[-1] - sizes[0] < GROWTH_BYTES, sizes
    check_alive(manager)


@pytest.mark.parametrize("path", Q2T["GET"])
def test_a_malformed_hash_is_never_a_404(manager: ManagerProcess, path: str) -> None:
    chance = random.Random(path)
    port = manager.port
    for _ in range(REQUESTS - BY_SCHEMA):
        segment = wrong_hash(chance).encode()
        target = path.encode().replace(b"{}", segment)
        request = b"GET " + target + b"?isRaw=false HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(request)
            status = connection.makefile("rb").readline().split()[1]
        assert status in (b"400", b"405", b"421"), (target, status)
    check_alive(manager)


def test_hashes_with_slashes_are_found_and_unknown_ones_are_404(manager: ManagerProcess) -> None:
    known = [manager.send(bytes([number]), []) for number in range(200)]
    assert any("/" in one for one in known)
    assert any("+" in one for one in known)
    chance = random.Random(1)
    with httpx2.Client(timeout=30) as client:
        for one in known:
            assert client.get(f"{manager.q2t}/transaction/{one.replace('/', '%2F')}?isRaw=false").status_code == 200
        for _ in range(REQUESTS):
            unknown = b64encode(chance.randbytes(64)).decode().replace("/", "%2F")
            assert client.get(f"{manager.q2t}/transaction/{unknown}").status_code == 404


RAW = (
    b"\x00" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"POST /send HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /send HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"GET /" + b"a" * 70_000,
    b"POST /send HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{", b"\x16\x03\x01\x02\x00\x01\x00",
)  # fmt: skip


def test_broken_http_leaves_it_alive(manager: ManagerProcess) -> None:
    for port in (manager.port, manager.port + 1, manager.port + 2):
        for request in RAW * 5:
            with socket.create_connection(("127.0.0.1", port), 10) as connection:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(10)
                answer = connection.makefile("rb").readline()
            assert b" 5" not in answer[:12] or b"50" not in answer[9:12], answer
    check_alive(manager)


def test_a_body_beyond_the_limit_is_refused(manager: ManagerProcess) -> None:
    large = b64encode(bytes(17 << 20)).decode()
    answer = manager.post("/storeraw", {"payload": large})
    assert answer.status_code == 413
    payload = bytes(10 << 20)
    assert manager.payload(manager.send(payload, [])) == payload


@pytest.mark.parametrize(("file", "side"), [("privacy-q2t.yaml", "q2t"), ("privacy-p2p.yaml", "p2p")])
def test_requests_made_from_the_description(manager: ManagerProcess, file: str, side: str) -> None:
    schema = schemathesis.openapi.from_path(DOCS / file)
    base = getattr(manager, side).rstrip("/")
    for result in schema.get_all_operations():
        operation = result.ok()

        @seed(20261123)
        @settings(
            max_examples=BY_SCHEMA,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            answer = case.call(base_url=base)
            fine = answer.status_code < 500 or (case.path == "/groups/resident" and answer.status_code in ALLOWED)
            assert fine, (case.method, case.path, answer.status_code, answer.text)

        check()
    check_alive(manager)
