"""What the use cases need from outside: the store and the peers, as Protocols."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from muniment.privacy.values import Checked, Payload, Peer, RawPayload


class Store(Protocol):
    """The member's database. Every call is one transaction on the primary, durable when it returns.

    Raises `TemporaryError` when the database is away, locked or read-only, `DiskFullError` when it is full; then a
    write did not happen, or may be repeated without a second effect.
    """

    async def payload(self, payload_hash: bytes) -> Payload | None:
        """The payload of this hash as committed now; `None` only when the primary has no such row."""

    async def payloads(self, hashes: Collection[bytes]) -> Mapping[bytes, Payload]:
        """Those of the payloads that there are, by hash."""

    async def add(self, payload: Payload, *, was_wrapped: bool = False) -> None:
        """Keep a payload; the same again changes nothing.

        A known hash gains the recipients and boxes that it lacks: new ones come first, as Tessera does it. Raises
        `ConflictError` when its other contents differ. With
        `was_wrapped` what `keep_wrapped` kept ends.
        """

    async def replace(self, payload: Payload) -> None:
        """Put a payload in the place of the one with its hash (after a recovery rebuilt its boxes)."""

    async def delete(self, payload_hash: bytes) -> bool:
        """Forget a payload and its raw form; whether there was one."""

    async def page(self, key: bytes, after: bytes, limit: int) -> Sequence[Payload]:
        """Payloads that have `key` as sender or recipient, or no recipients at all, ordered by hash, `after` a hash."""

    async def raw(self, payload_hash: bytes) -> RawPayload | None:
        """The raw payload of this hash."""

    async def add_raw(self, raw: RawPayload) -> None:
        """Keep a raw payload; the same again changes nothing."""

    async def wrapped(self, payload_hash: bytes) -> Payload | None:
        """The payload that was made of a raw one and may have been pushed already, but is not kept by `add` yet."""

    async def keep_wrapped(self, payload: Payload) -> Payload:
        """Keep what was made of a raw payload before it is pushed; gives back what is kept: what came first stays.

        It is no committed payload: `payload` does not see it.
        """

    async def peers(self) -> Sequence[Peer]:
        """The whole peer table."""

    async def owner(self, key: bytes) -> Peer | None:
        """The peer that announced `key`."""

    async def announce(self, peer: Peer) -> None:
        """Replace what the table knows of the peer with this URL: keys and versions, heard now.

        A key that another URL owns changes its owner only when that one announced it last more than `STALE_SECONDS`
        ago, or was never heard; else it is left with its owner.
        """

    async def learn(self, urls: Collection[str]) -> None:
        """Add URLs, without keys, that are not in the table yet."""

    async def note_failure(self, url: str) -> None:
        """Count a failed contact. Nothing is ever deleted for it."""

    async def take_lease(self, name: str, holder: str, seconds: float) -> bool:
        """Whether `holder` has the lease `name` for the next `seconds` (by the database's clock)."""

    async def claim(self, keys: Collection[bytes]) -> str:
        """The identifier of this database (made at its first use), for managers that hold these public keys.

        Raises `IntegrityError` when payloads of a key that is not among them are kept here; further keys are added.
        """

    async def check(self) -> Checked:
        """Write something and read it back."""

    async def adopt(self, instance: str) -> None:
        """Give the database the identifier of the one whose payloads were recovered into it."""

    async def is_empty(self) -> bool:
        """Whether no payload is kept."""

    async def recovering(self) -> bool:
        """Whether the member recovers its payloads: then batches are accepted, and nothing is served to nodes."""

    async def set_recovering(self, recovering: bool) -> None:
        """Begin or end the recovery. Beginning empties the staging table."""

    async def stage(self, payloads: Collection[Payload]) -> None:
        """Keep recovered payloads apart until all are there; the same again, or with another box, adds the box."""

    async def staged(self, after: bytes, limit: int) -> Sequence[Payload]:
        """Staged payloads ordered by hash, `after` a hash."""

    async def close(self) -> None:
        """Close the connections."""


class Peers(Protocol):
    """The other privacy managers."""

    async def resolve(self, keys: Collection[bytes]) -> Mapping[bytes, Peer]:
        """The peer of each key; raises `UnknownKeyError` naming the first key that nobody announced."""

    async def push(self, peer: Peer, payload: Payload) -> None:
        """Hand over a payload; returns when the peer took it. Raises `PeerAwayError` or `PeerRefusedError`."""

    async def push_batch(self, peer: Peer, payloads: Sequence[Payload]) -> None:
        """Hand over payloads to a peer that recovers; raises as `push`."""
