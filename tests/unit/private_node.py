"""A node with a privacy manager, in memory: takes private transactions as GoQuorum does, and loses answers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import rlp
from eth_hash.auto import keccak
from eth_keys.datatypes import Signature

URL = "http://node"


class RefusalError(Exception):
    """Becomes a JSON-RPC error."""


@dataclass(frozen=True)
class Taken:
    """A transaction that the node took."""

    nonce: int
    sender: str
    payload_hash: bytes
    to: bytes
    parties: dict[str, Any]


def read_private(raw: bytes) -> tuple[int, str, bytes, bytes]:
    """Nonce, sender, recipient and data of a private transaction: signed like Homestead's, its v greater by ten."""
    fields = rlp.decode(raw)
    v, r, s = (int.from_bytes(part, "big") for part in fields[6:])
    assert v in (37, 38), v
    signed = keccak(rlp.encode(fields[:6]))
    sender = Signature(vrs=(v - 37, r, s)).recover_public_key_from_msg_hash(signed).to_checksum_address()
    return int.from_bytes(fields[0], "big"), sender, bytes(fields[3]), bytes(fields[5])


@dataclass
class PrivateNode:
    """`lost` are methods whose next call is carried out and not answered; `away` those whose next call fails at once.

    Nothing is mined before `mine`, unless `mines` is set.
    """

    mines: bool = False
    status: str = "0x1"
    lost: list[str] = field(default_factory=list)
    away: list[str] = field(default_factory=list)
    stored: dict[bytes, bytes] = field(default_factory=dict)
    waiting: dict[str, Taken] = field(default_factory=dict)
    mined: dict[str, Taken] = field(default_factory=dict)
    sent: list[bytes] = field(default_factory=list)
    asked: list[tuple[str, list[Any]]] = field(default_factory=list)

    def transport(self) -> httpx2.MockTransport:
        """The network of a client of this node."""
        return httpx2.MockTransport(self._respond)

    @contextlib.contextmanager
    def served(self) -> Iterator[str]:
        """The node on a real port; gives its URL."""
        node = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = node.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

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

    def mine(self) -> None:
        """Put everything that waits into a block."""
        self.mined |= self.waiting
        self.waiting.clear()

    def forget(self) -> None:
        """Lose what waits, as a node that dies before it passed it on."""
        self.waiting.clear()

    def answer(self, request: dict[str, Any]) -> bytes:
        """The body of the answer to one JSON-RPC call."""
        method, params = request["method"], request["params"]
        self.asked.append((method, params))
        try:
            said: dict[str, Any] = {"result": self._methods()[method](*params)}
        except RefusalError as error:
            said = {"error": {"code": -32000, "message": str(error)}}
        return json.dumps({"jsonrpc": "2.0", "id": request["id"]} | said).encode()

    def count(self, method: str) -> int:
        """How often a method was called."""
        return sum(one == method for one, _ in self.asked)

    def _methods(self) -> dict[str, Callable[..., Any]]:
        return {
            "eth_fillTransaction": self._fill,
            "eth_getTransactionCount": self._count,
            "eth_sendRawPrivateTransaction": self._take,
            "eth_getTransactionByHash": self._find,
            "eth_getTransactionReceipt": self._receipt,
        }

    def _respond(self, request: httpx2.Request) -> httpx2.Response:
        call = json.loads(request.content)
        if call["method"] in self.away:
            self.away.remove(call["method"])
            return httpx2.Response(503, text="no node is fit")
        body = self.answer(call)
        if call["method"] in self.lost:
            self.lost.remove(call["method"])
            raise httpx2.ReadError("connection reset")
        return httpx2.Response(200, content=body)

    def _fill(self, wanted: dict[str, Any]) -> Any:
        data = bytes.fromhex(wanted["data"][2:])
        payload_hash = hashlib.sha3_512(data + bytes([len(self.stored)])).digest()
        self.stored[payload_hash] = data
        return {"raw": "0x", "tx": {"input": "0x" + payload_hash.hex(), "v": "0x25"}}

    def _count(self, address: str, _block: str) -> str:
        known = [*self.mined.values(), *self.waiting.values()]
        return hex(sum(one.sender == address for one in known))

    def _take(self, text: str, parties: dict[str, Any]) -> str:
        raw = bytes.fromhex(text[2:])
        self.sent.append(raw)
        nonce, sender, to, payload_hash = read_private(raw)
        transaction = "0x" + keccak(raw).hex()
        if payload_hash not in self.stored:
            raise RefusalError("unknown payload")
        if transaction in self.waiting:
            raise RefusalError("already known")
        if any((one.nonce, one.sender) == (nonce, sender) for one in self.mined.values()):
            raise RefusalError("nonce too low")
        if any((one.nonce, one.sender) == (nonce, sender) for one in self.waiting.values()):
            raise RefusalError("replacement transaction underpriced")
        self.waiting[transaction] = Taken(nonce, sender, payload_hash, to, parties)
        if self.mines:
            self.mine()
        return transaction

    def _find(self, transaction: str) -> Any:
        return {"hash": transaction} if transaction in (self.waiting | self.mined) else None

    def _receipt(self, transaction: str) -> Any:
        if transaction not in self.mined:
            return None
        created = None if self.mined[transaction].to else "0x" + "c0" * 20
        return {
            "transactionHash": transaction,
            "status": self.status,
            "blockNumber": "0x7",
            "contractAddress": created,
        }
