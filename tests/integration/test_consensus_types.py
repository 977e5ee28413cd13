"""Promise: the chain runs with all four consensus types of GoQuorum, and survives the loss of one node and of all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from eth_account import Account

from muniment.proof.contract import CONTRACT_ADDRESS, RUNTIME_CODE
from tests.support import rpc
from tests.support.goquorum import Chain
from tests.support.ports import port_block
from tests.support.waiting import BLOCKS, MENDED, STARTED, wait_until
from tests.support.writer import HeadWatcher, Writer, send_transaction

pytestmark = pytest.mark.engines

CHAIN_ID = 4711
DANGEROUS = ["admin_nodeInfo", "personal_listAccounts", "debug_stacks", "miner_stop", "istanbul_getValidators"]


def specification(consensus: str) -> dict[str, Any]:
    """Four nodes of two members."""
    return {
        "chain": {"id": CHAIN_ID, "consensus": consensus},
        # Not in the order of the alphabet: with raft the nodes' numbers must not depend on it.
        "members": {"beta": {"nodes": 1, "peers": 0, "notary": False}, "alpha": {"nodes": 3, "peers": 2}},
    }


@pytest.fixture(scope="module", params=["qbft", "ibft", "raft", "clique"])
def consensus(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def chain(consensus: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Four nodes, connected."""
    with port_block() as base:
        chain = Chain(tmp_path_factory.mktemp(consensus), specification(consensus), base)
        try:
            chain.start()
            chain.wait_connected(timeout=STARTED)
            yield chain
        finally:
            chain.remove()


def mine_one(chain: Chain, *, through: int = 0) -> str:
    """Send a transaction with gas price 0 and wait until all nodes have it in one block."""
    sent = send_transaction(chain.urls[through], Account.create(), 0, CHAIN_ID)
    return chain.wait_mined(sent, timeout=BLOCKS)


def test_a_transaction_without_gas_price_is_mined_on_all_nodes_through_any_node(chain: Chain) -> None:
    for index in range(len(chain.urls)):
        assert mine_one(chain, through=index)


def test_the_anchoring_contract_is_there_from_the_first_block(chain: Chain) -> None:
    for url in chain.urls:
        assert rpc.call(url, "eth_getCode", CONTRACT_ADDRESS, "0x0") == "0x" + RUNTIME_CODE.hex()


def test_the_founding_nodes_are_those_of_the_identities(chain: Chain, consensus: str) -> None:
    coinbases = {node.coinbase.lower() for node in chain.identities.nodes}
    if consensus == "raft":
        cluster = chain.ipc("beta-1", "raft_cluster")
        names = {node.enode_id: node.name for node in chain.identities.nodes}
        numbered = sorted((each["raftId"], names[each["nodeId"]]) for each in cluster)
        assert numbered == [(1, "alpha-1"), (2, "alpha-2"), (3, "alpha-3"), (4, "beta-1")]
        assert all(each["nodeActive"] for each in cluster)
    else:
        method = "clique_getSigners" if consensus == "clique" else "istanbul_getValidators"
        assert {address.lower() for address in chain.ipc("alpha-1", method)} == coinbases


def test_the_gas_limit_stays_that_of_the_genesis(chain: Chain) -> None:
    mine_one(chain)
    limits = {
        rpc.call(chain.urls[0], "eth_getBlockByNumber", number, False)["gasLimit"] for number in ("0x0", "latest")
    }
    assert limits == {hex(700_000_000)}


def test_dangerous_methods_are_on_the_nodes_ipc_only(chain: Chain, consensus: str) -> None:
    for name in chain.workloads:
        listens = chain.ipc(name, "admin_nodeInfo")["listenAddr"]
        assert listens == f"127.0.0.1:{chain.workloads[name].port('p2p').listen.port}"
        for method in (*DANGEROUS, f"{consensus}_propose", "raft_removePeer"):
            with pytest.raises(rpc.RpcError, match="does not exist"):
                rpc.call(chain.url(name), method)


def test_a_clique_signer_cannot_be_unlocked_or_asked_to_sign_a_block_over_http(chain: Chain, consensus: str) -> None:
    for name in chain.workloads:
        accounts = rpc.call(chain.url(name), "eth_accounts")
        assert len(accounts) == (1 if consensus == "clique" else 0)
        for method in ("personal_unlockAccount", "personal_sign", "clique_propose", "account_signData"):
            with pytest.raises(rpc.RpcError, match="does not exist"):
                rpc.call(chain.url(name), method)


def test_no_key_is_left_in_a_volume(chain: Chain) -> None:
    for name in chain.workloads:
        volume = chain.data(name)
        assert not (volume / "geth" / "nodekey").exists()
        assert list((volume / "keystore").iterdir()) == []
    assert not (chain.root / "home").exists()


def test_blocks_go_on_without_one_node_and_it_comes_back(chain: Chain) -> None:
    with Writer(chain.url("alpha-1")) as writer:
        chain.kill("beta-1")
        head = rpc.head(chain.url("alpha-1"))
        wait_until("blocks to go on", lambda: rpc.head(chain.url("alpha-1")) > head + 2, timeout=BLOCKS)
        chain.start(["beta-1"])
        chain.wait_connected(timeout=MENDED)
        wait_until(
            "beta-1 to catch up",
            lambda: rpc.head(chain.url("beta-1")) >= rpc.head(chain.url("alpha-1")) - 1,
            timeout=MENDED,
        )
    assert writer.sent
    assert not writer.failures


def test_a_power_cut_loses_no_block_and_no_mined_transaction(chain: Chain, consensus: str) -> None:
    with HeadWatcher(chain.urls) as watcher, Writer(chain.urls[0]) as writer:
        head = rpc.head(chain.urls[0])
        wait_until("some blocks under load", lambda: rpc.head(chain.urls[0]) >= head + 3, timeout=BLOCKS)
        chain.power_cut()
        watcher.stop()
    chain.start()
    chain.wait_connected(timeout=STARTED)
    mine_one(chain)
    highest = max(watcher.seen)
    for url in chain.urls:
        wait_until("the chain to be as long as it was", lambda url=url: rpc.head(url) >= highest, timeout=BLOCKS)
        # clique alone may replace its newest blocks at any time: two signers can be quick at once.
        if consensus != "clique":
            assert {number: {rpc.block_hash(url, number)} for number in watcher.seen} == watcher.seen
    assert writer.sent
    for transaction in writer.sent:
        chain.wait_mined(transaction, timeout=BLOCKS)
