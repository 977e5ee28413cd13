"""What a node says of a receipt's anchor, asked in one request so that one node answers all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from eth_hash.auto import keccak

from muniment.clients.quorum import Call, QuorumClient
from muniment.kernel.encoding import from_hex, to_hex
from muniment.kernel.errors import PermanentError, TemporaryError
from muniment.proof import contract
from muniment.proof.contract import CODE_HASH, CONTRACT_ADDRESS
from muniment.proof.receipt import Receipt
from muniment.proof.verify import ChainFacts, TransactionFacts

LATEST: Final = "latest"


async def ask(url: str, receipt: Receipt) -> ChainFacts:
    """What the node or gateway at `url` says of an anchored receipt.

    Raises `TemporaryError` or `PermanentError` when there is no answer, or one that makes no sense.
    """
    async with QuorumClient(url) as client:
        answers = await client.batch(_questions(receipt))
    try:
        return _facts(answers)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TemporaryError(f"{url} answered what no node answers ({error!r}): ask another") from error


def _questions(receipt: Receipt) -> list[Call]:
    anchor, log = receipt.anchor, receipt.log
    if anchor is None or log is None:
        raise PermanentError("the receipt is not anchored: fetch it again from its notary")

    def view(data: bytes) -> Call:
        return "eth_call", [{"to": CONTRACT_ADDRESS, "data": to_hex(data)}, LATEST]

    return [
        ("eth_chainId", []),
        ("eth_getCode", [CONTRACT_ADDRESS, LATEST]),
        # Before the rest: what follows is then of this block or a later one.
        ("eth_blockNumber", []),
        view(contract.encode_get(anchor.submitter, log.root)),
        view(contract.encode_digest_of(anchor.submitter, log.root)),
        ("eth_getBlockByNumber", [hex(anchor.block_number), False]),
        ("eth_getTransactionReceipt", [to_hex(anchor.transaction)]),
    ]


def _facts(answers: list[Any]) -> ChainFacts:
    chain_id, code, head, entry, batch_digest, block, mined = answers
    code_hash = keccak(from_hex(code))
    if code_hash != CODE_HASH:
        # Another contract's answers, or nobody's, mean nothing.
        return ChainFacts(_number(chain_id), code_hash)
    return ChainFacts(
        chain_id=_number(chain_id),
        code_hash=code_hash,
        head=_number(head),
        entry=contract.decode_get(from_hex(entry)),
        batch_digest=contract.decode_digest_of(from_hex(batch_digest)),
        block_hash="" if block is None else str(block["hash"]),
        block_time=0 if block is None else contract.block_seconds(_number(block["timestamp"])),
        transaction=None if mined is None else _transaction(mined),
    )


def _transaction(mined: Mapping[str, Any]) -> TransactionFacts:
    logs = [log for log in mined["logs"] if contract.is_anchored(log)]
    return TransactionFacts(str(mined["blockHash"]), tuple(contract.decode_anchored(log) for log in logs))


def _number(value: Any) -> int:
    return int(str(value), 16)
