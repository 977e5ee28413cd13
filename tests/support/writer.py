"""Load on the chain: transactions signed here and sent through a gateway, each followed to its block."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from eth_account import Account
from eth_account.signers.local import LocalAccount

from tests.support import rpc


def send_transaction(url: str, account: LocalAccount, nonce: int, chain_id: int) -> str:
    """Sign and send an empty transfer to oneself with gas price 0; returns its hash."""
    signed = account.sign_transaction(
        {"to": account.address, "value": 0, "gas": 21000, "gasPrice": 0, "nonce": nonce, "chainId": chain_id}
    )
    try:
        return str(rpc.call(url, "eth_sendRawTransaction", "0x" + signed.raw_transaction.hex()))
    except rpc.RpcError as failure:
        # A gateway that repeats a request on another node may meet its own first attempt there.
        if "already known" in str(failure) or "known transaction" in str(failure):
            return "0x" + signed.hash.hex()
        raise


@dataclass
class Writer:
    """Sends transactions every `interval` seconds until it is stopped; `sent` maps hash to nonce."""

    url: str
    interval: float = 0.1
    sent: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Writer:
        self._account: LocalAccount = Account.create()
        self._chain_id = int(rpc.call(self.url, "eth_chainId"), 16)
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        nonce = 0
        while not self._stop.is_set():
            try:
                self.sent[send_transaction(self.url, self._account, nonce, self._chain_id)] = nonce
                nonce += 1
            except (OSError, rpc.RpcError) as error:
                self.failures.append(str(error))
            self._stop.wait(self.interval)


@dataclass
class HeadWatcher:
    """Remembers every block that any of the nodes ever showed as its head: number to the hashes seen."""

    urls: list[str]
    seen: dict[int, set[str]] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> HeadWatcher:
        self._threads = [threading.Thread(target=self._watch, args=(url,), daemon=True) for url in self.urls]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop watching; what was seen stays."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _watch(self, url: str) -> None:
        while not self._stop.is_set():
            try:
                block = rpc.call(url, "eth_getBlockByNumber", "latest", False, timeout=2)
                self.seen.setdefault(int(block["number"], 16), set()).add(block["hash"])
            except (OSError, rpc.RpcError):
                pass
            self._stop.wait(0.05)


def longest_gap(url: str, seconds: float) -> float:
    """Watch the head for so many seconds; the longest time in which it did not move."""
    end = time.monotonic() + seconds
    last, last_change, longest = -1, time.monotonic(), 0.0
    tick = threading.Event()
    while (now := time.monotonic()) < end:
        try:
            current = rpc.head(url)
        except (OSError, rpc.RpcError):
            current = last
        if current != last:
            last, last_change = current, now
        longest = max(longest, now - last_change)
        tick.wait(0.05)
    return longest
