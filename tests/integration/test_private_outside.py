"""Private transactions that are signed outside the node, through the gateway, while nodes behind it die."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from eth_account import Account

from muniment.clients.private_transactions import PrivateTransactions, sign_private
from muniment.clients.quorum import QuorumClient
from muniment.kernel.encoding import to_hex
from tests.support import rpc
from tests.support.private import CREATION, FIRST_VALUE, Private, word
from tests.support.waiting import MENDED

pytestmark = pytest.mark.engines

ALPHA = ("alpha-1", "alpha-2", "alpha-3")
PARTIES = (*ALPHA, "beta-1")
STREAM = 60
KILLED_AFTER = 20


def gateway_of(trio: Private) -> str:
    return str(trio.consortium.member("alpha")["rpc"])


def behind(trio: Private) -> str:
    """The node to which the gateway sends us: its coinbase is its own."""
    answering = rpc.call(gateway_of(trio), "eth_coinbase")
    return next(node for node in ALPHA if rpc.call(trio.url(node), "eth_coinbase") == answering)


def with_gateway(trio: Private, work: Callable[[QuorumClient], Awaitable[str]]) -> str:
    async def do() -> str:
        async with QuorumClient(gateway_of(trio)) as client:
            return await work(client)

    return asyncio.run(do())


def test_the_gateway_moves_to_another_node_between_the_two_steps(trio: Private) -> None:
    parties = trio.parties("beta")
    contract = trio.create(gateway_of(trio), parties)
    stored_through = behind(trio)

    async def send(client: QuorumClient) -> str:
        payload_hash = await PrivateTransactions(client, trio.account).store(word(61), parties, contract)
        nonce = await client.transaction_count(trio.account.address)
        killed.append(trio.consortium.kill(stored_through))
        raw = sign_private(trio.account, nonce=nonce, payload_hash=payload_hash, to=contract)
        return str(await client.call("eth_sendRawPrivateTransaction", [to_hex(raw), parties.arguments()]))

    killed: list[int] = []
    transaction = with_gateway(trio, send)
    receipt = trio.mined(gateway_of(trio), transaction)
    trio.consortium.wait_mended(stored_through, killed[0], timeout=MENDED)
    trio.caught_up(PARTIES, int(receipt["blockNumber"], 16))
    assert {node: trio.value(node, contract) for node in PARTIES} == dict.fromkeys(PARTIES, 61)


def test_a_stream_of_one_account_goes_on_when_its_node_dies(trio: Private) -> None:
    parties = trio.parties("beta")
    contract = trio.create(gateway_of(trio), parties)
    node = behind(trio)
    killed: list[int] = []

    async def stream(client: QuorumClient) -> str:
        sender = PrivateTransactions(client, trio.account)
        sent = []
        for number in range(1, STREAM + 1):
            sent.append(await sender.send(word(number), parties, contract))
            if number == KILLED_AFTER:
                killed.append(trio.consortium.kill(node))
        receipts = [await sender.mined(transaction) for transaction in sent]
        assert len(set(sent)) == STREAM
        return str(receipts[-1]["blockNumber"])

    block = int(with_gateway(trio, stream), 16)
    trio.consortium.wait_mended(node, killed[0], timeout=MENDED)
    trio.caught_up(PARTIES, block)
    # Each one once: the creation and the stream are all that the account ever sent, and the last one counts.
    for party in PARTIES:
        count = rpc.call(trio.url(party), "eth_getTransactionCount", trio.account.address, "latest")
        assert int(count, 16) == 1 + STREAM
        assert trio.value(party, contract) == STREAM
    assert len({trio.root(party, block) for party in ALPHA}) == 1


def test_the_command_sends_for_a_member_by_its_name(trio: Private, tmp_path: Path) -> None:
    keystore, passphrase, code = tmp_path / "key.json", tmp_path / "passphrase", tmp_path / "contract.bin"
    document = Account.encrypt(trio.account.key, "secret", kdf="pbkdf2", iterations=2)
    for path, content in ((keystore, json.dumps(document)), (passphrase, "secret")):
        path.touch(mode=0o600)
        path.write_text(content)
    code.write_text(CREATION.hex())
    common = ("--state", trio.consortium.state, "--keystore", keystore, "--passphrase-file", passphrase, "--json")

    created = trio.consortium.run("privacy", "send", *common, "--data", f"@{code}", "--private-for", "beta")
    receipt = json.loads(created.stdout)["receipt"]
    contract = str(receipt["contractAddress"])
    trio.caught_up((*PARTIES, "gamma-1"), int(receipt["blockNumber"], 16))
    assert [trio.value(node, contract) for node in (*PARTIES, "gamma-1")] == [FIRST_VALUE] * 4 + [0]

    call = ("--data", to_hex(word(71)), "--to", contract)
    called = trio.consortium.run("privacy", "send", *common, *call, "--private-for", trio.key("beta"))
    trio.caught_up(PARTIES, int(json.loads(called.stdout)["receipt"]["blockNumber"], 16))
    assert [trio.value(node, contract) for node in PARTIES] == [71] * 4

    # Beta's manager knows no such key: nothing is sent, and the cause is said in a sentence.
    nobody = "A" * 43 + "="
    refused = trio.consortium.run("privacy", "send", *common, *call, "--private-for", nobody, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert nobody in refused.stderr
    assert "Traceback" not in refused.stderr
