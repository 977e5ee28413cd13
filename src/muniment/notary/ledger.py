"""The chain as the notary uses it: one submitting account that anchors batches in the contract.

Transactions are legacy ones (EIP-155) with gas price 0: gas is free here, and GoQuorum refuses any other price. Every
method can be repeated after a crash: the contract answers a root that it holds with its old sequence number.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_hash.auto import keccak

from muniment.clients.quorum import RpcError
from muniment.kernel.encoding import from_hex, to_hex
from muniment.kernel.errors import InputError, IntegrityError, PermanentError, TemporaryError
from muniment.notary.values import Anchor, Outbox
from muniment.proof import contract

ANCHOR_GAS: Final = 200_000
"""Gas limit of one anchor. Measured on GoQuorum 22.7.4: 83,400; the first of a chain writes one slot more (17,100)."""

_KNOWN: Final = ("already known", "known transaction", "nonce too low")
"""What nodes say of a transaction that they hold or that was mined already (core/tx_pool.go)."""

_LATER: Final = ("txpool is full", "replacement transaction underpriced")
"""What nodes say when the same bytes may be taken later (core/tx_pool.go)."""

_REFUSALS: Final = {
    "NotWriter": "the account {account} may not anchor: let the contract's administrator allow it with setWriter",
    "AnchoringPaused": "anchoring is paused: let the contract's administrator end the pause",
    "DifferentBatch": "the root was anchored before with another size or batch digest: restore the notary's database",
    "EmptyBatch": "the batch is empty: report this",
}


class Chain(Protocol):
    """What the ledger asks of a node; `clients.quorum.QuorumClient` answers it."""

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """The result of any JSON-RPC call."""

    async def block_number(self) -> int:
        """Number of the head block."""

    async def block(self, which: int | str = "latest") -> dict[str, Any] | None:
        """A block by number."""

    async def send_raw(self, transaction: bytes) -> str:
        """Submit a signed transaction."""

    async def receipt(self, transaction_hash: str) -> dict[str, Any] | None:
        """The receipt of a mined transaction."""

    async def transaction_count(self, address: str, block: int | str = "latest") -> int:
        """The next nonce of an account."""

    async def call_contract(self, to: str, data: bytes, block: int | str = "latest") -> bytes:
        """The result of a contract's function that changes nothing."""

    async def chain_id(self) -> int:
        """The chain's ID."""

    async def code(self, address: str, block: int | str = "latest") -> bytes:
        """Code of a contract."""


class Ledger:
    """The chain, through one submitting account.

    `confirmations` is how many blocks must follow an anchor's block before it counts: 0 where a block is final at once
    (QBFT, IBFT, raft). Raises `InputError` when `address` is not the address of the one contract that is known.
    """

    def __init__(
        self,
        chain: Chain,
        account: LocalAccount,
        *,
        chain_id: int,
        address: str = contract.CONTRACT_ADDRESS,
        confirmations: int = 0,
    ) -> None:
        if address.lower() != contract.CONTRACT_ADDRESS.lower():
            raise InputError(
                f"contract {address} is not known: it stands at {contract.CONTRACT_ADDRESS} in every network"
            )
        self._chain = chain
        self._account = account
        self._chain_id = chain_id
        self._confirmations = confirmations

    @property
    def submitter(self) -> str:
        """Address of the account, with checksum."""
        return str(self._account.address)

    async def check(self) -> None:
        """Ask whether this account can anchor now.

        Raises `IntegrityError` when this is another chain or contract, `TemporaryError` when the account may not
        anchor, or anchoring is paused.
        """
        chain_id = await self._chain.chain_id()
        if chain_id != self._chain_id:
            raise IntegrityError(f"the node is of chain {chain_id} and not {self._chain_id}: correct the address")
        if keccak(await self._chain.code(contract.CONTRACT_ADDRESS)) != contract.CODE_HASH:
            raise IntegrityError(
                f"{contract.CONTRACT_ADDRESS} is not the anchoring contract: the chain was started from another genesis"
            )
        if not contract.decode_flag(await self._ask(contract.encode_is_writer(self.submitter))):
            raise TemporaryError(_REFUSALS["NotWriter"].format(account=self.submitter), delay=30)
        if contract.decode_flag(await self._ask(contract.encode_paused())):
            raise TemporaryError(_REFUSALS["AnchoringPaused"], delay=30)

    async def next_nonce(self) -> int:
        """The nonce after the account's last mined transaction."""
        return await self._chain.transaction_count(self.submitter, "latest")

    def sign(self, root: bytes, size: int, digest: bytes, nonce: int) -> Outbox:
        """The signed transaction that anchors a batch. The same arguments give the same bytes (RFC 6979)."""
        signed = self._account.sign_transaction(
            {
                "nonce": nonce,
                "gasPrice": 0,
                "gas": ANCHOR_GAS,
                "to": from_hex(contract.CONTRACT_ADDRESS),
                "value": 0,
                "data": contract.encode_anchor(root, size, digest),
                "chainId": self._chain_id,
            }
        )
        return Outbox(raw=bytes(signed.raw_transaction), hash=to_hex(bytes(signed.hash)), nonce=nonce)

    async def send(self, raw: bytes) -> None:
        """Submit signed bytes; no error when the node holds them or they are mined already.

        Raises `TemporaryError`, or `RpcError` when the node will never take them.
        """
        try:
            await self._chain.send_raw(raw)
        except RpcError as error:
            said = str(error).lower()
            if any(words in said for words in _LATER):
                raise TemporaryError(f"{error}: the same transaction is sent again") from error
            if not any(words in said for words in _KNOWN):
                raise

    async def confirmation(self, transaction: str, root: bytes) -> Anchor | None:
        """Where a transaction anchored `root`, once that is final; `None` before.

        A transaction that repeated an anchor leads to the first one. Raises `PermanentError` when it was mined and
        refused, `TemporaryError` when nodes differ.
        """
        receipt = await self._chain.receipt(transaction)
        if receipt is None:
            return None
        block = await self._final(receipt)
        if block is None:
            return None
        if int(str(receipt["status"]), 16) != 1:
            raise PermanentError(f"transaction {transaction} was refused: {await self._reason(transaction, receipt)}")
        logs = [log for log in receipt["logs"] if contract.is_anchored(log) and self._is_ours(log, root)]
        return _anchor(logs[0], block) if logs else await self.lookup(root)

    async def lookup(self, root: bytes, digest: bytes | None = None) -> Anchor | None:
        """The anchor of `root`, whichever transaction of this account made it, once that is final; `None` before.

        Raises `PermanentError` when `digest` is given and the root was anchored with another one, `TemporaryError`
        when nodes differ.
        """
        entry = contract.decode_get(await self._ask(contract.encode_get(self.submitter, root)))
        if entry is None:
            return None
        block_number = hex(entry.block_number)
        wanted = {
            "address": contract.CONTRACT_ADDRESS,
            "topics": [to_hex(contract.ANCHORED_TOPIC), to_hex(root)],
            "fromBlock": block_number,
            "toBlock": block_number,
        }
        logs = [log for log in await self._chain.call("eth_getLogs", [wanted]) or [] if self._is_ours(log, root)]
        if not logs:
            raise TemporaryError(f"a node lacks the anchor in block {entry.block_number} that another has: ask again")
        if digest is not None and contract.decode_anchored(logs[0]).batch_digest != digest:
            raise PermanentError(_REFUSALS["DifferentBatch"])
        block = await self._final(logs[0])
        return None if block is None else _anchor(logs[0], block)

    def _is_ours(self, log: Mapping[str, Any], root: bytes) -> bool:
        anchored = contract.decode_anchored(log)
        return anchored.root == root and anchored.submitter == self.submitter.lower()

    async def _ask(self, data: bytes) -> bytes:
        return await self._chain.call_contract(contract.CONTRACT_ADDRESS, data)

    async def _final(self, mined: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The block that a receipt or log names, when it cannot go away any more."""
        number = int(str(mined["blockNumber"]), 16)
        if self._confirmations and await self._chain.block_number() < number + self._confirmations:
            return None
        block = await self._chain.block(number)
        if block is not None and block["hash"] != mined["blockHash"]:
            raise TemporaryError(f"two nodes show different blocks {number}: the anchor waits until they agree")
        return block

    async def _reason(self, transaction: str, receipt: Mapping[str, Any]) -> str:
        """Why the contract refused: the same call on the state before its block."""
        before = hex(int(str(receipt["blockNumber"]), 16) - 1)
        mined = await self._chain.call("eth_getTransactionByHash", [transaction])
        call = {"from": mined["from"], "to": mined["to"], "data": mined["input"], "gas": mined["gas"]}
        try:
            await self._chain.call("eth_call", [call, before])
        except RpcError as error:
            return self._sentence(error)
        return "the contract's state changed in the same block: try again"

    def _sentence(self, error: RpcError) -> str:
        try:
            name = contract.refusal(from_hex(str(error.data)))
        except ValueError:
            name = None
        return _REFUSALS[name].format(account=self.submitter) if name in _REFUSALS else str(error)


def load_account(keystore: Path, passphrase: Path) -> LocalAccount:
    """The submitting account from its keystore (version 3) and the file with its passphrase.

    Raises `InputError` when a file cannot be read, can be read by others than its owner, is damaged, or the passphrase
    is wrong. No message holds a secret.
    """
    encrypted, words = _secret_text(keystore), _secret_text(passphrase).strip()
    try:
        document = json.loads(encrypted)
        claimed = str(document["address"]).lower().removeprefix("0x")
        account: LocalAccount = Account.from_key(Account.decrypt(document, words))
    except (ValueError, LookupError, TypeError, AttributeError, NotImplementedError, ArithmeticError) as error:
        if "MAC mismatch" in str(error):
            raise InputError(
                f"the passphrase in {passphrase} does not open {keystore}: restore the right one"
            ) from error
        raise InputError(f"{keystore} is not a keystore of version 3 or is damaged: restore it") from error
    if str(account.address).lower() != f"0x{claimed}":
        raise InputError(f"{keystore} holds the key of {account.address} and not of 0x{claimed}: restore it")
    return account


def _secret_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as stream:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise InputError(f"{path} is open to others (mode {mode:04o}): run chmod 600 {path}")
            return stream.read()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): name a file that this user can read") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text: restore it") from error


def _anchor(log: Mapping[str, Any], block: Mapping[str, Any]) -> Anchor:
    return Anchor(
        transaction=str(log["transactionHash"]),
        block_number=int(str(log["blockNumber"]), 16),
        block_hash=str(log["blockHash"]),
        block_time=contract.block_seconds(int(str(block["timestamp"]), 16)),
        log_index=int(str(log["logIndex"]), 16),
        seq=contract.decode_anchored(log).seq,
    )
