"""Private contracts on the running consortium, beside public ones and beside a manager that keeps payloads in memory.

All on the same nodes in one run: for the baseline the nodes are stopped in order and started again with another
address of their manager. Each rate is from the first request to the block of the last contract. For transactions that
are signed outside the node the signing, which is done between the two steps, is not counted.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx2
from eth_account import Account

from benchmarks.lean import Request, ask_all
from muniment.clients.private_transactions import GAS, Parties, sign_private
from tests.support import rpc
from tests.support.consortium import Consortium
from tests.support.databases import free_port
from tests.support.plain_manager import plain_manager
from tests.support.private import CREATION, KEEPER, Private
from tests.support.waiting import MENDED, wait_until

SENDER = "alpha-1"
AT_A_TIME = 20
CONTRACTS = 1_500
KILLS = 5
MINED_SECONDS = 120
GOAL = 0.8
"""Of the rate with the do-nothing manager."""

MANAGER = "--ptm.url"
CONTRACT_GAS = "0x7a120"


def measure(consortium: Consortium) -> list[tuple[str, str, str]]:
    """Contracts per second: public, private with our managers, private with the baseline; and a killed manager."""
    consortium.wait_ready()
    private = Private(consortium)
    parties = private.parties("beta")
    restarts = _serves_again(consortium)
    public = _held_by_node(private, None)
    ours = (_held_by_node(private, parties), _signed_outside(private, parties))
    with _plain_managers(private):
        plain = (_held_by_node(private, parties), _signed_outside(private, parties))
    goal = f"≥ {GOAL} × do-nothing"
    ways = ("signed by the node", "signed outside")
    return [
        (f"public contracts, {AT_A_TIME} at a time at one node, {ways[0]}", f"{public:.0f}/s", ""),
        *(
            (f"private contracts, do-nothing manager, {way}", f"{rate:.0f}/s = {rate / public:.2f} × public", "")
            for way, rate in zip(ways, plain, strict=True)
        ),
        *(
            (
                f"private contracts, {way}",
                f"{rate:.0f}/s = {rate / base:.2f} × do-nothing, {rate / public:.2f} × public",
                goal,
            )
            for way, rate, base in zip(ways, ours, plain, strict=True)
        ),
        ("a manager is killed: until it serves again", " / ".join(f"{one:.1f}" for one in restarts) + " s", ""),
    ]


def _held_by_node(private: Private, parties: Parties | None) -> float:
    """By `eth_sendTransaction` from an account that the node holds."""
    account = private.unlock(SENDER)
    private.consortium.wait_ready()
    wanted = {"from": account, "gas": CONTRACT_GAS, "gasPrice": "0x0", "data": "0x" + CREATION.hex()}
    wanted |= parties.arguments() if parties else {}
    url = private.url(SENDER)
    begun = time.monotonic()
    last = _calls(url, [("eth_sendTransaction", wanted)] * CONTRACTS)[-1]
    _wait_mined(url, account)
    seconds = time.monotonic() - begun
    _check(private, str(last))
    return CONTRACTS / seconds


def _signed_outside(private: Private, parties: Parties) -> float:
    """By `eth_fillTransaction`, which stores the payload, and `eth_sendRawPrivateTransaction`."""
    account = Account.create()
    url = private.url(SENDER)
    fixed = {"from": account.address, "data": "0x" + CREATION.hex(), "nonce": "0x0", "gas": hex(GAS), "gasPrice": "0x0"}
    begun = time.monotonic()
    filled = _calls(url, [("eth_fillTransaction", fixed | parties.arguments())] * CONTRACTS)
    storing = time.monotonic() - begun
    hashes = [bytes.fromhex(one["tx"]["input"][2:]) for one in filled]
    signed = [sign_private(account, nonce=nonce, payload_hash=one) for nonce, one in enumerate(hashes)]
    begun = time.monotonic()
    last = _calls(url, [("eth_sendRawPrivateTransaction", "0x" + raw.hex(), parties.arguments()) for raw in signed])[-1]
    _wait_mined(url, account.address)
    seconds = storing + time.monotonic() - begun
    _check(private, str(last))
    return CONTRACTS / seconds


def _calls(url: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Their results, in order."""
    requests: list[Request] = []
    for method, *params in calls:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        requests.append(("POST", "/", body.encode()))
    answers = [json.loads(body) for _, body in ask_all(url, requests, at_a_time=AT_A_TIME).answers]
    refused = [answer["error"] for answer in answers if "error" in answer]
    assert not refused, f"{len(refused)} of {len(answers)} were refused: {refused[0]}"
    return [answer["result"] for answer in answers]


def _wait_mined(url: str, account: str) -> None:
    def all_mined() -> bool:
        return int(rpc.call(url, "eth_getTransactionCount", account, "latest"), 16) == CONTRACTS

    wait_until("all contracts in blocks", all_mined, timeout=MINED_SECONDS, interval=0.02)


def _check(private: Private, transaction: str) -> None:
    """The contract exists at both members: nothing was measured that did not happen."""
    receipt = private.mined(private.url(SENDER), transaction)
    private.caught_up(["beta-1"], int(receipt["blockNumber"], 16))
    codes = {private.code(node, receipt["contractAddress"]) for node in (SENDER, "beta-1")}
    assert codes == {"0x" + KEEPER.hex()}, codes


@contextmanager
def _plain_managers(private: Private) -> Iterator[None]:
    """All nodes ask one do-nothing manager instead of ours, which go on running."""
    consortium = private.consortium
    nodes = consortium.names("node")
    keys = {node: private.key(node.partition("-")[0]) for node in nodes}
    ports = {node: free_port() for node in nodes}
    log = consortium.folder / "plain-manager.log"
    with plain_manager({ports[node]: keys[node] for node in nodes}, log):
        before = {node: _restart_with(consortium, node, f"http://127.0.0.1:{ports[node]}") for node in nodes}
        consortium.wait_ready()
        try:
            yield
        finally:
            for node, url in before.items():
                _restart_with(consortium, node, url)
            consortium.wait_ready()


def _restart_with(consortium: Consortium, node: str, manager: str) -> str:
    """Stop a node in order, and let it be started with this manager; the URL of the one before."""
    launch = consortium.state / "config" / node / "launch.json"
    description = json.loads(launch.read_text())
    place = description["arguments"].index(MANAGER) + 1
    before, description["arguments"][place] = description["arguments"][place], manager
    launch.write_text(json.dumps(description))
    pid = consortium.workload(node)["pid"]
    os.kill(pid, signal.SIGTERM)
    consortium.wait_mended(node, pid, timeout=MENDED)
    return str(before)


def _serves_again(consortium: Consortium) -> list[float]:
    """Seconds from kill -9 of a manager until its node could use it again."""
    url = consortium.endpoint("alpha-privacy-1", "q2t") + "/upcheck"

    def serves() -> bool:
        try:
            return httpx2.get(url, timeout=10).status_code == 200
        except httpx2.HTTPError as error:
            raise AssertionError(str(error)) from error

    seconds = []
    for _ in range(KILLS):
        consortium.wait_ready()
        consortium.kill("alpha-privacy-1")
        begun = time.monotonic()
        wait_until("the manager", serves, timeout=MENDED, interval=0.01)
        seconds.append(time.monotonic() - begun)
    return seconds
