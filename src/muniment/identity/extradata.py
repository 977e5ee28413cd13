"""The genesis block's extraData for every consensus: built from validators and read back strictly.

Layouts (GoQuorum 22.7.4):
- qbft, core/types/istanbul.go `QBFTExtra`: RLP[vanity, validators, vote = [], round = 0, seals = []];
- ibft, core/types/istanbul.go `IstanbulExtra`: vanity ‖ RLP[validators, seal of 65 zero bytes, seals = []];
- clique, consensus/clique/clique.go: vanity ‖ addresses ‖ 65 zero bytes;
- raft reads nothing here; vanity ‖ addresses keeps the founding nodes in the genesis hash.

The vanity is 32 zero bytes. Validators stand in ascending order of their bytes, so that every operator writes the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from muniment.identity.keys import ADDRESS_BYTES
from muniment.spec.model import Consensus

VANITY = bytes(32)
EMPTY_SEAL = bytes(65)

_SHORT, _STRING, _LIST = 55, 0x80, 0xC0


def build(consensus: Consensus, validators: Iterable[bytes]) -> bytes:
    """The extraData of a genesis block with these validators (20 bytes each, any order)."""
    addresses = sorted(validators)
    match consensus:
        case Consensus.QBFT:
            return _list(_string(VANITY), _addresses(addresses), _list(), _string(b""), _list())
        case Consensus.IBFT:
            return VANITY + _list(_addresses(addresses), _string(EMPTY_SEAL), _list())
        case Consensus.CLIQUE:
            return VANITY + b"".join(addresses) + EMPTY_SEAL
        case Consensus.RAFT:
            return VANITY + b"".join(addresses)


def validators(consensus: Consensus, data: bytes) -> tuple[bytes, ...]:
    """The validators in a genesis block's extraData.

    Strict: only bytes that `build` makes are read. Raises `ValueError` for anything else.
    """
    found = _find(consensus, data)
    if len(set(found)) != len(found) or build(consensus, found) != data:
        raise ValueError(f"extraData is not that of a {consensus.value} genesis block")
    return found


def _find(consensus: Consensus, data: bytes) -> tuple[bytes, ...]:
    # Only where the addresses stand is worked out here: `validators` builds the whole again and compares.
    match consensus:
        case Consensus.QBFT:
            start, end = _payload(data, 0)
            start, end = _payload(data[:end], start + len(_string(VANITY)))
            return _split(data[start:end], item_head=1)
        case Consensus.IBFT:
            start, end = _payload(data, len(VANITY))
            start, end = _payload(data[:end], start)
            return _split(data[start:end], item_head=1)
        case Consensus.CLIQUE:
            return _split(data[len(VANITY) : -len(EMPTY_SEAL)], item_head=0)
        case Consensus.RAFT:
            return _split(data[len(VANITY) :], item_head=0)


def _split(data: bytes, *, item_head: int) -> tuple[bytes, ...]:
    width = item_head + ADDRESS_BYTES
    if len(data) % width:
        raise ValueError("extraData is cut off or damaged")
    return tuple(data[at + item_head : at + width] for at in range(0, len(data), width))


def _payload(data: bytes, at: int) -> tuple[int, int]:
    """Where the payload of the RLP list at `at` begins and ends (Ethereum yellow paper, appendix B)."""
    if at >= len(data) or data[at] < _LIST:
        raise ValueError("extraData is cut off or damaged")
    head, length = 1, data[at] - _LIST
    if length > _SHORT:
        width = length - _SHORT
        head, length = 1 + width, int.from_bytes(data[at + 1 : at + 1 + width], "big")
    return at + head, at + head + length


def _addresses(addresses: Iterable[bytes]) -> bytes:
    return _list(*(_string(address) for address in addresses))


def _string(data: bytes) -> bytes:
    # The one exception of RLP, a single byte below 0x80, does not occur in extraData of a genesis block.
    return _head(_STRING, len(data)) + data


def _list(*items: bytes) -> bytes:
    payload = b"".join(items)
    return _head(_LIST, len(payload)) + payload


def _head(kind: int, length: int) -> bytes:
    if length <= _SHORT:
        return bytes([kind + length])
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([kind + _SHORT + len(digits)]) + digits
