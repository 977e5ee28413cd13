"""The store in memory: for tests of what uses a store, and the plainest form of what every store must do."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from muniment.kernel.errors import IntegrityError
from muniment.privacy.errors import ConflictError
from muniment.privacy.store_member import STALE_SECONDS
from muniment.privacy.values import Checked, Payload, Peer, RawPayload


@dataclass
class _Known:
    """A row of the peer table."""

    versions: frozenset[str] = frozenset()
    heard_at: float | None = None
    failures: int = 0


class MemoryStore:
    """See `ports.Store`. `clock` gives seconds; `failure`, when set, is raised by every call."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.failure: Exception | None = None
        self._clock = clock
        self._payloads: dict[bytes, Payload] = {}
        self._raw: dict[bytes, RawPayload] = {}
        self._wrapped: dict[bytes, Payload] = {}
        self._staged: dict[bytes, Payload] = {}
        self._peers: dict[str, _Known] = {}
        self._owners: dict[bytes, tuple[str, float]] = {}
        self._leases: dict[str, tuple[str, float]] = {}
        self._own_keys: frozenset[bytes] = frozenset()
        self._instance = ""
        self._recovering = False

    async def migrate(self) -> None:
        self._begin()

    async def payload(self, payload_hash: bytes) -> Payload | None:
        self._begin()
        return self._payloads.get(payload_hash)

    async def payloads(self, hashes: Collection[bytes]) -> Mapping[bytes, Payload]:
        self._begin()
        return {each: self._payloads[each] for each in hashes if each in self._payloads}

    async def add(self, payload: Payload, *, was_wrapped: bool = False) -> None:
        self._begin()
        known = self._payloads.get(payload.hash)
        self._payloads[payload.hash] = payload if known is None else _with_boxes(known, payload)
        if was_wrapped:
            self._wrapped.pop(payload.hash, None)

    async def replace(self, payload: Payload) -> None:
        self._begin()
        self._payloads[payload.hash] = payload

    async def delete(self, payload_hash: bytes) -> bool:
        self._begin()
        gone = [kept.pop(payload_hash, None) for kept in (self._payloads, self._raw, self._wrapped)]
        return any(one is not None for one in gone)

    async def page(self, key: bytes, after: bytes, limit: int) -> Sequence[Payload]:
        self._begin()
        return [
            payload
            for each, payload in sorted(self._payloads.items())
            if each > after and (key in (payload.sender, *payload.recipients) or not payload.recipients)
        ][:limit]

    async def raw(self, payload_hash: bytes) -> RawPayload | None:
        self._begin()
        return self._raw.get(payload_hash)

    async def add_raw(self, raw: RawPayload) -> None:
        self._begin()
        self._raw.setdefault(raw.hash, raw)

    async def wrapped(self, payload_hash: bytes) -> Payload | None:
        self._begin()
        return self._wrapped.get(payload_hash)

    async def keep_wrapped(self, payload: Payload) -> Payload:
        self._begin()
        return self._wrapped.setdefault(payload.hash, payload)

    async def peers(self) -> Sequence[Peer]:
        self._begin()
        return [self._peer(url, self._keys(url)) for url in self._peers]

    async def owner(self, key: bytes) -> Peer | None:
        self._begin()
        return self._peer(self._owners[key][0], {key}) if key in self._owners else None

    async def announce(self, peer: Peer) -> None:
        self._begin()
        now = self._clock()
        self._peers[peer.url] = _Known(peer.versions, now)
        for key in self._keys(peer.url) - peer.keys:
            del self._owners[key]
        for key in peer.keys:
            url, heard_at = self._owners.get(key, (peer.url, now))
            if url == peer.url or now - heard_at > STALE_SECONDS:
                self._owners[key] = (peer.url, now)

    async def learn(self, urls: Collection[str]) -> None:
        self._begin()
        for url in urls:
            self._peers.setdefault(url, _Known())

    async def note_failure(self, url: str) -> None:
        self._begin()
        if url in self._peers:
            self._peers[url].failures += 1

    async def take_lease(self, name: str, holder: str, seconds: float) -> bool:
        self._begin()
        now = self._clock()
        known, until = self._leases.get(name, (holder, now))
        if known != holder and until >= now:
            return False
        self._leases[name] = (holder, now + seconds)
        return True

    async def claim(self, keys: Collection[bytes]) -> str:
        self._begin()
        self._instance = self._instance or f"{id(self):032x}"
        if not self._own_keys.issubset(keys):
            raise IntegrityError("the store keeps payloads of a key that is not held here: give all keys")
        self._own_keys = frozenset(keys)
        return self._instance

    async def check(self) -> Checked:
        self._begin()
        if not self._instance:
            raise IntegrityError("the store was emptied: restore it")
        return Checked(self._instance, self._recovering)

    async def adopt(self, instance: str) -> None:
        self._begin()
        self._instance = instance

    async def is_empty(self) -> bool:
        self._begin()
        return not self._payloads

    async def recovering(self) -> bool:
        self._begin()
        return self._recovering

    async def set_recovering(self, recovering: bool) -> None:
        self._begin()
        self._recovering = recovering
        if recovering:
            self._staged.clear()

    async def stage(self, payloads: Collection[Payload]) -> None:
        self._begin()
        for payload in payloads:
            known = self._staged.get(payload.hash)
            self._staged[payload.hash] = payload if known is None else _with_boxes(known, payload)

    async def staged(self, after: bytes, limit: int) -> Sequence[Payload]:
        self._begin()
        return [payload for each, payload in sorted(self._staged.items()) if each > after][:limit]

    async def close(self) -> None:
        """Nothing is open."""

    def _begin(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _keys(self, url: str) -> frozenset[bytes]:
        return frozenset(key for key, (owner, _) in self._owners.items() if owner == url)

    def _peer(self, url: str, keys: Collection[bytes]) -> Peer:
        return Peer(url, frozenset(keys), self._peers[url].versions)


def _with_boxes(known: Payload, payload: Payload) -> Payload:
    """`known` with the recipients and boxes that only `payload` has, in front."""
    same = ("sender", "nonce", "recipient_nonce", "flag", "exec_hash")
    if any(getattr(known, name) != getattr(payload, name) for name in same) or set(known.mandatory) != set(
        payload.mandatory
    ):
        raise ConflictError("another payload with the same hash is kept here: it was refused")
    held = dict(zip(known.recipients, known.boxes, strict=False))
    pairs = zip(payload.recipients, payload.boxes, strict=False)
    boxes = {**{key: box for key, box in pairs if key not in held}, **held}
    order = dict.fromkeys((*boxes, *known.recipients, *payload.recipients))
    return replace(known, recipients=tuple(order), boxes=tuple(boxes.values()))
