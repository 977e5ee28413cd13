"""A payload as bytes: the format that Constellation began and Tessera kept ("LEGACY"; LegacyPayloadEncoder.java). Pure.

Every length and every count is a signed 64-bit big-endian number. `F` below is a length and so many bytes, `A` a count
and so many `F`:

    F sender, F ciphertext, F nonce, A boxes, F recipient nonce,
    A recipients        a reader accepts that the input ends before this
    F privacy flag      … or before this (then it is 0)
    n x (F hash, F security hash)
    F exec hash         with flag 3 only
    A mandatory         with flag 2 only
    F group id          only when there is one

The boxes come *before* the recipient nonce. Nothing is copied before its length was compared with what is there.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from muniment.privacy.errors import MalformedError, UnknownKeyError
from muniment.privacy.values import BOX_BYTES, HASH_BYTES, KEY_BYTES, NONCE_BYTES, SEAL_BYTES, Payload, PrivacyFlag

MOST_PARTIES: Final = 4096
"""A payload names fewer recipients, affected transactions and mandatory recipients than this, each."""
LONGEST_GROUP_ID: Final = 64
LONGEST_EXEC_HASH: Final = 128
"""Bytes of both; in practice 32 and 44."""

_NUMBER: Final = struct.Struct(">q")
_FLAGS: Final = frozenset(flag.value for flag in PrivacyFlag)


def encode(payload: Payload) -> bytes:
    """The bytes of a payload, as they are pushed, stored and answered."""
    parts: list[bytes] = []
    for field in (payload.sender, payload.ciphertext, payload.nonce):
        _put(parts, field)
    _put_all(parts, payload.boxes)
    _put(parts, payload.recipient_nonce)
    _put_all(parts, payload.recipients)
    _put(parts, bytes((payload.flag,)))
    parts.append(_NUMBER.pack(len(payload.affected)))
    for affected, security_hash in payload.affected.items():
        _put(parts, affected)
        _put(parts, security_hash)
    if payload.flag is PrivacyFlag.PRIVATE_STATE_VALIDATION:
        _put(parts, payload.exec_hash)
    if payload.flag is PrivacyFlag.MANDATORY_RECIPIENTS:
        _put_all(parts, payload.mandatory)
    if payload.group_id:
        _put(parts, payload.group_id)
    return b"".join(parts)


def decode(data: bytes) -> Payload:
    """The payload that these bytes say; raises `MalformedError` when they are not exactly one."""
    reader = _Reader(data)
    sender = reader.field("sender")
    ciphertext = reader.field("ciphertext")
    nonce = reader.field("nonce")
    boxes = reader.fields("box")
    recipient_nonce = reader.field("recipient nonce")
    recipients = reader.fields("recipient") if reader.more else ()
    if not reader.more:
        return checked(Payload(sender, ciphertext, nonce, boxes, recipient_nonce, recipients))
    flag = _flag(reader.field("privacy flag"))
    affected = reader.pairs()
    exec_hash = reader.field("exec hash") if flag is PrivacyFlag.PRIVATE_STATE_VALIDATION else b""
    mandatory = reader.fields("mandatory recipient") if flag is PrivacyFlag.MANDATORY_RECIPIENTS else ()
    group_id = reader.field("group id") if reader.more else b""
    reader.end()
    return checked(
        Payload(
            sender,
            ciphertext,
            nonce,
            boxes,
            recipient_nonce,
            recipients,
            flag,
            affected,
            exec_hash,
            mandatory,
            group_id,
        )
    )


def for_recipient(payload: Payload, key: bytes) -> Payload:
    """What is pushed to the holder of `key`: its box alone.

    Others' keys are left out too, but with private state validation, where every party knows all: there `key` comes
    first (Tessera EncodedPayload.java, `forRecipient`). Raises `UnknownKeyError` when `key` has no box in the payload.
    """
    try:
        box = payload.boxes[payload.recipients.index(key)]
    except (ValueError, IndexError) as error:
        raise UnknownKeyError(
            "the payload has no box for this key: ask with the key of one of its recipients"
        ) from error
    if payload.flag is PrivacyFlag.PRIVATE_STATE_VALIDATION:
        keys = (key, *(other for other in payload.recipients if other != key))
    else:
        keys = (key,)
    return replace(payload, boxes=(box,), recipients=keys)


def checked(payload: Payload) -> Payload:
    """The payload, when its fields have the lengths and agree with one another as Tessera's builder demands.

    Raises `MalformedError` otherwise.
    """
    _check_lengths("sender", (payload.sender,), KEY_BYTES)
    _check_lengths("nonce", (payload.nonce, payload.recipient_nonce), NONCE_BYTES)
    _check_lengths("box", payload.boxes, BOX_BYTES)
    _check_lengths("recipient", (*payload.recipients, *payload.mandatory), KEY_BYTES)
    _check_lengths("hash", (*payload.affected, *payload.affected.values()), HASH_BYTES)
    if len(payload.ciphertext) < SEAL_BYTES:
        raise MalformedError(f"the ciphertext of a payload has at least {SEAL_BYTES} bytes")
    if max(len(payload.boxes), len(payload.recipients), len(payload.affected), len(payload.mandatory)) > MOST_PARTIES:
        raise MalformedError(f"a payload has at most {MOST_PARTIES} recipients and affected transactions")
    if payload.recipients and len(payload.boxes) > len(payload.recipients):
        raise MalformedError("a payload has more boxes than recipients")
    if len(set(payload.recipients)) < len(payload.recipients):
        raise MalformedError("a payload names a recipient twice")
    _check_exec_hash(payload)
    if len(payload.group_id) > LONGEST_GROUP_ID:
        raise MalformedError(f"the group id of a payload has at most {LONGEST_GROUP_ID} bytes")
    if bool(payload.mandatory) is not (payload.flag is PrivacyFlag.MANDATORY_RECIPIENTS):
        raise MalformedError("a payload has mandatory recipients if and only if its privacy flag is 2")
    return payload


def is_base64(text: bytes) -> bool:
    """Whether this is base64 as GoQuorum writes and reads it.

    An exec hash must be: GoQuorum silently skips a transaction whose exec hash it cannot read, and then its private
    state is wrong for ever.
    """
    try:
        return binascii.b2a_base64(binascii.a2b_base64(text), newline=False) == text
    except binascii.Error:
        return False


def _check_exec_hash(payload: Payload) -> None:
    if bool(payload.exec_hash) is not (payload.flag is PrivacyFlag.PRIVATE_STATE_VALIDATION):
        raise MalformedError("a payload has an exec hash if and only if its privacy flag is 3")
    if not is_base64(payload.exec_hash) or len(payload.exec_hash) > LONGEST_EXEC_HASH:
        raise MalformedError(f"the exec hash of a payload is base64 of at most {LONGEST_EXEC_HASH} bytes")


def _put(parts: list[bytes], field: bytes) -> None:
    parts.append(_NUMBER.pack(len(field)))
    parts.append(field)


def _put_all(parts: list[bytes], fields: tuple[bytes, ...]) -> None:
    parts.append(_NUMBER.pack(len(fields)))
    for field in fields:
        _put(parts, field)


def _flag(field: bytes) -> PrivacyFlag:
    if len(field) != 1:
        raise MalformedError("the privacy flag of a payload has one byte")
    # Tessera reads an unknown value as 0 (PrivacyMode.java, `fromFlag`).
    return PrivacyFlag(field[0]) if field[0] in _FLAGS else PrivacyFlag.STANDARD


def _check_lengths(what: str, fields: Iterable[bytes], length: int) -> None:
    for field in fields:
        if len(field) != length:
            raise MalformedError(f"the {what} of a payload has {length} bytes, not {len(field)}")


class _Reader:
    """Takes fields from the front of the input."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def more(self) -> bool:
        """Whether something is left."""
        return self._at < len(self._data)

    def end(self) -> None:
        """Raise when something is left."""
        if self.more:
            raise MalformedError(f"{len(self._data) - self._at} bytes too many follow the payload")

    def field(self, what: str) -> bytes:
        """A length and so many bytes."""
        length = self._number(what)
        start = self._at
        if not 0 <= length <= len(self._data) - start:
            raise MalformedError(f"the payload ends within its {what}")
        self._at = start + length
        return self._data[start : self._at]

    def fields(self, what: str) -> tuple[bytes, ...]:
        """A count and so many fields."""
        return tuple(self.field(what) for _ in range(self._count(what)))

    def pairs(self) -> dict[bytes, bytes]:
        """A count and so many affected transactions with their security hashes."""
        count = self._count("affected transaction")
        return {self.field("affected transaction"): self.field("security hash") for _ in range(count)}

    def _count(self, what: str) -> int:
        count = self._number(what)
        if not 0 <= count <= min(MOST_PARTIES, (len(self._data) - self._at) // _NUMBER.size):
            raise MalformedError(f"the payload cannot have {count} times the field {what}")
        return count

    def _number(self, what: str) -> int:
        try:
            (number,) = _NUMBER.unpack_from(self._data, self._at)
        except struct.error as error:
            raise MalformedError(f"the payload ends before its {what}") from error
        self._at += _NUMBER.size
        return int(number)
