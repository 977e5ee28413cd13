"""A process that looks like a node to the gateway and the agent: JSON-RPC and WebSocket, its state set from outside.

`python -m tests.support.fake_node NAME RPC_PORT WS_PORT`. The method `test_set` changes its state; `web3_clientVersion`
answers its name, so that a client sees which node it got. With `dies_at` it dies at that call, unanswered. On
WebSocket it answers every message with its name.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

STATE: dict[str, Any] = {"head": 100, "time": 1_700_000_000, "peers": 3, "syncing": False, "asked": {}, "dies_at": None}


def result(name: str, method: str, params: list[Any]) -> Any:
    """What the node answers to one call."""
    answers = {
        "eth_getBlockByNumber": {"number": hex(STATE["head"]), "timestamp": hex(STATE["time"])},
        "eth_blockNumber": hex(STATE["head"]),
        "net_peerCount": hex(STATE["peers"]),
        "eth_syncing": STATE["syncing"],
        "web3_clientVersion": name,
        "test_asked": STATE["asked"].get("web3_clientVersion", 0),
    }
    if method == "test_set":
        STATE.update(params[0])
        return True
    if method == STATE["dies_at"]:
        os.kill(os.getpid(), signal.SIGKILL)
    if method == "test_length":
        return len(params[0])
    return answers.get(method)


class Handler(BaseHTTPRequestHandler):
    """Answers single calls and batches, keeping connections open."""

    protocol_version = "HTTP/1.1"
    name = ""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answers = [self.answer(call) for call in body] if isinstance(body, list) else self.answer(body)
        text = json.dumps(answers, separators=(",", ":")).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        method = call["method"]
        STATE["asked"][method] = STATE["asked"].get(method, 0) + 1
        return {"jsonrpc": "2.0", "id": call["id"], "result": result(self.name, method, call["params"])}

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def main(name: str, rpc_port: int, ws_port: int) -> None:
    """Serve until killed."""
    Handler.name = name

    def echo(connection: ServerConnection) -> None:
        try:
            for _ in connection:
                connection.send(name)
        except ConnectionClosed:
            return

    ThreadingHTTPServer.daemon_threads = True
    sockets = serve(echo, "127.0.0.1", ws_port)
    threading.Thread(target=sockets.serve_forever, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", rpc_port), Handler).serve_forever(poll_interval=3600)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
