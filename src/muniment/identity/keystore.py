"""Keystores of version 3 (Web3 Secret Storage Definition): a private key encrypted under a passphrase.

Written here with `hashlib.scrypt` and `cryptography` instead of eth-account, whose import alone takes over a second and
would be paid at every command. eth-account and geth read what is written here.

The work factor is small on purpose: scrypt slows down guessing of passphrases that people choose, and ours are 256
random bits, which nobody guesses at any speed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import uuid
from typing import Annotated, Literal

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from eth_hash.auto import keccak
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from muniment.identity.keys import address

SCRYPT_N = 4096
SCRYPT_R = 8
_KEY_BYTES = 32
_MOST_MEMORY = 512 * 2**20

Hex16 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]
Hex32 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class _ScryptParameters(BaseModel):
    dklen: Literal[32]
    # Bounds keep a damaged or foreign file from asking for unbounded memory or time: n·r·128 bytes.
    n: int = Field(ge=2, le=2**18)
    r: int = Field(ge=1, le=8)
    p: int = Field(ge=1, le=8)
    salt: Annotated[str, StringConstraints(pattern="^([0-9a-f]{2}){16,64}$")]


class _CipherParameters(BaseModel):
    iv: Hex16


class _Crypto(BaseModel):
    cipher: Literal["aes-128-ctr"]
    cipherparams: _CipherParameters
    ciphertext: Hex32
    kdf: Literal["scrypt"]
    kdfparams: _ScryptParameters
    mac: Hex32


class _Keystore(BaseModel):
    version: Literal[3]
    address: Annotated[str, StringConstraints(pattern="^(0x)?[0-9a-fA-F]{40}$")]
    crypto: _Crypto


class WrongPassphraseError(ValueError):
    """The passphrase does not open this keystore, or its ciphertext was changed."""


def new_passphrase() -> str:
    """A fresh passphrase: 256 random bits as 64 hex digits."""
    return secrets.token_hex(32)


def encrypt(key: str, passphrase: str) -> str:
    """The keystore (JSON text) of a private key (64 hex digits) under `passphrase`."""
    salt, iv = secrets.token_bytes(32), secrets.token_bytes(16)
    derived = _derive(passphrase, salt, n=SCRYPT_N, r=SCRYPT_R, p=1)
    ciphertext = _aes_ctr(derived[:16], iv, bytes.fromhex(key))
    keystore = {
        "version": 3,
        "id": str(uuid.UUID(bytes=secrets.token_bytes(16), version=4)),
        "address": address(key)[2:].lower(),
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": iv.hex()},
            "ciphertext": ciphertext.hex(),
            "kdf": "scrypt",
            "kdfparams": {"dklen": _KEY_BYTES, "n": SCRYPT_N, "r": SCRYPT_R, "p": 1, "salt": salt.hex()},
            "mac": keccak(derived[16:] + ciphertext).hex(),
        },
    }
    return json.dumps(keystore) + "\n"


def decrypt(text: str, passphrase: str) -> str:
    """The private key (64 hex digits) of a keystore.

    Raises `WrongPassphraseError`, or another `ValueError` saying what is wrong: no keystore, an address of another key.
    """
    try:
        keystore = _Keystore.model_validate_json(text)
    except ValidationError as error:
        raise ValueError("it is not a keystore of version 3 with scrypt and aes-128-ctr") from error
    crypto, scrypt = keystore.crypto, keystore.crypto.kdfparams
    try:
        derived = _derive(passphrase, bytes.fromhex(scrypt.salt), n=scrypt.n, r=scrypt.r, p=scrypt.p)
    except ValueError as error:
        raise ValueError("its scrypt parameters cannot be used") from error
    ciphertext = bytes.fromhex(crypto.ciphertext)
    if not hmac.compare_digest(keccak(derived[16:] + ciphertext).hex(), crypto.mac):
        raise WrongPassphraseError("the passphrase does not open it")
    key = _aes_ctr(derived[:16], bytes.fromhex(crypto.cipherparams.iv), ciphertext).hex()
    if address(key)[2:].lower() != keystore.address.removeprefix("0x").lower():
        raise ValueError("its address belongs to another key")
    return key


def _derive(passphrase: str, salt: bytes, *, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(passphrase.encode(), salt=salt, n=n, r=r, p=p, dklen=_KEY_BYTES, maxmem=_MOST_MEMORY)


def _aes_ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    stream = Cipher(AES(key), CTR(iv)).encryptor()
    return stream.update(data) + stream.finalize()
