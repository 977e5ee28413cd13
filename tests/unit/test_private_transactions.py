"""Private transactions signed outside the node: the signature as GoQuorum reads it, nonces, and nothing sent twice."""

from __future__ import annotations

import asyncio
from base64 import b64encode

import httpx2
import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from muniment.clients import private_transactions
from muniment.clients.privacy import PrivacyClient
from muniment.clients.private_transactions import GAS, Parties, PrivateTransactions, check_keys, sign_private
from muniment.clients.quorum import NoAnswerError, QuorumClient, RpcError
from muniment.kernel.errors import InputError, PermanentError, WaitTimeoutError
from tests.unit.private_node import URL, PrivateNode, Taken, read_private

pytestmark = pytest.mark.anyio

KEY = b64encode(bytes(range(32))).decode()
CONTRACT = "0x" + "35" * 20
ACCOUNT: LocalAccount = Account.from_key("0x" + "46" * 32)
HASH = bytes(range(64))
PARTIES = Parties([KEY])


def rpc(node: PrivateNode) -> QuorumClient:
    return QuorumClient(URL, transport=node.transport())


def nonces(node: PrivateNode) -> list[int]:
    return sorted(one.nonce for one in (node.waiting | node.mined).values())


def test_the_signature_is_the_known_one() -> None:
    raw = sign_private(ACCOUNT, nonce=9, payload_hash=HASH, to=CONTRACT, gas=0x47B760)
    assert raw.hex() == (
        f"f8a109808347b76094{'35' * 20}80b840{HASH.hex()}26"
        "a075c2b1efbdb4fbe2e638219ef02b465baf91f65abca0306b7add64fbf4b09bb4"
        "a02e9bc43ebd07b06176bca857ef9f7c86b5e628fc66268ef05940999a62182ddb"
    )


@pytest.mark.parametrize("nonce", range(8))
@pytest.mark.parametrize("to", [None, CONTRACT])
def test_v_is_37_or_38_and_gives_the_sender_back(nonce: int, to: str | None) -> None:
    raw = sign_private(ACCOUNT, nonce=nonce, payload_hash=HASH, to=to)
    address = bytes.fromhex(to[2:]) if to else b""
    assert read_private(raw) == (nonce, ACCOUNT.address, address, HASH)


def test_both_values_of_v_occur() -> None:
    signed = [sign_private(ACCOUNT, nonce=nonce, payload_hash=bytes(64)) for nonce in range(4)]
    # Behind v come r and s, 33 bytes each.
    assert {raw[-67] for raw in signed} == {37, 38}


@pytest.mark.parametrize("length", [0, 32, 63, 65])
def test_only_hashes_of_payloads_are_signed(length: int) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        sign_private(ACCOUNT, nonce=0, payload_hash=bytes(length))


async def test_the_payload_goes_to_the_manager_and_its_hash_to_the_chain() -> None:
    node = PrivateNode(mines=True)
    parties = Parties([KEY], KEY, 2, [KEY])
    async with rpc(node) as client:
        sender = PrivateTransactions(client, ACCOUNT)
        receipt = await sender.mined(await sender.send(b"secret", parties, CONTRACT))
    assert receipt["status"] == "0x1"
    (payload_hash,) = node.stored
    wanted = {"privateFor": [KEY], "privateFrom": KEY, "privacyFlag": 2, "mandatoryFor": [KEY]}
    to = bytes.fromhex(CONTRACT[2:])
    assert list(node.mined.values()) == [Taken(0, ACCOUNT.address, payload_hash, to, wanted)]
    filled = next(params[0] for method, params in node.asked if method == "eth_fillTransaction")
    fixed = {"from": ACCOUNT.address, "data": "0x" + b"secret".hex(), "to": CONTRACT}
    # All that the node would fill in itself is given: it needs no account for it, and estimates nothing.
    assert filled == fixed | {"nonce": "0x0", "gas": hex(GAS), "gasPrice": "0x0"} | wanted


async def test_a_payload_can_be_stored_at_a_manager() -> None:
    node = PrivateNode(mines=True)
    node.stored[HASH] = b"secret"

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert (request.method, request.url.path) == ("POST", "/storeraw")
        return httpx2.Response(200, json={"key": b64encode(HASH).decode()})

    async with rpc(node) as client, PrivacyClient("http://m", transport=httpx2.MockTransport(answer)) as manager:
        sender = PrivateTransactions(client, ACCOUNT, manager)
        await sender.mined(await sender.send(b"secret", PARTIES))
    assert [one.payload_hash for one in node.mined.values()] == [HASH]
    assert node.count("eth_fillTransaction") == 0


async def test_many_tasks_share_one_account() -> None:
    node = PrivateNode()
    async with rpc(node) as client:
        sender = PrivateTransactions(client, ACCOUNT)
        sent = await asyncio.gather(*(sender.send(bytes([number]), PARTIES) for number in range(20)))
    assert nonces(node) == list(range(20))
    assert len(set(sent)) == 20
    assert node.count("eth_getTransactionCount") == 1


async def test_an_answer_that_is_lost_is_asked_for_with_the_same_bytes() -> None:
    node = PrivateNode(lost=["eth_sendRawPrivateTransaction"], away=["eth_sendRawPrivateTransaction"])
    async with rpc(node) as client:
        transaction = await PrivateTransactions(client, ACCOUNT).send(b"once", PARTIES)
    assert list(node.waiting) == [transaction]
    assert len(node.sent) == 2
    assert len(set(node.sent)) == 1


async def test_an_answer_that_is_lost_may_come_after_the_block() -> None:
    node = PrivateNode(mines=True, lost=["eth_sendRawPrivateTransaction"])
    async with rpc(node) as client:
        transaction = await PrivateTransactions(client, ACCOUNT).send(b"once", PARTIES)
    assert list(node.mined) == [transaction]


async def test_a_nonce_that_somebody_else_used_is_an_error_and_the_next_one_fits() -> None:
    node = PrivateNode(mines=True)
    async with rpc(node) as client:
        one, other = PrivateTransactions(client, ACCOUNT), PrivateTransactions(client, ACCOUNT)
        await one.send(b"a", PARTIES)
        await other.send(b"b", PARTIES)
        with pytest.raises(RpcError, match="nonce too low"):
            await one.send(b"c", PARTIES)
        await one.send(b"d", PARTIES)
    assert nonces(node) == [0, 1, 2]


async def test_a_node_that_lags_behind_does_not_bring_a_nonce_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_transactions, "TAKEN_SECONDS", 0.1)
    node = PrivateNode()
    async with rpc(node) as client:
        sender = PrivateTransactions(client, ACCOUNT)
        await sender.send(b"a", PARTIES)
        node.away = ["eth_sendRawPrivateTransaction"] * 100
        with pytest.raises(NoAnswerError):
            await sender.send(b"b", PARTIES)
        # Another node answers now, which has not heard of the first one yet.
        node.away, node.waiting = [], {}
        await sender.send(b"c", PARTIES)
    assert nonces(node) == [1]


async def test_no_answer_at_all_says_what_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_transactions, "TAKEN_SECONDS", 0.1)
    node = PrivateNode(away=["eth_sendRawPrivateTransaction"] * 100)
    async with rpc(node) as client:
        sender = PrivateTransactions(client, ACCOUNT)
        with pytest.raises(NoAnswerError, match=r"whether the transaction 0x[0-9a-f]{64} was taken is not known"):
            await sender.send(b"a", PARTIES)
        node.away = []
        await sender.send(b"b", PARTIES)
    assert nonces(node) == [0]


async def test_what_a_node_lost_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_transactions, "RESEND_SECONDS", 0.05)
    node = PrivateNode()
    async with rpc(node) as client:
        sender = PrivateTransactions(client, ACCOUNT)
        transaction = await sender.send(b"a", PARTIES)
        node.forget()
        node.mines = True
        node.away = ["eth_getTransactionReceipt"]
        receipt = await sender.mined(transaction)
    assert receipt["transactionHash"] == transaction
    assert len(set(node.sent)) == 1


async def test_a_transaction_that_stays_away_is_named_with_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_transactions, "RESEND_SECONDS", 0.0)
    node = PrivateNode()
    async with rpc(node) as client:
        sender = PrivateTransactions(client, ACCOUNT)
        transaction = await sender.send(b"a", PARTIES)
        node.forget()
        node.stored.clear()
        with pytest.raises(WaitTimeoutError, match=rf"{transaction} did not happen .*sent again: .*unknown payload"):
            await sender.mined(transaction, timeout=0.3)


async def test_a_transaction_that_failed_is_an_error() -> None:
    node = PrivateNode(mines=True, status="0x0")
    async with rpc(node) as client:
        sender = PrivateTransactions(client, ACCOUNT)
        with pytest.raises(PermanentError, match="its contract refused it"):
            await sender.mined(await sender.send(b"a", PARTIES))


async def test_a_node_without_a_manager_is_named() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        filled = {"jsonrpc": "2.0", "id": 1, "result": {"tx": {"input": "0x0102"}}}
        return httpx2.Response(200, json=filled)

    async with QuorumClient(URL, transport=httpx2.MockTransport(answer)) as client:
        with pytest.raises(PermanentError, match="stored no payload: ask a node with a privacy manager"):
            await PrivateTransactions(client, ACCOUNT).store(b"a", PARTIES)


async def test_what_the_engine_cannot_do_is_refused_before_anything_is_sent() -> None:
    node = PrivateNode()
    async with rpc(node) as client:
        with pytest.raises(InputError, match="eth_sendTransaction"):
            await PrivateTransactions(client, ACCOUNT).send(b"a", Parties([KEY], flag=3))
    assert node.asked == []


@pytest.mark.parametrize("bad", ["", "alpha", KEY[:-1], KEY + "\n", b64encode(bytes(31)).decode(), "é" * 44])
def test_keys_are_looked_at(bad: str) -> None:
    check_keys([KEY])
    with pytest.raises(InputError, match="no privacy key"):
        check_keys([KEY, bad])
