"""The contract on a chain of one node, used as a stranger would: by web3.py and the ABI, not by our encodings."""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.contract.contract import ContractFunction
from web3.exceptions import ContractCustomError

from muniment.identity.model import account_paths
from muniment.notary.ledger import load_account
from muniment.proof import contract
from muniment.proof.contract import CONTRACT_ADDRESS, Head
from tests.support.goquorum import Chain
from tests.support.ports import port_block
from tests.support.waiting import BLOCKS, STARTED

CHAIN_ID = 4711
SPECIFICATION = {
    "name": "contract",
    "chain": {"id": CHAIN_ID, "empty_block_period_seconds": 1},
    "members": {"alpha": {"nodes": 1, "peers": 0, "notary": False}},
}
ARTIFACT = json.loads(Path(contract.__file__).with_name("anchor_contract.json").read_text())


class Deployed:
    """The contract as a stranger uses it: through web3.py and the compiler's ABI, not through our own encodings."""

    def __init__(self, chain: Chain) -> None:
        self.url = chain.url("alpha-1")
        keystore, passphrase = account_paths("alpha")
        self.admin = load_account(chain.root / "identity" / keystore, chain.root / "identity" / passphrase)
        self.web3 = Web3(Web3.HTTPProvider(self.url))
        self.contract = self.web3.eth.contract(address=Web3.to_checksum_address(CONTRACT_ADDRESS), abi=ARTIFACT["abi"])

    @property
    def functions(self) -> Any:
        """The contract's functions."""
        return self.contract.functions

    def send(self, call: ContractFunction, sender: LocalAccount | None = None) -> Any:
        """The receipt of a mined transaction, refused or not."""
        sender = sender or self.admin
        transaction = call.build_transaction(
            {
                "chainId": CHAIN_ID,
                "from": sender.address,
                "gas": 2_000_000,
                "gasPrice": 0,
                "nonce": self.web3.eth.get_transaction_count(sender.address),
            }
        )
        raw = sender.sign_transaction(transaction).raw_transaction
        return self.web3.eth.wait_for_transaction_receipt(self.web3.eth.send_raw_transaction(raw), BLOCKS, 0.1)

    def refusal(self, call: ContractFunction, sender: LocalAccount | None = None) -> str | None:
        """The error with which the contract refuses a call, by our own decoding."""
        with pytest.raises(ContractCustomError) as refused:
            call.call({"from": (sender or self.admin).address})
        return contract.refusal(bytes.fromhex(str(refused.value.data).removeprefix("0x")))

    def events(self, receipt: Any, name: str) -> list[dict[str, Any]]:
        """Arguments of the events of this name."""
        return [dict(event["args"]) for event in self.contract.events[name]().process_receipt(receipt)]

    def head(self) -> Head:
        """Sequence number and accumulator."""
        return Head(*self.functions.head().call())

    def writer(self) -> LocalAccount:
        """A fresh account that may anchor."""
        account: LocalAccount = Account.create()
        assert self.send(self.functions.setWriter(account.address, True))["status"] == 1
        return account


def fresh() -> bytes:
    """A root or digest that nobody has seen."""
    return secrets.token_bytes(32)


@contextmanager
def one_node() -> Iterator[Deployed]:
    """The contract on a chain of its own, which makes blocks."""
    # The path of the node's socket must stay short.
    root = Path(tempfile.mkdtemp(prefix="muniment-", dir="/tmp"))
    with port_block() as base:
        chain = Chain(root, SPECIFICATION, base)
        try:
            chain.start()
            chain.wait_connected(timeout=STARTED)
            yield Deployed(chain)
        finally:
            chain.remove()
