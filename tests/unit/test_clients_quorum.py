"""The JSON-RPC client: what it sends, and that every failure is one of two."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from muniment.clients.quorum import NoAnswerError, QuorumClient, RpcError
from muniment.kernel.errors import PermanentError, TemporaryError

pytestmark = pytest.mark.anyio

Handler = Callable[[httpx2.Request], httpx2.Response]


def client(handler: Handler, *, timeout: float = 1.0) -> QuorumClient:
    return QuorumClient("http://node.invalid/", timeout=timeout, transport=httpx2.MockTransport(handler))


def node(results: dict[str, Any], seen: list[Any] | None = None) -> Handler:
    """A node that knows these methods."""

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if seen is not None:
            seen.append((request["method"], request["params"]))
        return {"jsonrpc": "2.0", "id": request["id"], "result": results[request["method"]]}

    def handle(request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content)
        answers = [answer(one) for one in body][::-1] if isinstance(body, list) else answer(body)
        return httpx2.Response(200, json=answers)

    return handle


def refusing(error: Any, status: int = 200) -> Handler:
    return lambda _request: httpx2.Response(status, json={"jsonrpc": "2.0", "id": 1, "error": error})


async def test_the_helpers_ask_the_right_methods_and_decode_the_answers() -> None:
    seen: list[Any] = []
    results = {
        "eth_blockNumber": "0x10",
        "eth_getBlockByNumber": {"number": "0x10"},
        "net_peerCount": "0x3",
        "eth_syncing": False,
        "eth_sendRawTransaction": "0xaa",
        "eth_getTransactionReceipt": None,
        "eth_getTransactionCount": "0x0",
        "eth_call": "0x0102",
        "eth_chainId": "0x539",
        "eth_getCode": "0x",
    }
    async with client(node(results, seen)) as rpc:
        assert await rpc.block_number() == 16
        assert await rpc.block(16) == {"number": "0x10"}
        assert await rpc.peer_count() == 3
        assert await rpc.syncing() is False
        assert await rpc.send_raw(b"\x01") == "0xaa"
        assert await rpc.receipt("0xaa") is None
        assert await rpc.transaction_count("0xme", "pending") == 0
        assert await rpc.call_contract("0xc0", b"\xff") == b"\x01\x02"
        assert await rpc.chain_id() == 1337
        assert await rpc.code("0xc0") == b""
    assert seen == [
        ("eth_blockNumber", []),
        ("eth_getBlockByNumber", ["0x10", False]),
        ("net_peerCount", []),
        ("eth_syncing", []),
        ("eth_sendRawTransaction", ["0x01"]),
        ("eth_getTransactionReceipt", ["0xaa"]),
        ("eth_getTransactionCount", ["0xme", "pending"]),
        ("eth_call", [{"to": "0xc0", "data": "0xff"}, "latest"]),
        ("eth_chainId", []),
        ("eth_getCode", ["0xc0", "latest"]),
    ]


async def test_a_batch_keeps_its_order_whatever_the_order_of_the_answers() -> None:
    async with client(node({"eth_chainId": "0x1", "net_peerCount": "0x2"})) as rpc:
        assert await rpc.batch([("eth_chainId", []), ("net_peerCount", []), ("eth_chainId", [])]) == [
            "0x1",
            "0x2",
            "0x1",
        ]


async def test_an_error_of_the_node_keeps_code_message_and_data() -> None:
    async with client(refusing({"code": -32000, "message": "nonce too low", "data": "0x01"})) as rpc:
        with pytest.raises(RpcError, match="eth_chainId was refused: nonce too low") as caught:
            await rpc.chain_id()
    assert (caught.value.code, caught.value.message, caught.value.data) == (-32000, "nonce too low", "0x01")
    assert isinstance(caught.value, PermanentError)


async def test_an_error_that_answers_a_whole_batch_is_raised() -> None:
    async with client(refusing({"code": -32600, "message": "no batches"})) as rpc:
        with pytest.raises(RpcError, match="no batches"):
            await rpc.batch([("eth_chainId", [])])


async def test_an_error_of_the_node_with_a_refusing_status_is_still_the_nodes_error() -> None:
    async with client(refusing({"code": -32600, "message": "bad"}, status=400)) as rpc:
        with pytest.raises(RpcError):
            await rpc.chain_id()


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(503, text="no server"),
        httpx2.Response(500, json={"jsonrpc": "2.0", "id": 1, "result": "0x1"}),
        httpx2.Response(429),
        httpx2.Response(200, text="<html>"),
        httpx2.Response(200, json=[]),
        httpx2.Response(200, json={"id": 1}),
        httpx2.Response(200, json={"id": 1, "result": "ten"}),
        httpx2.Response(200, json={"id": 1, "result": None}),
    ],
)
async def test_what_is_no_answer_is_temporary(answer: httpx2.Response) -> None:
    async with client(lambda _request: answer) as rpc:
        with pytest.raises(TemporaryError):
            await rpc.chain_id()


async def test_bytes_that_are_none_are_temporary() -> None:
    async with client(node({"eth_getCode": "60"})) as rpc:
        with pytest.raises(TemporaryError, match="byte string"):
            await rpc.code("0xc0")


async def test_a_batch_that_lacks_an_answer_is_temporary() -> None:
    async with client(lambda _request: httpx2.Response(200, json=[{"id": 1, "result": "0x1"}])) as rpc:
        with pytest.raises(TemporaryError):
            await rpc.batch([("eth_chainId", []), ("eth_chainId", [])])


async def test_another_server_at_the_address_is_permanent() -> None:
    async with client(lambda _request: httpx2.Response(404, text="not found")) as rpc:
        with pytest.raises(PermanentError, match="status 404"):
            await rpc.chain_id()


async def test_a_broken_connection_is_temporary() -> None:
    def cut(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadError("cut", request=request)

    async with client(cut) as rpc:
        with pytest.raises(TemporaryError, match="cannot be reached"):
            await rpc.chain_id()


async def test_a_refused_connection_is_temporary() -> None:
    async with QuorumClient("http://127.0.0.1:9", timeout=1) as rpc:
        with pytest.raises(TemporaryError, match="cannot be reached"):
            await rpc.chain_id()


async def test_a_server_that_takes_the_connection_and_never_answers_is_temporary() -> None:
    closing = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await closing.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with QuorumClient(f"http://127.0.0.1:{port}", timeout=0.2) as rpc:
            with pytest.raises(NoAnswerError, match=r"did not answer within 0\.2 s"):
                await rpc.chain_id()
    finally:
        closing.set()
        server.close()
        await server.wait_closed()


async def test_an_address_that_is_none_is_permanent() -> None:
    async with QuorumClient("nothing", timeout=1) as rpc:
        with pytest.raises(PermanentError):
            await rpc.chain_id()
