"""Keys on the curve secp256k1: node keys, enode IDs and addresses.

Pure but for the randomness of new keys. The arithmetic is OpenSSL's (through `cryptography`), the hash is legacy
Keccak-256. An enode ID is the uncompressed public key without its leading 0x04 (devp2p `enode` URL scheme); an address
is the last 20 bytes of the hash of the same 64 bytes, written with the checksum of EIP-55.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from itertools import pairwise

from cryptography.hazmat.primitives.asymmetric import ec
from eth_hash.auto import keccak

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""A private key is a number from 1 to this less one (SEC 2, secp256k1)."""

ADDRESS_BYTES = 20
_KEY = re.compile("[0-9a-f]{64}")
_DECIMAL = re.compile("0x[0-9]{4}")


def new_key() -> str:
    """A fresh private key as 64 hex digits."""
    return f"{secrets.randbelow(CURVE_ORDER - 1) + 1:064x}"


def new_node_key() -> str:
    """A fresh private key in the form of GoQuorum's `nodekey` file, whose address begins with four decimal digits.

    With QBFT validators take turns in the order of their addresses: in that of the bytes, and in that of the text once
    they were restarted (consensus/istanbul/backend, `ValidatorSortByByte` in backend.go, `ValidatorSortByString` in
    snapshot.go). In the text a capital B comes before a small a: then restarted validators and others refuse one
    another's proposals, and every block takes many rounds. Among addresses that begin like this both orders are the
    same, but for one pair in ten thousand (`disordered`).
    """
    while True:
        key = new_key()
        if _DECIMAL.match(address(key)):
            return key


def disordered(addresses: Iterable[str]) -> tuple[str, str] | None:
    """Two of the addresses (with checksums) that are in one order by their bytes and in the other by their text; None
    when both orders are the same."""
    by_text = sorted(addresses)
    return next(((one, other) for one, other in pairwise(by_text) if one.lower() > other.lower()), None)


def public_key(key: str) -> bytes:
    """The 64 bytes of the public key; raises `ValueError` unless `key` is 64 hex digits of a number in range."""
    if not _KEY.fullmatch(key):
        raise ValueError("a private key is 64 small hexadecimal digits")
    number = int(key, 16)
    if not 1 <= number < CURVE_ORDER:
        raise ValueError("the private key is not a number of the curve")
    point = ec.derive_private_key(number, ec.SECP256K1()).public_key().public_numbers()
    return point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")


def enode_id(key: str) -> str:
    """The enode ID of a node key, 128 hex digits; raises `ValueError` like `public_key`."""
    return public_key(key).hex()


def address(key: str) -> str:
    """The address of a private key with its checksum; raises `ValueError` like `public_key`."""
    return address_of_public_key(public_key(key))


def address_of_public_key(public: bytes) -> str:
    """The address of a 64-byte public key with its checksum."""
    return checksum_address(keccak(public)[-ADDRESS_BYTES:])


def checksum_address(raw: bytes) -> str:
    """Twenty bytes as an address with the checksum of EIP-55."""
    if len(raw) != ADDRESS_BYTES:
        raise ValueError(f"an address has {ADDRESS_BYTES} bytes, not {len(raw)}")
    digits = raw.hex()
    marks = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(mark, 16) >= 8 else digit for digit, mark in zip(digits, marks, strict=False)
    )


def address_bytes(text: str) -> bytes:
    """The twenty bytes of an address text; raises `ValueError` when it is none or when its checksum is wrong.

    All digits small or all large means that the writer gave no checksum (EIP-55).
    """
    if not re.fullmatch("0x[0-9a-fA-F]{40}", text):
        raise ValueError(f"{text} is no address: 0x and 40 hexadecimal digits")
    raw = bytes.fromhex(text[2:])
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and checksum_address(raw) != text:
        raise ValueError(f"{text} has a wrong checksum: a digit was changed")
    return raw
