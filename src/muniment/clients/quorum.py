"""JSON-RPC of a GoQuorum node, or of the gateway in front of several: the few calls that muniment needs.

Every failure is one of two: `TemporaryError` when the question did not get an answer (transport, time-out, status 429
or 5xx, an answer that is not JSON-RPC), `RpcError` when the node answered with an error. Method names and encodings are
those of the Ethereum JSON-RPC specification (ethereum/execution-apis): quantities are 0x-hex without leading zeros,
byte strings 0x-hex with two digits per byte.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2

from muniment.clients.http import HttpClient
from muniment.kernel.encoding import from_hex, parse_json, to_hex
from muniment.kernel.errors import PermanentError, TemporaryError

DEFAULT_TIMEOUT = 10.0
"""Seconds for one request, connection and answer together."""

Call = tuple[str, Sequence[Any]]


class RpcError(PermanentError):
    """The node answered with a JSON-RPC error: `code`, its own words in `message`, and `data` (a revert's reason)."""

    def __init__(self, method: str, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{method} was refused: {message} (JSON-RPC error {code})")
        self.method = method
        self.code = code
        self.message = message
        self.data = data


class NoAnswerError(TemporaryError):
    """The request was taken and not answered in its time: it may or may not have been carried out."""


class QuorumClient(HttpClient):
    """An async client of one JSON-RPC address. Use it as a context manager, or call `close`.

    `timeout` (seconds) limits each request as a whole. `transport` replaces the network in tests. Connections are kept
    open; one client serves any number of tasks.
    """

    def __init__(
        self, url: str, *, timeout: float = DEFAULT_TIMEOUT, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        super().__init__(url, timeout=httpx2.Timeout(timeout), transport=transport)
        self.timeout = timeout
        self._ids = itertools.count(1)

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """The result of one call. Raises `TemporaryError` or `RpcError`."""
        request = self._request(method, params)
        return _result(self.url, method, await self._post(request))

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """The results of several calls sent as one request, in the order of `calls`; the first error is raised."""
        requests = [self._request(method, params) for method, params in calls]
        answers = await self._post(requests)
        if not isinstance(answers, list):
            method = calls[0][0]
            _result(self.url, method, answers)
            raise _not_json_rpc(self.url, method)
        by_id = {answer.get("id"): answer for answer in answers if isinstance(answer, Mapping)}
        return [
            _result(self.url, method, by_id.get(request["id"]))
            for (method, _), request in zip(calls, requests, strict=True)
        ]

    async def block_number(self) -> int:
        """Number of the head block."""
        return _quantity(await self.call("eth_blockNumber"))

    async def block(self, which: int | str = "latest") -> dict[str, Any] | None:
        """A block with its transactions' hashes, by number or tag, as the node writes it; `None` when it has none."""
        answer: dict[str, Any] | None = await self.call("eth_getBlockByNumber", [_block_tag(which), False])
        return answer

    async def peer_count(self) -> int:
        """Number of devp2p peers that are connected."""
        return _quantity(await self.call("net_peerCount"))

    async def syncing(self) -> bool:
        """Whether the node says that it is catching up."""
        return bool(await self.call("eth_syncing"))

    async def send_raw(self, transaction: bytes) -> str:
        """Submit a signed transaction; its hash (0x-hex). "already known" and the like arrive as `RpcError`."""
        return str(await self.call("eth_sendRawTransaction", [to_hex(transaction)]))

    async def receipt(self, transaction_hash: str) -> dict[str, Any] | None:
        """The receipt of a mined transaction as the node writes it, `None` while it is not mined."""
        answer: dict[str, Any] | None = await self.call("eth_getTransactionReceipt", [transaction_hash])
        return answer

    async def transaction_count(self, address: str, block: int | str = "latest") -> int:
        """Number of transactions sent from `address`, that is its next nonce; `block` "pending" counts waiting ones."""
        return _quantity(await self.call("eth_getTransactionCount", [address, _block_tag(block)]))

    async def call_contract(self, to: str, data: bytes, block: int | str = "latest") -> bytes:
        """The result of a contract's function that changes nothing."""
        return _bytes(await self.call("eth_call", [{"to": to, "data": to_hex(data)}, _block_tag(block)]))

    async def chain_id(self) -> int:
        """The chain's ID (EIP-155)."""
        return _quantity(await self.call("eth_chainId"))

    async def code(self, address: str, block: int | str = "latest") -> bytes:
        """Code of the contract at `address`; empty when there is none."""
        return _bytes(await self.call("eth_getCode", [address, _block_tag(block)]))

    def _request(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}

    async def _post(self, body: Any) -> Any:
        try:
            async with asyncio.timeout(self.timeout):
                response = await self._http.post(self.url, json=body)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise PermanentError(f"{self.url} cannot be asked ({error}): correct the address") from error
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise NoAnswerError(f"{self.url} did not answer within {self.timeout:g} s: try again") from error
        except httpx2.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise TemporaryError(f"{self.url} cannot be reached ({reason}): try again when it runs") from error
        return _parsed(self.url, response)


def _parsed(url: str, response: httpx2.Response) -> Any:
    status = response.status_code
    if status == httpx2.codes.TOO_MANY_REQUESTS or status >= httpx2.codes.INTERNAL_SERVER_ERROR:
        raise TemporaryError(f"{url} answered with status {status}: try again")
    try:
        return parse_json(response.content)
    except ValueError as error:
        if status >= httpx2.codes.BAD_REQUEST:
            raise PermanentError(f"{url} refused the request with status {status}: correct the address") from error
        raise TemporaryError(f"{url} answered with something that is not JSON: try again") from error


def _result(url: str, method: str, answer: Any) -> Any:
    if not isinstance(answer, Mapping):
        raise _not_json_rpc(url, method)
    error = answer.get("error")
    if isinstance(error, Mapping):
        code = error.get("code")
        raise RpcError(
            method,
            code if isinstance(code, int) else 0,
            str(error.get("message", "no reason given")),
            error.get("data"),
        )
    if "result" not in answer:
        raise _not_json_rpc(url, method)
    return answer["result"]


def _not_json_rpc(url: str, method: str) -> TemporaryError:
    return TemporaryError(f"{url} answered {method} with something that is not JSON-RPC: try again")


def _quantity(value: Any) -> int:
    try:
        return int(str(value), 16)
    except ValueError as error:
        raise TemporaryError(f"a node answered {value!r} where a number was due: try again") from error


def _bytes(value: Any) -> bytes:
    try:
        return from_hex(str(value))
    except ValueError as error:
        raise TemporaryError(f"a node answered {value!r} where a byte string was due: try again") from error


def _block_tag(which: int | str) -> str:
    return hex(which) if isinstance(which, int) else which
