"""Private transactions that are signed outside the node: the key never leaves this process.

1. The payload is stored with the member's privacy manager, which answers with its hash: through a node
   (`eth_fillTransaction` with `privateFor`) or at a manager itself (`POST /storeraw`).
2. The transaction with that hash as its data is signed without a chain ID, and marked as private by its `v`: 37 or 38
   in the place of 27 or 28 (GoQuorum core/types/transaction_signing.go).
3. `eth_sendRawPrivateTransaction` hands it over, with its recipients. The node's manager sends them the payload first.

The steps may reach different nodes of the member: what the first stored is in the database that all its managers share.

A transaction never comes twice: what is repeated are the signed bytes, not the signature with another nonce. And what a
node took and did not pass on before it died is sent again by whoever waits for it (`mined`).

Limit of the engine: it runs a private transaction once before it sends it, and those that were signed outside as if
they came from nobody (internal/ethapi/api.go, `SendRawPrivateTransaction`). With privacy flag 3 the result is compared
later, so the creation of a contract with flag 3 fails, and calls whose effect depends on the sender. Only a node that
holds the account can sign these.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import rlp
from eth_account.signers.local import LocalAccount
from eth_hash.auto import keccak

from muniment.clients.privacy import PrivacyClient
from muniment.clients.quorum import NoAnswerError, QuorumClient, RpcError
from muniment.kernel.encoding import from_hex, to_hex
from muniment.kernel.errors import InputError, PermanentError, TemporaryError, WaitTimeoutError
from muniment.kernel.waiting import NotYetError, wait_for

GAS: Final = 50_000_000
HASH_BYTES: Final = 64
MINED_SECONDS: Final = 60.0
TAKEN_SECONDS: Final = 15.0
"""So long the same bytes are sent again while no answer comes: a gateway has found another node by then."""

RESEND_SECONDS: Final = 5.0
"""Between two times that a transaction is sent which is in no block yet; a few blocks take less."""

MOST_REMEMBERED: Final = 10_000
"""Transactions that can still be sent again; of more the oldest are forgotten."""

VALIDATED_FLAG: Final = 3
"""Private state validation."""

_PUBLIC_V: Final = (27, 28)
_PRIVATE_SHIFT: Final = 10
_PLACE_OF_V: Final = 6
_KNOWN: Final = ("already known", "known transaction")
_PASSED: Final = "nonce too low"


@dataclass(frozen=True)
class Parties:
    """Who a private transaction is for. Keys are base64, as nodes and managers write them."""

    private_for: Sequence[str] = ()
    private_from: str | None = None
    """The member's default key when not given."""
    flag: int = 0
    """0 standard, 1 party protection, 2 mandatory recipients, 3 private state validation."""
    mandatory_for: Sequence[str] = ()

    def arguments(self) -> dict[str, Any]:
        """As GoQuorum's JSON-RPC wants it."""
        found: dict[str, Any] = {"privateFor": list(self.private_for), "privacyFlag": self.flag}
        if self.private_from:
            found["privateFrom"] = self.private_from
        if self.mandatory_for:
            found["mandatoryFor"] = list(self.mandatory_for)
        return found


def sign_private(
    account: LocalAccount, *, nonce: int, payload_hash: bytes, to: str | None = None, gas: int = GAS
) -> bytes:
    """The signed transaction, RLP-encoded. Raises `ValueError` when the hash has not 64 bytes."""
    if len(payload_hash) != HASH_BYTES:
        raise ValueError(f"the hash of a payload has {HASH_BYTES} bytes, not {len(payload_hash)}")
    transaction: dict[str, Any] = {"nonce": nonce, "gasPrice": 0, "gas": gas, "value": 0, "data": payload_hash}
    if to is not None:
        transaction["to"] = from_hex(to)
    signed = account.sign_transaction(transaction)
    fields = list(rlp.decode(bytes(signed.raw_transaction)))
    v = int.from_bytes(fields[_PLACE_OF_V], "big")
    if v not in _PUBLIC_V:
        raise ValueError(f"the transaction was signed with v {v}: private ones are signed without a chain ID")
    fields[_PLACE_OF_V] = bytes((v + _PRIVATE_SHIFT,))
    return bytes(rlp.encode(fields))


class PrivateTransactions:
    """Sends private transactions of one account, one after the other; any number of tasks may use it.

    `rpc` is the member's gateway or one of its nodes. With `manager` payloads are stored there, else through `rpc`.
    Nobody else may send from the account meanwhile: nonces are counted here.
    """

    def __init__(self, rpc: QuorumClient, account: LocalAccount, manager: PrivacyClient | None = None) -> None:
        self._rpc = rpc
        self._account = account
        self._manager = manager
        self._next: int | None = None
        self._taken = 0
        """No nonce below this is used again, whatever a node that lags behind counts."""
        self._order = asyncio.Lock()
        self._remembered: dict[str, tuple[bytes, Parties]] = {}

    async def store(self, data: bytes, parties: Parties, to: str | None = None) -> bytes:
        """Store a payload with the member's manager; gives its hash, 64 bytes.

        Raises `TemporaryError` and `PermanentError`.
        """
        if self._manager is not None:
            sender = b64decode(parties.private_from) if parties.private_from else None
            return await self._manager.store_raw(data, sender)
        fixed = {"nonce": "0x0", "gas": hex(GAS), "gasPrice": "0x0"}
        wanted = {"from": self._account.address, "data": to_hex(data), **fixed}
        if to is not None:
            wanted["to"] = to
        answer = await self._rpc.call("eth_fillTransaction", [wanted | parties.arguments()])
        try:
            payload_hash = from_hex(answer["tx"]["input"])
        except (KeyError, TypeError, ValueError) as error:
            raise PermanentError(f"{self._rpc.url} stored no payload: ask a node with a privacy manager") from error
        if len(payload_hash) != HASH_BYTES:
            raise PermanentError(f"{self._rpc.url} stored no payload: ask a node with a privacy manager")
        return payload_hash

    async def send(self, data: bytes, parties: Parties, to: str | None = None) -> str:
        """Store, sign and send; gives the transaction's hash. `to` is a contract's address, none to create one.

        Raises `NoAnswerError` when it is not known whether it was taken, another `TemporaryError` when it can be tried
        again, `RpcError` with what the node or a manager refused, `InputError` for what the engine cannot do (see the
        module).
        """
        if to is None and parties.flag == VALIDATED_FLAG:
            raise InputError(
                "GoQuorum cannot create a contract with privacy flag 3 when the transaction is signed outside the node:"
                " create it by eth_sendTransaction from an account that the node holds"
            )
        payload_hash = await self.store(data, parties, to)
        async with self._order:
            nonce = await self._nonce()
            raw = sign_private(self._account, nonce=nonce, payload_hash=payload_hash, to=to)
            try:
                transaction = await self._hand_over(raw, parties)
            except (TemporaryError, PermanentError):
                # Whether it was taken is not known: the chain says how it goes on.
                self._next = None
                raise
            self._next = self._taken = nonce + 1
        self._remember(transaction, raw, parties)
        return transaction

    async def mined(self, transaction: str, *, timeout: float = MINED_SECONDS) -> Mapping[str, Any]:  # noqa: ASYNC109
        """The receipt, as soon as there is one. Raises `WaitTimeoutError`, and `PermanentError` when it failed.

        Until then the transaction is sent again now and then, when this object sent it.
        """
        clock = asyncio.get_running_loop()
        again = clock.time() + RESEND_SECONDS

        async def look() -> Mapping[str, Any]:
            nonlocal again
            try:
                receipt = await self._rpc.receipt(transaction)
            except TemporaryError as error:
                raise NotYetError(str(error)) from error
            if receipt is not None:
                return receipt
            if clock.time() < again:
                raise NotYetError("no block holds it yet")
            again = clock.time() + RESEND_SECONDS
            raise NotYetError("no block holds it yet" + await self._resend(transaction))

        receipt = await wait_for(f"the transaction {transaction}", look, timeout=timeout)
        self._remembered.pop(transaction, None)
        if receipt.get("status") != "0x1":
            raise PermanentError(f"the private transaction {transaction} failed: its contract refused it")
        return receipt

    async def _nonce(self) -> int:
        if self._next is None:
            counted = await self._rpc.transaction_count(self._account.address, "pending")
            self._next = max(counted, self._taken)
        return self._next

    async def _hand_over(self, raw: bytes, parties: Parties) -> str:
        """Send until there is an answer: to the same bytes, so that it is taken once."""

        async def send() -> str:
            try:
                return await self._send_signed(raw, parties)
            except TemporaryError as error:
                raise NotYetError(str(error)) from error

        try:
            return await wait_for("the sending of a private transaction", send, timeout=TAKEN_SECONDS)
        except WaitTimeoutError as error:
            raise NoAnswerError(
                f"{error}; whether the transaction {to_hex(keccak(raw))} was taken is not known: look for its receipt"
            ) from error

    async def _send_signed(self, raw: bytes, parties: Parties) -> str:
        """Send these bytes once. That a node knows them already is as good: a gateway repeats a request whose node
        died, and so do we."""
        try:
            return str(await self._rpc.call("eth_sendRawPrivateTransaction", [to_hex(raw), parties.arguments()]))
        except RpcError as error:
            transaction = to_hex(keccak(raw))
            known = any(one in error.message for one in _KNOWN)
            if known or (_PASSED in error.message and await self._rpc.call("eth_getTransactionByHash", [transaction])):
                return transaction
            raise

    def _remember(self, transaction: str, raw: bytes, parties: Parties) -> None:
        self._remembered[transaction] = (raw, parties)
        if len(self._remembered) > MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]

    async def _resend(self, transaction: str) -> str:
        """Send it once more if it is remembered; gives what was said against it."""
        if transaction not in self._remembered:
            return ""
        try:
            await self._send_signed(*self._remembered[transaction])
        except (TemporaryError, RpcError) as error:
            return f"; sent again: {error}"
        return ""


def check_keys(keys: Sequence[str]) -> None:
    """Raises `InputError` naming the first that is no public key of a privacy manager."""
    for key in keys:
        try:
            whole = b64encode(b64decode(key, validate=True)).decode() == key and len(b64decode(key)) == 32
        except ValueError:
            whole = False
        if not whole:
            raise InputError(f"{key!r} is no privacy key: give base64 of 32 bytes, or the name of a member")
