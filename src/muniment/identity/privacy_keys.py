"""Key pairs of the privacy managers: X25519, in Tessera's file format for keys without a password.

Pure but for the randomness of new keys. `{"type": "unlocked", "data": {"bytes": base64 of 32 bytes}}` (Tessera,
"File-based key pairs"); a public key is written as base64 of its 32 bytes.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from muniment.kernel.encoding import parse_json

KEY_BYTES = 32
UNLOCKED = "unlocked"


def new_privacy_key() -> str:
    """The text of a fresh secret key file."""
    return privacy_key_file(secrets.token_bytes(KEY_BYTES))


def privacy_key_file(secret: bytes) -> str:
    """The text of the file of this secret key."""
    return json.dumps({"type": UNLOCKED, "data": {"bytes": base64.b64encode(secret).decode()}}) + "\n"


def public_privacy_key(text: str) -> str:
    """The public key that belongs to a secret key file, as base64; raises `ValueError` when the file is no such one."""
    try:
        document = parse_json(text)
        if document["type"] != UNLOCKED:
            raise ValueError("its key is locked by a password, and muniment keeps it without")
        secret = base64.b64decode(document["data"]["bytes"], validate=True)
    except (KeyError, TypeError, binascii.Error) as error:
        raise ValueError("it is no key file of Tessera's format") from error
    if len(secret) != KEY_BYTES:
        raise ValueError(f"a secret key has {KEY_BYTES} bytes, not {len(secret)}")
    public = X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    return base64.b64encode(public).decode()
