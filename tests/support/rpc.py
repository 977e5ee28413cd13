"""JSON-RPC as a plain client would speak it, and a client that never stops asking."""

from __future__ import annotations

import atexit
import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx2

_ids = itertools.count(1)
# One client for all threads: making one costs more than a request.
_http = httpx2.Client(trust_env=False, verify=False, limits=httpx2.Limits(max_connections=None))
atexit.register(_http.close)


class RpcError(AssertionError):
    """The node answered with a JSON-RPC error."""


def call(url: str, method: str, *params: Any, timeout: float = 5.0) -> Any:
    """One request; raises `OSError` when there is no answer and `RpcError` on an error answer."""
    request = {"jsonrpc": "2.0", "id": next(_ids), "method": method, "params": list(params)}
    try:
        answer = _http.post(url, json=request, timeout=timeout)
        answer.raise_for_status()
    except httpx2.HTTPError as error:
        raise OSError(f"{method} at {url}: {error!r}") from error
    body = answer.json()
    if "error" in body:
        raise RpcError(f"{method} at {url}: {body['error']}")
    return body["result"]


def head(url: str) -> int:
    """Number of the newest block."""
    return int(call(url, "eth_blockNumber"), 16)


def block_hash(url: str, number: int) -> str | None:
    """Hash of the block with this number; None when the node has none."""
    block = call(url, "eth_getBlockByNumber", hex(number), False)
    return block and block["hash"]


@dataclass
class SteadyClient:
    """Asks the gateway for its head every `interval` seconds until it is stopped, and keeps every failure."""

    url: str
    interval: float = 0.05
    requests: int = 0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> SteadyClient:
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                head(self.url)
            except (OSError, RpcError) as error:
                self.failures.append(str(error))
            took = time.monotonic() - begun
            self.requests += 1
            self.slowest = max(self.slowest, took)
            self._stop.wait(max(0.0, self.interval - took))
