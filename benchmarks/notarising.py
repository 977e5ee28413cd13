"""Files of 4 KiB per second, 16 requests at a time, beside one cluster add and one transaction per file."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
from eth_account import Account

from tests.support import rpc
from tests.support.consortium import Consortium
from tests.support.waiting import wait_until
from tests.support.writer import send_transaction

FILE_BYTES = 4096
AT_A_TIME = 16
BASELINE_FILES = 640
SINGLE_FILES = 3_200
BULK_FILES = 16_000
FILES_PER_BULK_REQUEST = 250


def measure(consortium: Consortium) -> list[tuple[str, str, str]]:
    """Rates of the baseline, of single-file requests and of bulk requests, to anchored."""
    consortium.wait_ready()
    baseline = _baseline(consortium)
    single = _notary(consortium, SINGLE_FILES, 1)
    bulk = _notary(consortium, BULK_FILES, FILES_PER_BULK_REQUEST)
    return [
        ("baseline: one cluster add and one transaction per file, 16 at a time", f"{baseline:.0f} files/s", ""),
        ("notary, one file a request, to anchored", f"{single:.0f} files/s = {single / baseline:.1f} ×", "30 ×"),
        (
            f"notary, {FILES_PER_BULK_REQUEST} files a request, to anchored",
            f"{bulk:.0f} files/s = {bulk / baseline:.1f} ×",
            "30 ×",
        ),
    ]


def _in_parallel(work: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(work, range(AT_A_TIME)))


def _baseline(consortium: Consortium) -> float:
    """What one would do without batches, and without waiting for each block: the strongest simple way."""
    gateway = consortium.member("alpha")["rpc"]
    cluster = consortium.endpoint("alpha-cluster-1", "api")
    password = (consortium.state / "identity" / "alpha" / "cluster-rest-password").read_text().strip()
    chain_id = int(rpc.call(gateway, "eth_chainId"), 16)
    add = {
        "replication-min": 2,
        "replication-max": 3,
        "stream-channels": "false",
        "cid-version": 1,
        "raw-leaves": "true",
    }

    def work(_worker: int) -> tuple[str, int]:
        account = Account.create()
        count = BASELINE_FILES // AT_A_TIME
        with httpx2.Client(auth=("muniment", password), timeout=60) as client:
            for nonce in range(count):
                client.post(f"{cluster}/add", params=add, files={"file": os.urandom(FILE_BYTES)}).raise_for_status()
                send_transaction(gateway, account, nonce, chain_id)
        return account.address, count

    begun = time.monotonic()
    for address, count in _in_parallel(work):
        wait_until(
            "all transactions mined",
            lambda address=address, count=count: (
                int(rpc.call(gateway, "eth_getTransactionCount", address, "latest"), 16) == count
            ),
            timeout=60,
        )
    return BASELINE_FILES / (time.monotonic() - begun)


def _notary(consortium: Consortium, files: int, per_request: int) -> float:
    """Upload all, `AT_A_TIME` requests at a time, and wait until the last is anchored."""
    notary = consortium.member("alpha")["notary"]
    requests = files // per_request // AT_A_TIME

    def work(_worker: int) -> list[str]:
        accepted: list[str] = []
        with httpx2.Client(timeout=120) as client:
            for _ in range(requests):
                parts = [("file", (str(uuid.uuid4()), os.urandom(FILE_BYTES))) for _ in range(per_request)]
                answer = client.post(f"{notary}/v1/files", files=parts)
                answer.raise_for_status()
                accepted += [file["id"] for file in answer.json()["files"]]
        return accepted

    begun = time.monotonic()
    accepted = [identifier for ids in _in_parallel(work) for identifier in ids]
    last = accepted[-1]

    def all_anchored() -> bool:
        with httpx2.Client(timeout=60) as client:
            states = {
                client.get(f"{notary}/v1/files/{identifier}").json()["state"]
                for identifier in {last, *accepted[:: max(1, len(accepted) // AT_A_TIME)]}
            }
        return states == {"anchored"}

    wait_until("all files anchored", all_anchored, timeout=300)
    return len(accepted) / (time.monotonic() - begun)
