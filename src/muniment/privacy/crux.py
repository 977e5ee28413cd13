"""A payload as crux keeps it (api/encoding.go): the first five fields of the common format, and recipients beside them.

`F sender, F ciphertext, F nonce, A boxes, F recipient nonce` as one field, and the recipients: as a list of their own,
or both as a list of two fields. Buffers were stored whole, so zeros may follow. Pure.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Final

from muniment.privacy.envelope import checked, decode
from muniment.privacy.errors import MalformedError
from muniment.privacy.values import Payload

_NUMBER: Final = struct.Struct(">q")
_PAIR: Final = 2
MOST_RECIPIENTS: Final = 4096


def decode_crux(data: bytes) -> Payload:
    """The payload that these bytes say; raises `MalformedError` when they are none."""
    for form in (_two_fields, _field_and_list, _alone):
        try:
            return form(data)
        except MalformedError:
            continue
    raise MalformedError("it is no payload of crux")


def _two_fields(data: bytes) -> Payload:
    reader = _Reader(data)
    if reader.number() != _PAIR:
        raise MalformedError("it is no pair")
    payload, keys = reader.field(), _Reader(reader.field())
    reader.zeros()
    return _whole(payload, keys.fields())


def _field_and_list(data: bytes) -> Payload:
    reader = _Reader(data)
    payload, keys = reader.field(), reader.fields()
    reader.zeros()
    return _whole(payload, keys)


def _alone(data: bytes) -> Payload:
    return _whole(data, ())


def _whole(encoded: bytes, keys: tuple[bytes, ...]) -> Payload:
    reader = _Reader(encoded)
    reader.field(), reader.field(), reader.field(), reader.fields(), reader.field()
    payload = decode(encoded[: reader.at])
    reader.zeros()
    return checked(replace(payload, recipients=keys))


class _Reader:
    """Takes fields from the front of the input."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def number(self) -> int:
        """Eight bytes."""
        try:
            (number,) = _NUMBER.unpack_from(self._data, self.at)
        except struct.error as error:
            raise MalformedError("it ends too early") from error
        self.at += _NUMBER.size
        return int(number)

    def field(self) -> bytes:
        """A length and so many bytes."""
        length = self.number()
        if not 0 <= length <= len(self._data) - self.at:
            raise MalformedError("it ends within a field")
        self.at += length
        return self._data[self.at - length : self.at]

    def fields(self) -> tuple[bytes, ...]:
        """A count and so many fields."""
        count = self.number()
        if not 0 <= count <= min(MOST_RECIPIENTS, (len(self._data) - self.at) // _NUMBER.size):
            raise MalformedError("it cannot have so many fields")
        return tuple(self.field() for _ in range(count))

    def zeros(self) -> None:
        """Raise unless only zeros are left."""
        if any(self._data[self.at :]):
            raise MalformedError("something follows it")
