"""Party info as bytes: what privacy managers tell one another about themselves (Tessera PartyInfoParser.java). Pure.

`F url`, a count and so many (`F key`, `F url`), a count and so many `F url` of other managers; texts in UTF-8. `F` is a
64-bit big-endian length and so many bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from muniment.privacy.errors import MalformedError
from muniment.privacy.values import KEY_BYTES

LONGEST_URL: Final = 2048
MOST_KEYS: Final = 4096
MOST_PARTIES: Final = 4096

_NUMBER: Final = struct.Struct(">q")


@dataclass(frozen=True)
class PartyInfo:
    """A manager's URL, the keys that it knows with the URLs of their holders, and the managers that it knows."""

    url: str
    keys: tuple[tuple[bytes, str], ...] = ()
    parties: tuple[str, ...] = ()


def encode(info: PartyInfo) -> bytes:
    """The bytes of a party info."""
    parts = [_field(info.url.encode()), _NUMBER.pack(len(info.keys))]
    for key, url in info.keys:
        parts += (_field(key), _field(url.encode()))
    parts.append(_NUMBER.pack(len(info.parties)))
    parts += (_field(url.encode()) for url in info.parties)
    return b"".join(parts)


def decode(data: bytes) -> PartyInfo:
    """The party info that these bytes say; raises `MalformedError` when they are none, or say too much."""
    reader = _Reader(data)
    url = reader.text()
    keys = []
    for _ in range(reader.count("keys", MOST_KEYS)):
        key = reader.field(KEY_BYTES)
        if len(key) != KEY_BYTES:
            raise MalformedError(f"a key in a party info has {KEY_BYTES} bytes, not {len(key)}")
        keys.append((key, reader.text()))
    parties = tuple(reader.text() for _ in range(reader.count("URLs", MOST_PARTIES)))
    reader.end()
    return PartyInfo(url, tuple(keys), parties)


def normalise_url(url: str) -> str:
    """The URL as managers compare it: with a final slash where it has no path (Tessera NodeUri.java).

    Raises `MalformedError` when it is no http or https URL of a host.
    """
    try:
        parsed = urlsplit(url)
        whole = parsed.scheme in ("http", "https") and bool(parsed.hostname) and parsed.port != 0
    except ValueError as error:
        raise MalformedError(f"{url[:100]!r} is no URL of a privacy manager") from error
    strange = len(url) > LONGEST_URL or parsed.query or parsed.fragment or "@" in parsed.netloc or not url.isprintable()
    if strange or " " in url or not whole:
        raise MalformedError(f"{url[:100]!r} is no URL of a privacy manager")
    return url if parsed.path else f"{url}/"


def normal_or_none(url: str) -> str | None:
    """`normalise_url`, and `None` for what is no URL of a manager."""
    try:
        return normalise_url(url)
    except MalformedError:
        return None


def keys_of(info: PartyInfo, url: str) -> Sequence[bytes]:
    """The keys that the manager at `url`, which is normal, says are its own; each once."""
    return tuple(dict.fromkeys(key for key, place in info.keys if normal_or_none(place) == url))


def _field(data: bytes) -> bytes:
    return _NUMBER.pack(len(data)) + data


class _Reader:
    """Takes fields from the front of the input."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def end(self) -> None:
        """Raise when something is left."""
        if self._at < len(self._data):
            raise MalformedError(f"{len(self._data) - self._at} bytes too many follow the party info")

    def count(self, what: str, most: int) -> int:
        """A count that may be true."""
        count = self._number()
        if not 0 <= count <= min(most, (len(self._data) - self._at) // _NUMBER.size):
            raise MalformedError(f"a party info cannot have {count} {what}")
        return count

    def field(self, longest: int) -> bytes:
        """A length and so many bytes."""
        length = self._number()
        start = self._at
        if not 0 <= length <= min(longest, len(self._data) - start):
            raise MalformedError(f"a party info has a field of {length} bytes")
        self._at = start + length
        return self._data[start : self._at]

    def text(self) -> str:
        """A field of UTF-8."""
        try:
            return self.field(LONGEST_URL).decode()
        except UnicodeDecodeError as error:
            raise MalformedError("a URL in a party info is no text") from error

    def _number(self) -> int:
        try:
            (number,) = _NUMBER.unpack_from(self._data, self._at)
        except struct.error as error:
            raise MalformedError("a party info ends too early") from error
        self._at += _NUMBER.size
        return int(number)
