"""Giving payloads back to a member that lost its database, when it asks (Tessera's resend); nothing is kept or changed.

Whoever asks gets only what the holder of its key can open, and where that one announced itself. Requests make us read
many rows: for one key only one at a time is served, then for as long as it took none; and few for all keys together.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from muniment.privacy.enclave import Enclave
from muniment.privacy.envelope import for_recipient
from muniment.privacy.errors import (
    MalformedError,
    NotReadyError,
    RuleError,
    UnknownHashError,
    UnknownKeyError,
    UnopenableError,
)
from muniment.privacy.paging import pages
from muniment.privacy.ports import Peers, Store
from muniment.privacy.values import KEY_BYTES, Payload, PrivacyFlag

MOST_AT_ONCE: Final = 4
"""Keys whose holders get back what they lost at the same time."""

LARGEST_BATCH: Final = 1000
LARGEST_BATCH_BYTES: Final = 8 << 20
"""A batch is sent before it is larger, so that its receiver takes it."""


class Resender:
    """The use cases of a member that others ask for what they lost."""

    def __init__(self, enclave: Enclave, store: Store, peers: Peers) -> None:
        self._enclave = enclave
        self._store = store
        self._peers = peers
        self._busy: set[bytes] = set()
        self._resting: dict[bytes, float] = {}
        """Until when a key must wait, by the monotonic clock."""

    async def resend_one(self, payload_hash: bytes, key: bytes) -> Payload:
        """The payload of this hash for the holder of `key`.

        Raises `UnknownHashError`, `UnknownKeyError` when it is no party, `RuleError` for another privacy flag than 0
        (those need the order that `resend_batch` allows).
        """
        self._check_key(key)
        payload = await self._store.payload(payload_hash)
        if payload is None:
            raise UnknownHashError("there is no payload with this hash")
        if payload.flag is not PrivacyFlag.STANDARD:
            raise RuleError("payloads with a privacy flag are resent in batches only")
        found = self._for(payload, key)
        if found is None:
            raise UnknownKeyError("the key is no party of this payload")
        return found

    async def resend_all(self, key: bytes) -> int:
        """Push everything with privacy flag 0 to the holder of `key`; gives the number of payloads.

        Raises `UnknownKeyError` when nobody announced the key, and as `ports.Peers.push`.
        """
        peer = (await self._peers.resolve([key]))[key]
        count = 0
        with self._alone(key):
            async for payload in self._all(key):
                if payload.flag is PrivacyFlag.STANDARD:
                    await self._peers.push(peer, payload)
                    count += 1
        return count

    async def resend_batch(self, key: bytes, size: int) -> int:
        """Send everything to the holder of `key`, which recovers, in batches of `size`; gives the number of payloads.

        Raises as `resend_all`.
        """
        if size < 1:
            raise MalformedError("a batch has at least one payload")
        peer = (await self._peers.resolve([key]))[key]
        count, batch, large = 0, list[Payload](), 0
        with self._alone(key):
            async for payload in self._all(key):
                size_here = len(payload.ciphertext)
                if batch and (len(batch) >= min(size, LARGEST_BATCH) or large + size_here > LARGEST_BATCH_BYTES):
                    await self._peers.push_batch(peer, batch)
                    batch, large = [], 0
                batch.append(payload)
                large += size_here
                count += 1
            if batch:
                await self._peers.push_batch(peer, batch)
        return count

    async def _all(self, key: bytes) -> AsyncIterator[Payload]:
        async for page in pages(partial(self._store.page, key)):
            for payload in page:
                found = self._for(payload, key)
                if found is not None:
                    yield found

    def _for(self, payload: Payload, key: bytes) -> Payload | None:
        """What the holder of `key` gets of a payload; `None` when it is no party."""
        try:
            payload = self._enclave.named(payload)
        except UnopenableError:
            return None
        if payload.sender == key:
            # It is the sender's: with our boxes, from which it can make its own again.
            ours = [
                (each, box)
                for each, box in zip(payload.recipients, payload.boxes, strict=False)
                if self._enclave.holds(each)
            ]
            if not ours:
                return None
            keys = tuple(each for each, _ in ours)
            if payload.flag is PrivacyFlag.PRIVATE_STATE_VALIDATION:
                keys = tuple(dict.fromkeys((*keys, *payload.recipients)))
            return replace(payload, recipients=keys, boxes=tuple(box for _, box in ours))
        try:
            return for_recipient(payload, key)
        except UnknownKeyError:
            return None

    def _check_key(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise MalformedError(f"a key has {KEY_BYTES} bytes")
        if self._enclave.holds(key):
            raise RuleError("the key is held here: ask another member")

    @contextlib.contextmanager
    def _alone(self, key: bytes) -> Iterator[None]:
        self._check_key(key)
        begun = time.monotonic()
        for rested in [each for each, until in self._resting.items() if until <= begun]:
            del self._resting[rested]
        if key in self._busy or key in self._resting or len(self._busy) >= MOST_AT_ONCE:
            raise NotReadyError("what this key's holder or others lost is being sent already: wait for its end")
        self._busy.add(key)
        try:
            yield
        finally:
            self._busy.discard(key)
            ended = time.monotonic()
            self._resting[key] = ended + (ended - begun)
