"""Promise: the one address of a member is enough for web3.py and ethers; nothing dangerous is behind it."""

from __future__ import annotations

import json
import subprocess

import pytest
from eth_account import Account
from web3 import Web3

from tests.support import rpc
from tests.support.consortium import ROOT, Consortium

pytestmark = pytest.mark.engines


def test_web3_sends_a_transaction_through_the_gateway(demo: Consortium) -> None:
    web3 = Web3(Web3.HTTPProvider(demo.member("alpha")["rpc"]))
    account = Account.create()
    signed = account.sign_transaction(
        {"to": account.address, "value": 0, "gas": 21000, "gasPrice": 0, "nonce": 0, "chainId": web3.eth.chain_id}
    )
    receipt = web3.eth.wait_for_transaction_receipt(web3.eth.send_raw_transaction(signed.raw_transaction), timeout=30)
    assert receipt["status"] == 1
    assert web3.eth.get_transaction_count(account.address) == 1


def test_ethers_sends_and_subscribes_through_the_gateway(demo: Consortium) -> None:
    member = demo.member("alpha")
    done = subprocess.run(
        ["node", "gateway.mjs", member["rpc"], member["ws"]],
        cwd=ROOT / "tests" / "javascript",
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["chainId"] == demo.specification["chain"]["id"]
    assert told["status"] == 1
    assert told["subscribed"] > 0


@pytest.mark.parametrize("method", ["admin_nodeInfo", "personal_listAccounts", "debug_stacks", "miner_stop"])
def test_dangerous_namespaces_are_not_on_http(demo: Consortium, method: str) -> None:
    for url in [demo.member("alpha")["rpc"], *(demo.endpoint(node) for node in demo.names("node"))]:
        with pytest.raises(rpc.RpcError, match="does not exist"):
            rpc.call(url, method)
