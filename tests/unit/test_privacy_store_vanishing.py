"""A payload that is there at the first look and gone at the second must never count as one that was never there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from muniment.kernel.errors import TemporaryError
from muniment.privacy.patience import patience
from muniment.privacy.store import SqlStore
from muniment.privacy.values import Payload

pytestmark = pytest.mark.anyio

PAYLOAD = Payload(bytes(32), b"x" * 17, bytes(24), (bytes(48),), bytes(24), (bytes(32),))


class Answers:
    """A database whose look-ups give these, one after the other."""

    def __init__(self, *found: object) -> None:
        self._found: Iterator[object] = iter(found)

    async def glance(self, work: object, hashes: tuple[bytes, ...]) -> dict[bytes, Any]:
        del work
        (payload_hash,) = hashes
        answer = next(self._found)
        return {} if answer is None else {payload_hash: answer}

    read = write = alter = glance

    async def close(self) -> None:
        """Nothing to close."""


async def found(*answers: object) -> Payload | None:
    return await SqlStore(Answers(*answers)).payload(PAYLOAD.hash)  # type: ignore[arg-type]


async def test_one_look_is_enough_for_what_is_not_there() -> None:
    assert await found(None) is None


async def test_what_is_there_is_read() -> None:
    assert await found(True, PAYLOAD) == PAYLOAD


async def test_what_vanished_is_looked_up_again() -> None:
    with patience(20):
        assert await found(True, None, True, PAYLOAD) == PAYLOAD
        assert await found(True, None, None) is None
    with pytest.raises(TemporaryError):
        await found(True, None)
