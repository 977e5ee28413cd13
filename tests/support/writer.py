"""Load on the chain: transactions signed here and sent through a gateway, each followed to its block."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils import keccak

from tests.support import rpc

RESEND_SECONDS = 4.0
"""Longer than a few blocks: what is unmined by then may be lost."""


def send_raw(url: str, raw: bytes) -> str:
    """Send signed bytes; that the pool or the chain has them already is as good. Returns the hash."""
    try:
        return str(rpc.call(url, "eth_sendRawTransaction", "0x" + raw.hex()))
    except rpc.RpcError as refusal:
        if any(known in str(refusal) for known in ("already known", "known transaction", "nonce too low")):
            return "0x" + keccak(raw).hex()
        raise


def sign_transaction(account: LocalAccount, nonce: int, chain_id: int) -> bytes:
    """An empty transfer to oneself with gas price 0."""
    signed = account.sign_transaction(
        {"to": account.address, "value": 0, "gas": 21000, "gasPrice": 0, "nonce": nonce, "chainId": chain_id}
    )
    return bytes(signed.raw_transaction)


def send_transaction(url: str, account: LocalAccount, nonce: int, chain_id: int) -> str:
    """Sign and send an empty transfer; returns its hash."""
    return send_raw(url, sign_transaction(account, nonce, chain_id))


@dataclass
class Writer:
    """Sends transactions every `interval` seconds until it is stopped.

    As a client of a chain must, it sends its unmined transactions again: what a node had accepted and not yet passed on
    dies with the node. `sent` holds the hashes in order of the nonces.
    """

    url: str
    interval: float = 0.1
    sent: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Writer:
        self._account: LocalAccount = Account.create()
        self._chain_id = int(rpc.call(self.url, "eth_chainId"), 16)
        self._raw: list[bytes] = []
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        resend_at = time.monotonic() + RESEND_SECONDS
        while not self._stop.is_set():
            try:
                raw = sign_transaction(self._account, len(self._raw), self._chain_id)
                self.sent.append(send_raw(self.url, raw))
                self._raw.append(raw)
                if time.monotonic() > resend_at:
                    self._resend()
                    resend_at = time.monotonic() + RESEND_SECONDS
            except (OSError, rpc.RpcError) as error:
                self.failures.append(str(error))
            self._stop.wait(self.interval)

    def _resend(self) -> None:
        mined = int(rpc.call(self.url, "eth_getTransactionCount", self._account.address, "latest"), 16)
        for raw in self._raw[mined:]:
            send_raw(self.url, raw)


@dataclass
class HeadWatcher:
    """Remembers every block that any of the nodes ever showed as its head: number to the hashes seen, and when it was
    seen first."""

    urls: list[str]
    seen: dict[int, set[str]] = field(default_factory=dict)
    first_seen: dict[int, float] = field(default_factory=dict)
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

    @property
    def longest_gap(self) -> float:
        """The longest time in seconds between two blocks, as far as they were seen."""
        times = [self.first_seen[number] for number in sorted(self.first_seen)]
        return max((after - before for before, after in itertools.pairwise(times)), default=0.0)

    def _watch(self, url: str) -> None:
        while not self._stop.is_set():
            try:
                block = rpc.call(url, "eth_getBlockByNumber", "latest", False, timeout=2)
                self.first_seen.setdefault(int(block["number"], 16), time.monotonic())
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
