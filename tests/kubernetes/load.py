"""A client as a process, `load.py URL REPORT`: sends transactions, several a second, until it is told to end."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
from eth_account import Account

INTERVAL_SECONDS = 0.2
ANSWER_SECONDS = 15.0
CONNECT_SECONDS = 1.0
BEGUN = "begun"
"""It says so before its first transaction."""


async def send(url: str) -> dict[str, Any]:
    """Send until SIGTERM; the report."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    failed: list[str] = []
    account, nonce, head, since, gap = Account.create(), 0, 0, time.monotonic(), 0.0
    async with httpx2.AsyncClient(timeout=httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)) as client:

        async def call(method: str, *params: Any) -> Any:
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            answer = (await client.post(url, json=body)).json()
            if "error" in answer:
                raise ValueError(f"{method}: {answer['error']}")
            return answer["result"]

        chain = int(await call("eth_chainId"), 16)
        sys.stdout.write(f"{BEGUN}\n")
        sys.stdout.flush()
        while not ended.is_set():
            fields = {"nonce": nonce, "to": account.address, "value": 0, "gas": 21000, "gasPrice": 0, "chainId": chain}
            signed = account.sign_transaction(fields)
            try:
                await call("eth_sendRawTransaction", signed.raw_transaction.to_0x_hex())
                nonce += 1
                now = int(await call("eth_blockNumber"), 16)
            except (httpx2.HTTPError, ValueError) as error:
                failed.append(f"{type(error).__name__}: {error}")
            else:
                if now > head:
                    head, since = now, time.monotonic()
                gap = max(gap, time.monotonic() - since)
            try:
                await asyncio.wait_for(ended.wait(), INTERVAL_SECONDS)
            except TimeoutError:
                continue
    return {"sent": nonce, "failed": failed, "gap": gap}


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(asyncio.run(send(sys.argv[1]))))
