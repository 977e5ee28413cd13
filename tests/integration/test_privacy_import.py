"""Databases of Tessera and crux, taken over from real servers by the command line."""

from __future__ import annotations

import json
import sqlite3
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import cbor2
import pytest

from muniment.privacy.boxes import KeyPair
from muniment.privacy.enclave import Enclave
from muniment.privacy.envelope import encode, for_recipient
from muniment.privacy.key_files import write_pair
from muniment.privacy.store import open_store
from muniment.privacy.values import Payload
from tests.support.consortium import muniment
from tests.support.databases import DatabaseServer, MariaDb, PostgreSql, free_port

pytestmark = pytest.mark.anyio

OURS, THEIRS, OTHERS = KeyPair.generate(), KeyPair.generate(), KeyPair.generate()
ENCLAVE, THEIR_ENCLAVE = Enclave([OURS]), Enclave([THEIRS])


def cbor(payload: Payload) -> bytes:
    """As late versions of Tessera write it: a sequence of items."""
    items = [
        payload.sender, payload.ciphertext, payload.nonce, payload.recipient_nonce, list(payload.boxes),
        list(payload.recipients), int(payload.flag), [], b"", [], b"",
    ]  # fmt: skip
    return b"".join(cbor2.dumps(item) for item in items)


SENT = ENCLAVE.seal(b"sent" * 30000, OURS.public, [THEIRS.public, OURS.public])
GOT = for_recipient(THEIR_ENCLAVE.seal(b"got", THEIRS.public, [OURS.public, THEIRS.public]), OURS.public)
LATE = ENCLAVE.seal(b"late", OURS.public, [THEIRS.public, OURS.public])
RAW = ENCLAVE.seal_raw(b"raw", OURS.public)
FOREIGN = THEIR_ENCLAVE.seal(b"foreign", THEIRS.public, [OTHERS.public, THEIRS.public])
WRONG_HASH = bytes(64)


def field(data: bytes) -> bytes:
    return len(data).to_bytes(8, "big") + data


def crux(payload: Payload) -> bytes:
    """As crux keeps it: payload and recipients beside one another, its buffer with zeros at the end."""
    boxes = len(payload.boxes).to_bytes(8, "big") + b"".join(map(field, payload.boxes))
    inner = field(payload.sender) + field(payload.ciphertext) + field(payload.nonce) + boxes
    inner += field(payload.recipient_nonce)
    keys = len(payload.recipients).to_bytes(8, "big") + b"".join(map(field, payload.recipients))
    return field(inner) + keys + bytes(16)


TESSERA_ROWS = [
    (SENT.hash, encode(SENT), "LEGACY"),
    (GOT.hash, encode(GOT), "LEGACY"),
    (LATE.hash, cbor(LATE), "CBOR"),
    (FOREIGN.hash, encode(FOREIGN), "LEGACY"),
    (WRONG_HASH, encode(GOT), "LEGACY"),
    (bytes(63) + b"\x01", b"damaged", "LEGACY"),
]


@pytest.fixture(scope="module", params=[MariaDb, PostgreSql])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    found: DatabaseServer = request.param(tmp_path_factory.mktemp("source") / "server", free_port())
    try:
        found.start()
        yield found
    finally:
        found.remove()


def config(folder: Path) -> Path:
    """Of a manager with our key, on a database of its own."""
    write_pair(folder / "ours", OURS)
    place = {"host": "127.0.0.1", "port": 1}
    settings = {
        "member": "alpha", "q2t": place, "p2p": place, "status": place, "advertised_url": "http://127.0.0.1:1/",
        "keys": [{"secret_key_file": str(folder / "ours.key")}],
        "database": {"url": "sqlite", "file": str(folder / "ours.sqlite")}, "data_dir": str(folder / "data"),
    }  # fmt: skip
    path = folder / "privacy.json"
    path.write_text(json.dumps(settings))
    return path


def fill(server: DatabaseServer) -> None:
    """Tessera's tables, with the names that its DDL gives each database."""
    blob = "LONGBLOB" if isinstance(server, MariaDb) else "BYTEA"
    key = "VARBINARY(64)" if isinstance(server, MariaDb) else "BYTEA"

    def literal(data: bytes) -> str:
        return f"X'{data.hex()}'" if isinstance(server, MariaDb) else f"'\\x{data.hex()}'"

    server.run(
        f"CREATE TABLE ENCRYPTED_TRANSACTION (HASH {key} NOT NULL PRIMARY KEY, ENCODED_PAYLOAD {blob},"
        f" PAYLOAD_CODEC VARCHAR(50), TIMESTAMP BIGINT)"
    )
    server.run(
        f"CREATE TABLE ENCRYPTED_RAW_TRANSACTION (HASH {key} NOT NULL PRIMARY KEY, ENCRYPTED_PAYLOAD {blob},"
        f" ENCRYPTED_KEY {blob}, NONCE {blob}, SENDER {blob}, TIMESTAMP BIGINT)"
    )
    for payload_hash, encoded, codec in TESSERA_ROWS:
        server.run(
            f"INSERT INTO ENCRYPTED_TRANSACTION VALUES ({literal(payload_hash)}, {literal(encoded)}, '{codec}', 1)"
        )
    values = ", ".join(literal(one) for one in (RAW.hash, RAW.ciphertext, RAW.encrypted_key, RAW.nonce, RAW.sender))
    server.run(f"INSERT INTO ENCRYPTED_RAW_TRANSACTION VALUES ({values}, 1)")


async def test_a_tessera_database_is_taken_over(server: DatabaseServer, tmp_path: Path) -> None:
    fill(server)
    arguments = (
        "privacy", "import", "--from", server.url, "--password-file", server.password_file, "--config",
        config(tmp_path), "--report", tmp_path / "report.json",
    )  # fmt: skip
    dry = muniment(*arguments, "--dry-run", cwd=tmp_path, check=False)
    assert "4 would be imported, 0 were here already, 3 could not be read" in dry.stdout
    done = muniment(*arguments, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "4 imported, 0 were here already, 3 could not be read" in done.stdout
    again = muniment(*arguments, cwd=tmp_path, check=False)
    assert "0 imported, 4 were here already, 3 could not be read" in again.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert {one["hash"] for one in report["unreadable"]} == {
        FOREIGN.hash.hex(), WRONG_HASH.hex(), (bytes(63) + b"\x01").hex(),
    }  # fmt: skip
    store = open_store("sqlite", None, tmp_path / "ours.sqlite")
    for payload, plain in ((SENT, b"sent" * 30000), (GOT, b"got"), (LATE, b"late")):
        kept = await store.payload(payload.hash)
        assert kept is not None
        assert ENCLAVE.open(kept) == plain
    raw = await store.raw(RAW.hash)
    assert raw is not None
    assert ENCLAVE.open_raw(raw) == b"raw"
    await store.close()


async def test_a_crux_table_with_repeated_rows_is_taken_over(tmp_path: Path) -> None:
    source = tmp_path / "crux.sqlite"
    # crux sends without the sender among the recipients: its first box is opened by both ends.
    old = ENCLAVE.seal(b"old", OURS.public, [THEIRS.public])
    with sqlite3.connect(source) as connection:
        connection.execute("CREATE TABLE crux_data (key BLOB, value BLOB)")
        rows = [(old.hash, crux(old)), (old.hash, crux(old)), (GOT.hash, crux(GOT))]
        connection.executemany("INSERT INTO crux_data VALUES (?, ?)", rows)
    done = muniment(
        "privacy", "import", "--from", f"sqlite:///{source}", "--config", config(tmp_path), cwd=tmp_path, check=False
    )
    assert done.stdout.strip() == "2 imported, 1 were here already, 0 could not be read"
    store = open_store("sqlite", None, tmp_path / "ours.sqlite")
    kept = await store.payload(old.hash)
    assert kept is not None
    assert ENCLAVE.open(kept) == b"old"
    await store.close()


def test_another_database_is_refused_in_one_sentence(tmp_path: Path) -> None:
    source = tmp_path / "empty.sqlite"
    sqlite3.connect(source).close()
    done = muniment(
        "privacy", "import", "--from", f"sqlite:///{source}", "--config", config(tmp_path), cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert "no payloads of a known kind" in done.stderr
    assert b64encode(OURS.secret).decode() not in done.stdout + done.stderr
