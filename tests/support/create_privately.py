"""`create_privately.py URL KEY…`: create the small contract of the tests for these parties besides the sender's member.

Prints its address and its block as JSON. The transaction is signed here, the payload is stored through the gateway.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence

from eth_account import Account

from muniment.clients.private_transactions import Parties, PrivateTransactions
from muniment.clients.quorum import QuorumClient
from muniment.kernel.waiting import NotYetError, wait_for
from tests.support.private import CREATION

MINED_SECONDS = 60


async def create(url: str, keys: Sequence[str]) -> dict[str, object]:
    """Create it, and wait for its block."""
    async with QuorumClient(url) as client:
        transaction = await PrivateTransactions(client, Account.create()).send(CREATION, Parties(list(keys)))

        async def mined() -> dict[str, object]:
            receipt = await client.call("eth_getTransactionReceipt", [transaction])
            if not isinstance(receipt, dict):
                raise NotYetError("it is in no block")
            return {"contract": receipt["contractAddress"], "block": int(str(receipt["blockNumber"]), 16)}

        return await wait_for("the contract", mined, timeout=MINED_SECONDS)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(create(sys.argv[1], sys.argv[2:]))))
