"""Key files in Tessera's formats ("File-based key pairs"): unlocked, and locked by a password.

Public: base64 of 32 bytes. Secret, JSON: `{"type": "unlocked", "data": {"bytes": …}}`, or `argon2sbox`, where the
secret key is sealed (XSalsa20-Poly1305) by a key that Argon2 makes of the password (KeyEncryptorImpl.java).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from argon2.exceptions import Argon2Error
from argon2.low_level import Type, hash_secret_raw

from muniment.kernel.encoding import parse_json
from muniment.kernel.errors import InputError
from muniment.kernel.files import PUBLIC_MODE, SECRET_MODE, write_atomically
from muniment.privacy.boxes import KeyPair, fresh_nonce, seal, unseal
from muniment.privacy.errors import UnopenableError
from muniment.privacy.values import BOX_BYTES, KEY_BYTES, NONCE_BYTES

UNLOCKED: Final = "unlocked"
LOCKED: Final = "argon2sbox"
SALT_BYTES: Final = 16

MOST_MEMORY_KIB: Final = 4 << 20
MOST_ITERATIONS: Final = 1000
MOST_LANES: Final = 64
MOST_WORK_KIB: Final = 64 << 20
"""Memory times iterations. A file that asks for more is taken for damaged: it would hold the machine for long.

Tessera's own default is 1 GiB ten times over.
"""
LONGEST_FILE: Final = 65536

_VARIANTS: Final = {"i": Type.I, "d": Type.D, "id": Type.ID}


@dataclass(frozen=True)
class Argon2Options:
    """The cost of a password: memory in KiB, iterations, lanes."""

    variant: str = "id"
    memory: int = 65536
    iterations: int = 3
    parallelism: int = 4

    def key(self, password: str, salt: bytes) -> bytes:
        """The key, 32 bytes, that the password makes. Raises `ValueError` for a cost that cannot be meant."""
        if self.variant not in _VARIANTS:
            raise ValueError(f"there is no variant {self.variant!r} of Argon2")
        limits = ((self.memory, MOST_MEMORY_KIB), (self.iterations, MOST_ITERATIONS), (self.parallelism, MOST_LANES))
        sane = all(type(value) is int and 1 <= value <= most for value, most in limits)
        if not sane or self.memory * self.iterations > MOST_WORK_KIB:
            raise ValueError("the options of Argon2 are out of all bounds")
        try:
            return hash_secret_raw(
                password.encode(),
                salt,
                time_cost=self.iterations,
                memory_cost=self.memory,
                parallelism=self.parallelism,
                hash_len=KEY_BYTES,
                type=_VARIANTS[self.variant],
            )
        except Argon2Error as error:
            raise ValueError(f"Argon2 refuses ({error})") from error


def secret_text(pair: KeyPair, password: str | None = None, options: Argon2Options | None = None) -> str:
    """The text of the secret key's file, locked when there is a password."""
    if password is None:
        return json.dumps({"type": UNLOCKED, "data": {"bytes": _base64(pair.secret)}}) + "\n"
    chosen = options or Argon2Options()
    salt, nonce = secrets.token_bytes(SALT_BYTES), fresh_nonce()
    data = {
        "aopts": {
            "variant": chosen.variant,
            "memory": chosen.memory,
            "iterations": chosen.iterations,
            "parallelism": chosen.parallelism,
        },
        "snonce": _base64(nonce),
        "asalt": _base64(salt),
        "sbox": _base64(seal(pair.secret, nonce, chosen.key(password, salt))),
    }
    return json.dumps({"type": LOCKED, "data": data}) + "\n"


def parse_secret(text: str, password: str | None = None) -> KeyPair:
    """The key pair of a secret key's file. Raises `ValueError` saying what is wrong: file, or password."""
    try:
        document = parse_json(text)
        kind, data = document["type"], document["data"]
        if kind == UNLOCKED:
            return KeyPair.of(_bytes(data["bytes"], KEY_BYTES))
        if kind == LOCKED:
            return _unlock(data, password)
    except (KeyError, TypeError) as error:
        raise ValueError("it is no key file of Tessera's format") from error
    raise ValueError(f"its type is neither {UNLOCKED} nor {LOCKED}")


def read_pair(secret_file: Path, password_file: Path | None = None) -> KeyPair:
    """The key pair in a file, the password in another. Raises `InputError` naming the file."""
    password = None if password_file is None else read_password(password_file)
    try:
        return parse_secret(_text(secret_file), password)
    except ValueError as error:
        raise InputError(f"{secret_file} cannot be used ({error}): name a secret key and its password") from error


def read_password(path: Path) -> str:
    """The password in a file: all of it but the end of the line. Raises `InputError` naming the file."""
    password = _text(path).rstrip("\r\n")
    if not password:
        raise InputError(f"{path} is empty: write the password into it")
    return password


def write_pair(base: Path, pair: KeyPair, password: str | None = None) -> tuple[Path, Path]:
    """Write `base`.key (0600) and `base`.pub; gives both paths. Raises `InputError`; never overwrites a key."""
    if not base.name:
        raise InputError(f"{base} is a directory: name the files to make, without their ending")
    secret_file, public_file = (base.with_name(f"{base.name}.{end}") for end in ("key", "pub"))
    for path in (secret_file, public_file):
        if os.path.lexists(path):
            raise InputError(f"{path} is there already: move it away or choose another name")
    write_atomically(secret_file, secret_text(pair, password).encode(), mode=SECRET_MODE)
    write_atomically(public_file, f"{_base64(pair.public)}\n".encode(), mode=PUBLIC_MODE)
    return secret_file, public_file


def _unlock(data: Mapping[str, Any], password: str | None) -> KeyPair:
    if password is None:
        raise ValueError("it is locked, and no password file is given")
    options = data["aopts"]
    chosen = Argon2Options(options["variant"], options["memory"], options["iterations"], options["parallelism"])
    nonce, box = _bytes(data["snonce"], NONCE_BYTES), _bytes(data["sbox"], BOX_BYTES)
    try:
        return KeyPair.of(unseal(box, nonce, chosen.key(password, _bytes(data["asalt"]))))
    except UnopenableError as error:
        raise ValueError("the password is wrong, or it is damaged") from error


def _text(path: Path) -> str:
    try:
        # O_NONBLOCK: a pipe put in its place must not hang us.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            content = stream.read(LONGEST_FILE + 1)
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        # The decoder's message would show what is in the file.
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "it is no text"
        raise InputError(f"{path} cannot be read ({reason}): name a readable file") from error
    if len(content) > LONGEST_FILE:
        raise InputError(f"{path} is too large to hold a key or a password: name the right file")
    return text


def _bytes(text: Any, length: int | None = None) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("a field of it is not base64") from error
    if length is not None and len(data) != length:
        raise ValueError(f"a field of it has {len(data)} bytes instead of {length}")
    return data


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
