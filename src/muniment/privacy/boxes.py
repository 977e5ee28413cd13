"""NaCl as privacy managers use it: key pairs, and sealing by a secret key or between two key pairs. Pure.

X25519 and XSalsa20-Poly1305 (libsodium's `crypto_box`), the authenticator first and no padding. The key that two pairs
share is computed once for each two and kept: it costs thirty times as much as sealing a box with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from nacl import bindings
from nacl.exceptions import CryptoError
from nacl.utils import random

from muniment.privacy.errors import MalformedError, UnopenableError
from muniment.privacy.values import KEY_BYTES, NONCE_BYTES

SHARED_KEYS: Final = 4096
"""So many shared keys are kept for a pair; then the one used least recently is forgotten."""


@dataclass(frozen=True)
class KeyPair:
    """An X25519 key pair, 32 bytes each."""

    public: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> KeyPair:
        """A fresh pair."""
        return cls.of(random(KEY_BYTES))

    @classmethod
    def of(cls, secret: bytes) -> KeyPair:
        """The pair of this secret key; raises `ValueError` when it has not 32 bytes."""
        if len(secret) != KEY_BYTES:
            raise ValueError(f"a secret key has {KEY_BYTES} bytes, not {len(secret)}")
        return cls(bindings.crypto_scalarmult_base(secret), secret)


class SharedKeys:
    """The keys that one pair shares with others; may be used by several threads."""

    def __init__(self, pair: KeyPair) -> None:
        self._pair = pair
        self._kept = lru_cache(maxsize=SHARED_KEYS)(self._compute)

    def __call__(self, other: bytes) -> bytes:
        """The key shared with the holder of the public key `other`; raises `MalformedError` when that is no key."""
        return self._kept(other)

    def _compute(self, other: bytes) -> bytes:
        try:
            return bindings.crypto_box_beforenm(other, self._pair.secret)
        except (ValueError, RuntimeError) as error:
            # Points of small order are 32 bytes too, and share the same key with everybody.
            raise MalformedError("a public key of a payload is not one that boxes can be made for") from error


def seal(plain: bytes, nonce: bytes, key: bytes) -> bytes:
    """Encrypt and authenticate; 16 bytes longer than `plain`."""
    return bindings.crypto_secretbox_easy(plain, nonce, key)


def unseal(sealed: bytes, nonce: bytes, key: bytes) -> bytes:
    """What was sealed; raises `UnopenableError` when it was sealed with another key or nonce, or was changed."""
    try:
        return bindings.crypto_secretbox_open_easy(sealed, nonce, key)
    except (CryptoError, TypeError, ValueError) as error:
        raise UnopenableError("a sealed text does not open with this key: it was changed, or is for another") from error


def fresh_key() -> bytes:
    """A random key for one payload."""
    return random(KEY_BYTES)


def fresh_nonce() -> bytes:
    """A random nonce."""
    return random(NONCE_BYTES)
