"""The store in memory: `ports.Store` without a database, for tests of what stands above it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from muniment.kernel.errors import IntegrityError, TemporaryError
from muniment.privacy.errors import ConflictError
from muniment.privacy.store_member import STALE_SECONDS
from muniment.privacy.store_payloads import merged
from muniment.privacy.values import Checked, Payload, Peer, PrivacyFlag, RawPayload


class MemoryStore:
    """One member's database. `away` makes every call fail as if the database could not be reached."""

    def __init__(self) -> None:
        self.kept: dict[bytes, Payload] = {}
        self.raws: dict[bytes, RawPayload] = {}
        self.wraps: dict[bytes, Payload] = {}
        self.table: dict[str, tuple[frozenset[str], float]] = {}
        self.owners: dict[bytes, tuple[str, float]] = {}
        self.failures: dict[str, int] = {}
        self.leases: dict[str, tuple[str, float]] = {}
        self.keys: set[bytes] = set()
        self.instance = "memory"
        self.recovers = False
        self.stages: dict[bytes, Payload] = {}
        self.away = False
        self.calls = 0

    async def migrate(self) -> None:
        self._called()

    async def payload(self, payload_hash: bytes) -> Payload | None:
        self._called()
        return self.kept.get(payload_hash)

    async def payloads(self, hashes: Collection[bytes]) -> Mapping[bytes, Payload]:
        self._called()
        return {each: self.kept[each] for each in hashes if each in self.kept}

    async def add(self, payload: Payload, *, was_wrapped: bool = False) -> None:
        self._called()
        known = self.kept.get(payload.hash)
        if known is not None:
            for name in ("sender", "flag", "nonce", "recipient_nonce", "exec_hash", "mandatory"):
                if getattr(known, name) != getattr(payload, name):
                    raise ConflictError("another payload with the same hash is kept here: it was refused")
            if known.flag is PrivacyFlag.PRIVATE_STATE_VALIDATION and {*known.recipients} != {*payload.recipients}:
                raise ConflictError("the same payload with other recipients is kept here: it was refused")
            payload = replace(merged(known, payload), affected=known.affected)
        self.kept[payload.hash] = payload
        if was_wrapped:
            self.wraps.pop(payload.hash, None)

    async def replace(self, payload: Payload) -> None:
        self._called()
        self.kept[payload.hash] = payload

    async def delete(self, payload_hash: bytes) -> bool:
        self._called()
        found = [each.pop(payload_hash, None) for each in (self.kept, self.raws, self.wraps)]
        return any(one is not None for one in found)

    async def page(self, key: bytes, after: bytes, limit: int) -> Sequence[Payload]:
        self._called()
        found = sorted(each for each in self.kept if each > after)
        wanted = (self.kept[each] for each in found)
        return [p for p in wanted if p.sender == key or key in p.recipients or not p.recipients][:limit]

    async def raw(self, payload_hash: bytes) -> RawPayload | None:
        self._called()
        return self.raws.get(payload_hash)

    async def add_raw(self, raw: RawPayload) -> None:
        self._called()
        self.raws.setdefault(raw.hash, raw)

    async def wrapped(self, payload_hash: bytes) -> Payload | None:
        self._called()
        return self.wraps.get(payload_hash)

    async def keep_wrapped(self, payload: Payload) -> Payload:
        self._called()
        return self.wraps.setdefault(payload.hash, payload)

    async def peers(self) -> Sequence[Peer]:
        self._called()
        return [self._peer(url) for url in sorted(self.table, key=lambda url: (self.table[url][1], url))]

    async def owner(self, key: bytes) -> Peer | None:
        self._called()
        if key not in self.owners:
            return None
        url = self.owners[key][0]
        return Peer(url, frozenset({key}), self.table[url][0])

    async def announce(self, peer: Peer) -> None:
        self._called()
        now = time.time()
        self.table[peer.url] = peer.versions, now
        for key in peer.keys:
            url, heard = self.owners.get(key, (peer.url, 0.0))
            if url == peer.url or heard <= now - STALE_SECONDS:
                self.owners[key] = peer.url, now
        for key in [each for each, (url, _) in self.owners.items() if url == peer.url and each not in peer.keys]:
            del self.owners[key]

    async def learn(self, urls: Collection[str]) -> None:
        self._called()
        for url in urls:
            self.table.setdefault(url, (frozenset(), 0.0))

    async def note_failure(self, url: str) -> None:
        self._called()
        self.failures[url] = self.failures.get(url, 0) + 1

    async def take_lease(self, name: str, holder: str, seconds: float) -> bool:
        self._called()
        has, until = self.leases.get(name, (holder, 0.0))
        if has != holder and until >= time.time():
            return False
        self.leases[name] = holder, time.time() + seconds
        return True

    async def claim(self, keys: Collection[bytes]) -> str:
        self._called()
        if not self.keys.issubset(keys):
            raise IntegrityError("the database keeps payloads of a key that this manager does not hold")
        self.keys |= set(keys)
        return self.instance

    async def check(self) -> Checked:
        self._called()
        if not self.keys:
            raise IntegrityError("the database was emptied while it was used: restore it, or recover the payloads")
        return Checked(self.instance, self.recovers)

    async def adopt(self, instance: str) -> None:
        self._called()
        self.instance = instance

    async def is_empty(self) -> bool:
        self._called()
        return not self.kept

    async def recovering(self) -> bool:
        self._called()
        return self.recovers

    async def set_recovering(self, recovering: bool) -> None:
        self._called()
        self.recovers = recovering
        if recovering:
            self.stages.clear()

    async def stage(self, payloads: Collection[Payload]) -> None:
        self._called()
        for payload in payloads:
            known = self.stages.get(payload.hash)
            self.stages[payload.hash] = merged(known, payload) if known else payload

    async def staged(self, after: bytes, limit: int) -> Sequence[Payload]:
        self._called()
        return [self.stages[each] for each in sorted(self.stages) if each > after][:limit]

    async def close(self) -> None:
        """Nothing to close."""

    def _called(self) -> None:
        self.calls += 1
        if self.away:
            raise TemporaryError("the database is away or locked (a test): it is tried again")

    def _peer(self, url: str) -> Peer:
        keys = frozenset(key for key, (owner, _) in self.owners.items() if owner == url)
        return Peer(url, keys, self.table[url][0])
