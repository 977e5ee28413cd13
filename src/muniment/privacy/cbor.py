"""A payload in CBOR, as late versions of Tessera keep it in their database (CBOREncoder.java). Reading only. Pure.

Eleven items follow one another without anything around them: sender, ciphertext, nonce, recipient nonce, [boxes],
[recipients], privacy flag, [hash, security hash, hash, security hash …], exec hash, [mandatory recipients], group id.
Only byte strings, unsigned numbers and arrays of byte strings occur (RFC 8949, major types 2, 0 and 4; arrays of known
and of unknown length). A general reader would also build tags, big numbers and deep nesting out of rubbish, so nothing
else is read here, and nothing is copied before its length was compared with what is there.
"""

from __future__ import annotations

from typing import Final

from muniment.privacy.envelope import MOST_PARTIES, checked
from muniment.privacy.errors import MalformedError
from muniment.privacy.values import Payload, PrivacyFlag

_NUMBER: Final = 0
_BYTES: Final = 2
_ARRAY: Final = 4
_INDEFINITE: Final = 31
_BREAK: Final = 0xFF
_WIDTHS: Final = {24: 1, 25: 2, 26: 4, 27: 8}
"""Bytes of the number that follows, by the low five bits of an item's first byte (RFC 8949, section 3)."""


def decode_cbor(data: bytes) -> Payload:
    """The payload that these bytes say; raises `MalformedError` when they are not exactly one."""
    reader = _Reader(data)
    sender, ciphertext, nonce, recipient_nonce = (reader.string() for _ in range(4))
    boxes, recipients = reader.strings(MOST_PARTIES), reader.strings(MOST_PARTIES)
    flag = reader.number()
    pairs = reader.strings(2 * MOST_PARTIES)
    exec_hash, mandatory, group_id = reader.string(), reader.strings(MOST_PARTIES), reader.string()
    reader.end()
    if len(pairs) % 2:
        raise MalformedError("an affected transaction of the payload has no security hash")
    return checked(
        Payload(
            sender=sender,
            ciphertext=ciphertext,
            nonce=nonce,
            boxes=boxes,
            recipient_nonce=recipient_nonce,
            recipients=recipients,
            # Tessera reads an unknown value as 0 (PrivacyMode.java, `fromFlag`).
            flag=PrivacyFlag(flag) if flag in tuple(PrivacyFlag) else PrivacyFlag.STANDARD,
            affected=dict(zip(pairs[::2], pairs[1::2], strict=True)),
            exec_hash=exec_hash,
            mandatory=mandatory,
            group_id=group_id,
        )
    )


class _Reader:
    """Takes items from the front of the input."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def end(self) -> None:
        """Raise when something is left."""
        if self._at < len(self._data):
            raise MalformedError(f"{len(self._data) - self._at} bytes too many follow the payload")

    def number(self) -> int:
        """An unsigned number."""
        return self._head(_NUMBER)

    def string(self) -> bytes:
        """A byte string of known length."""
        return self._take(self._head(_BYTES))

    def strings(self, most: int) -> tuple[bytes, ...]:
        """An array of byte strings, its length known or not."""
        if self._peek() == _ARRAY << 5 | _INDEFINITE:
            self._at += 1
            return self._strings_until_break(most)
        count = self._head(_ARRAY)
        if count > min(most, len(self._data) - self._at):
            raise MalformedError(f"the payload cannot have {count} strings in an array")
        return tuple(self.string() for _ in range(count))

    def _strings_until_break(self, most: int) -> tuple[bytes, ...]:
        found: list[bytes] = []
        while self._peek() != _BREAK:
            if len(found) == most:
                raise MalformedError(f"the payload has more than {most} strings in an array")
            found.append(self.string())
        self._at += 1
        return tuple(found)

    def _head(self, kind: int) -> int:
        """The number in the head of an item, which must be of this major type."""
        first = self._take(1)[0]
        low = first & 0x1F
        if first >> 5 != kind or low > max(_WIDTHS):
            raise MalformedError(f"the payload has an item of another kind at byte {self._at - 1}")
        return low if low < min(_WIDTHS) else int.from_bytes(self._take(_WIDTHS[low]), "big")

    def _peek(self) -> int:
        if self._at >= len(self._data):
            raise MalformedError("the payload ends too early")
        return self._data[self._at]

    def _take(self, length: int) -> bytes:
        start = self._at
        if length > len(self._data) - start:
            raise MalformedError("the payload ends too early")
        self._at = start + length
        return self._data[start : self._at]
