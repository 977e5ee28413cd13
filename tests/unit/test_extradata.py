from __future__ import annotations

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from muniment.identity import extradata, keys
from muniment.spec.model import Consensus
from tests.unit.identities import node_key

ADDRESSES = [keys.address_bytes(keys.address(node_key(number))) for number in (1, 2, 3, 4)]
consensus_types = st.sampled_from(Consensus)
validator_sets = st.sets(st.binary(min_size=20, max_size=20), min_size=1, max_size=60)

# The list of the addresses of keys 1 to 4 as it stands in a GoQuorum header (there in the order of the keys).
LISTED = bytes.fromhex(
    "f854947e5f4552091a69125d5dfcb7b8c2659029395bdf942b5ad5c4795c026514f8317c7a215e218dccd6cf"
    "946813eb9362372eef6200f3b1dbc3f819671cba69941eff47bc3a10a45d4b230b5d10e37751fe6aa718"
)


@given(consensus_types, validator_sets)
def test_round_trip_in_ascending_order(consensus: Consensus, addresses: set[bytes]) -> None:
    data = extradata.build(consensus, addresses)
    assert extradata.validators(consensus, data) == tuple(sorted(addresses))


@given(validator_sets)
def test_rlp_is_what_the_rlp_package_writes(addresses: set[bytes]) -> None:
    ordered = sorted(addresses)
    qbft = rlp.encode([bytes(32), ordered, [], b"", []])
    ibft = bytes(32) + rlp.encode([ordered, bytes(65), []])
    assert extradata.build(Consensus.QBFT, addresses) == qbft
    assert extradata.build(Consensus.IBFT, addresses) == ibft


def test_qbft_of_known_keys() -> None:
    data = extradata.build(Consensus.QBFT, ADDRESSES)
    order = [3, 1, 2, 0]
    listed = b"\xf8\x54" + b"".join(b"\x94" + ADDRESSES[index] for index in order)
    assert sorted(listed) == sorted(LISTED)
    assert data == b"\xf8\x7a\xa0" + bytes(32) + listed + b"\xc0\x80\xc0"


def test_clique_and_raft_of_known_keys() -> None:
    joined = b"".join(sorted(ADDRESSES))
    assert extradata.build(Consensus.CLIQUE, ADDRESSES) == bytes(32) + joined + bytes(65)
    assert extradata.build(Consensus.RAFT, ADDRESSES) == bytes(32) + joined


@given(consensus_types, validator_sets, st.data())
def test_a_changed_byte_is_refused_or_changes_an_address(
    consensus: Consensus, addresses: set[bytes], draw: st.DataObject
) -> None:
    data = bytearray(extradata.build(consensus, addresses))
    data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    try:
        found = extradata.validators(consensus, bytes(data))
    except ValueError:
        return
    assert set(found) != addresses


@given(consensus_types, st.binary(max_size=300))
def test_rubbish(consensus: Consensus, data: bytes) -> None:
    try:
        found = extradata.validators(consensus, data)
    except ValueError:
        return
    assert extradata.build(consensus, found) == data


@pytest.mark.parametrize("consensus", Consensus)
def test_nothing_may_follow(consensus: Consensus) -> None:
    with pytest.raises(ValueError, match="extraData"):
        extradata.validators(consensus, extradata.build(consensus, ADDRESSES) + b"\0")


@pytest.mark.parametrize("consensus", Consensus)
def test_order_and_doubles(consensus: Consensus) -> None:
    right = extradata.build(consensus, ADDRESSES)
    low, high = sorted(ADDRESSES)[:2]
    swapped = right.replace(low, b"-" * 20).replace(high, low).replace(b"-" * 20, high)
    for wrong in (swapped, right.replace(high, low)):
        with pytest.raises(ValueError, match="extraData"):
            extradata.validators(consensus, wrong)
