from __future__ import annotations

import pytest
from eth_keys import keys as oracle
from eth_utils import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from muniment.identity import keys

# Addresses of the private keys 1 to 4, known far and wide.
KNOWN = (
    "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf",
    "0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF",
    "0x6813Eb9362372EEF6200f3b1dbC3f819671cBA69",
    "0x1efF47bc3a10a45D4B230B5d10E37751FE6AA718",
)
numbers = st.integers(1, keys.CURVE_ORDER - 1)


def hexed(number: int) -> str:
    return f"{number:064x}"


@pytest.mark.parametrize(("number", "address"), list(enumerate(KNOWN, start=1)))
def test_known_addresses(number: int, address: str) -> None:
    assert keys.address(hexed(number)) == address


def test_known_public_key() -> None:
    # The generator of the curve (SEC 2).
    assert keys.enode_id(hexed(1)) == (
        "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
        "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
    )


@given(numbers)
def test_as_eth_keys_computes_it(number: int) -> None:
    public = oracle.PrivateKey(number.to_bytes(32, "big")).public_key
    assert keys.public_key(hexed(number)) == public.to_bytes()
    assert keys.address(hexed(number)) == public.to_checksum_address()


def test_new_keys_are_usable_and_differ() -> None:
    made = {keys.new_key() for _ in range(50)}
    assert len(made) == 50
    assert all(len(keys.enode_id(key)) == 128 for key in made)


@pytest.mark.parametrize(
    "key", ["", "0" * 64, hexed(keys.CURVE_ORDER), "f" * 64, "1" * 63, "1" * 65, "A" * 64, "0x" + "1" * 62, "é" * 64]
)
def test_no_key(key: str) -> None:
    with pytest.raises(ValueError, match="private key"):
        keys.public_key(key)


@given(st.binary(min_size=20, max_size=20))
def test_checksums(raw: bytes) -> None:
    address = keys.checksum_address(raw)
    assert address == to_checksum_address(raw)
    assert keys.address_bytes(address) == raw
    assert keys.address_bytes(address.lower()) == raw


@pytest.mark.parametrize("text", [KNOWN[0].replace("7E5F", "7e5F"), KNOWN[0][:-1], KNOWN[0][2:], "0x" + "g" * 40, ""])
def test_wrong_addresses(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|checksum"):
        keys.address_bytes(text)


def test_addresses_have_twenty_bytes() -> None:
    with pytest.raises(ValueError, match="20 bytes"):
        keys.checksum_address(b"short")


def test_addresses_of_new_nodes_are_in_one_order_by_bytes_and_by_text() -> None:
    made = [keys.address(keys.new_node_key()) for _ in range(40)]
    assert all(text[2:6].isdecimal() for text in made)
    assert keys.disordered(made) is None
    assert sorted(made) == sorted(made, key=keys.address_bytes)


def test_two_validators_that_take_turns_in_two_orders() -> None:
    """As seen: restarted GoQuorum validators had the second one before the first."""
    seen = ("0xaeb3177F4Bfe86e3308C27B658d25BcaFF9108Ad", "0xBCab46800F770E39616073b581332437E3149252")
    others = ("0x4F81108bbB88aC7AC3e937b3714d8F921c9a13ab", "0x88552dB659F6D289e3a784406414Db08245f056E")
    assert keys.disordered([*seen, *others]) == (seen[1], seen[0])
    assert keys.disordered([seen[0], *others]) is None


@given(st.sets(st.binary(min_size=20, max_size=20), max_size=8))
def test_disorder_is_found_whenever_there_is_one(raws: set[bytes]) -> None:
    texts = [keys.checksum_address(raw) for raw in raws]
    assert (keys.disordered(texts) is None) == (sorted(texts) == sorted(texts, key=keys.address_bytes))
