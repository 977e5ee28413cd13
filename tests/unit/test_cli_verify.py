"""`muniment verify`: what it prints, where it asks, and how it ends."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from muniment.cli.verify import verify
from muniment.kernel.encoding import to_hex
from muniment.kernel.errors import InputError
from muniment.proof import contract
from muniment.proof.contract import RUNTIME_CODE
from muniment.proof.receipt import MalformedReceiptError
from muniment.proof.unixfs import summary_of
from tests.unit.proofs import (
    ANCHOR,
    ANCHORED,
    BLOCK,
    BLOCK_HASH,
    CHAIN_ID,
    CONTENTS,
    HEADER,
    SEQ,
    SUBMITTER,
    TIME,
    TREE,
    AnchorLog,
    pending_receipt,
    receipt_of,
)

ENTRY = b"".join(value.to_bytes(32) for value in (SEQ, TREE.size, TIME, BLOCK))
ANSWERS: dict[str, Any] = {
    "eth_chainId": hex(CHAIN_ID),
    "eth_getCode": to_hex(RUNTIME_CODE),
    "eth_blockNumber": hex(BLOCK + 1),
    to_hex(contract.encode_get(SUBMITTER, ANCHORED.root)): to_hex(ENTRY),
    to_hex(contract.encode_digest_of(SUBMITTER, ANCHORED.root)): to_hex(HEADER.digest()),
    "eth_getBlockByNumber": {"hash": to_hex(BLOCK_HASH), "timestamp": hex(TIME)},
    "eth_getTransactionReceipt": {"blockHash": to_hex(BLOCK_HASH), "logs": [AnchorLog().json()]},
}
"""What a node says when everything is as the receipt has it; views by their call data."""


@contextlib.contextmanager
def node(**changes: Any) -> Iterator[str]:
    """A node that answers one batch of questions; gives its URL."""
    answers = ANSWERS | changes

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            calls = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert isinstance(calls, list), "one request, so that one node answers all of it"
            body = json.dumps([{"jsonrpc": "2.0", "id": call["id"], "result": self.answer(call)} for call in calls])
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def answer(self, call: dict[str, Any]) -> Any:
            if call["method"] == "eth_call":
                return answers.get(call["params"][0]["data"], "0x" + "00" * 128)
            return answers[call["method"]]

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(CONTENTS[1])
    (tmp_path / "receipt").write_text(receipt_of(1).to_json())
    return tmp_path


def run(place: Path, *options: str | Path) -> Result:
    arguments = [place / "file", "--receipt", place / "receipt", "--state", place / "state", *options]
    return CliRunner().invoke(verify, [str(argument) for argument in arguments])


def document(place: Path, *options: str | Path) -> dict[str, Any]:
    result = run(place, "--json", *options)
    told = json.loads(result.stdout)
    assert isinstance(told, dict)
    return told | {"exit": result.exit_code}


def test_proved(place: Path) -> None:
    with node() as url:
        told = document(place, "--rpc", url)
        lines = run(place, "--rpc", url).stdout.splitlines()
    assert (told["verdict"], told["exit"]) == ("proved", 0)
    assert {step["state"] for step in told["steps"]} == {"ok"}
    assert told["proved"]["sha256"] == summary_of(CONTENTS[1]).sha256.hex()
    assert len(lines) == len(told["steps"]) + 1
    assert lines[-1].startswith("PROVED")
    assert "not later than 2023-11-14T22:13:23+00:00" in lines[-1]


def test_a_changed_file_is_disproved_without_asking_anybody(place: Path) -> None:
    (place / "file").write_bytes(b"changed")
    told = document(place, "--rpc", "http://127.0.0.1:1")
    assert (told["verdict"], told["exit"], told["proved"]) == ("disproved", 1, {})
    assert {step["name"] for step in told["steps"] if step["state"] == "failed"} == {"file", "CID"}
    assert run(place).stdout.splitlines()[-1].startswith("DISPROVED")


@pytest.mark.parametrize(
    "changes",
    [
        {to_hex(contract.encode_get(SUBMITTER, ANCHORED.root)): "0x" + "00" * 128},
        {to_hex(contract.encode_digest_of(SUBMITTER, ANCHORED.root)): "0x" + "11" * 32},
        {"eth_getBlockByNumber": {"hash": "0x" + "11" * 32, "timestamp": hex(TIME)}},
        {"eth_getBlockByNumber": None},
        {"eth_getTransactionReceipt": None},
    ],
)
def test_a_chain_that_says_otherwise_disproves(place: Path, changes: dict[str, Any]) -> None:
    with node(**changes) as url:
        told = document(place, "--rpc", url)
    assert (told["verdict"], told["exit"]) == ("disproved", 1)


@pytest.mark.parametrize("changes", [{"eth_chainId": "0x1"}, {"eth_getCode": "0x"}, {"eth_getCode": "0x6000"}])
def test_another_chain_is_not_trusted(place: Path, changes: dict[str, Any]) -> None:
    with node(**changes) as url:
        told = document(place, "--rpc", url)
        last = run(place, "--rpc", url).stdout.splitlines()[-1]
    assert (told["verdict"], told["exit"]) == ("not trusted", 4)
    assert last.startswith("NOT TRUSTED")


@pytest.mark.parametrize("changes", [{"eth_blockNumber": hex(BLOCK - 1)}, {"eth_chainId": None}, {"eth_getCode": "?"}])
def test_a_node_that_cannot_tell_leaves_it_incomplete(place: Path, changes: dict[str, Any]) -> None:
    with node(**changes) as url:
        told = document(place, "--rpc", url)
    assert (told["verdict"], told["exit"]) == ("incomplete", 5)
    assert "ask another" in told["steps"][-1]["detail"]


def test_no_chain_leaves_it_incomplete_with_the_cause(place: Path) -> None:
    told = document(place)
    assert (told["verdict"], told["exit"]) == ("incomplete", 5)
    assert [step["state"] for step in told["steps"]] == ["ok"] * 5 + ["not checked"] * 4
    assert "--rpc" in told["steps"][-1]["detail"]
    told = document(place, "--rpc", "http://127.0.0.1:1")
    assert told["exit"] == 5
    assert "127.0.0.1:1" in told["steps"][-1]["detail"]
    assert run(place).stdout.splitlines()[-1].startswith("INCOMPLETE")


@pytest.mark.parametrize("member", ["alpha", "gamma"])
def test_the_gateway_of_the_state_directory_is_asked(place: Path, member: str) -> None:
    with node() as url:
        (place / "state").mkdir()
        members = {"beta": {"rpc": url if member == "gamma" else "http://127.0.0.1:1"}, member: {"rpc": url}}
        (place / "state" / "endpoints.json").write_text(json.dumps({"members": members}))
        assert document(place)["verdict"] == "proved"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"members": {}}', '{"members": {"alpha": 1}}', "\x00"])
def test_damaged_endpoints_leave_it_incomplete_with_the_cause(place: Path, text: str) -> None:
    (place / "state").mkdir()
    (place / "state" / "endpoints.json").write_text(text)
    told = document(place)
    assert told["verdict"] == "incomplete"
    assert "endpoints.json" in told["steps"][-1]["detail"]


def test_a_receipt_that_is_pending_is_incomplete(place: Path) -> None:
    (place / "receipt").write_text(pending_receipt(1).to_json())
    told = document(place)
    assert told["verdict"] == "incomplete"
    assert "fetch it again" in told["steps"][-1]["detail"]


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"{}", bytes(300_000), CONTENTS[1]])
def test_a_malformed_receipt(place: Path, content: bytes) -> None:
    (place / "receipt").write_bytes(content)
    result = run(place)
    assert isinstance(result.exception, MalformedReceiptError)
    assert result.exception.exit_status == 3
    assert str(place / "receipt") in str(result.exception)
    assert result.stdout == ""
    told = document(place)
    assert told["verdict"] == "malformed"
    assert [step["name"] for step in told["steps"]] == ["receipt"]


def test_missing_files_are_wrong_usage(place: Path) -> None:
    (place / "file").rename(place / "elsewhere")
    result = run(place)
    assert result.exit_code == 2
    assert "file" in result.stderr


def test_a_file_that_cannot_be_read(place: Path) -> None:
    (place / "file").unlink()
    (place / "file").symlink_to("/proc/self/mem")
    result = run(place)
    assert isinstance(result.exception, InputError)
    assert "cannot be read" in str(result.exception)


def test_a_name_in_chinese(place: Path) -> None:
    (place / "file").rename(place / "公證文件.txt")
    arguments = [str(place / "公證文件.txt"), "--receipt", str(place / "receipt"), "--json", "--state", str(place)]
    told = json.loads(CliRunner().invoke(verify, arguments).stdout)
    assert told["file"].endswith("公證文件.txt")
    assert ANCHOR.seq == SEQ
