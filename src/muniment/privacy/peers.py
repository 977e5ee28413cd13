"""The other members' managers: where the holder of a key is reached, and handing over payloads.

The table is in the database, so that what one of our managers heard all of them know. Each keeps what it read for a
moment, and reads anew when it misses a key. A peer that cannot be reached stays in the table: only its own announcement
changes it.

Each peer has a client with connections and a limit of its own: what waits for a slow one waits for that one alone.
"""

from __future__ import annotations

import contextlib
import time
from base64 import b64encode
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, Final

from muniment.clients.http import RefusedError
from muniment.clients.privacy_peer import PeerClient
from muniment.kernel.errors import MunimentError, TemporaryError
from muniment.privacy.envelope import encode
from muniment.privacy.errors import PeerAwayError, PeerRefusedError, UnknownKeyError
from muniment.privacy.patience import patience
from muniment.privacy.ports import Store
from muniment.privacy.values import Payload, Peer

REMEMBERED_SECONDS: Final = 1.0
NOTED_SECONDS: Final = 1.0
"""Failures of one peer are counted once in so many seconds: each is a write to the database."""

MOST_REMEMBERED: Final = 4096

Connect = Callable[[str], PeerClient]
_Pushed = Coroutine[Any, Any, None]


class StoredPeers:
    """`ports.Peers` on the peer table. `connect` makes the client of a URL."""

    def __init__(self, store: Store, connect: Connect) -> None:
        self._store = store
        self._connect = connect
        self._clients: dict[str, PeerClient] = {}
        self._known: dict[bytes, tuple[Peer, float]] = {}
        self._noted: dict[str, float] = {}

    def client(self, url: str) -> PeerClient:
        """The client of this URL; kept until `close`."""
        client = self._clients.get(url)
        if client is None:
            client = self._clients[url] = self._connect(url)
        return client

    def stranger(self, url: str) -> PeerClient:
        """A client that is not kept, for a URL that nobody vouches for. Close it."""
        return self._connect(url)

    async def resolve(self, keys: Collection[bytes]) -> Mapping[bytes, Peer]:
        """See `ports.Peers`."""
        return {key: await self._owner(key) for key in keys}

    async def push(self, peer: Peer, payload: Payload) -> None:
        """See `ports.Peers`."""
        await self._hand_over(peer, self.client(peer.url).push(encode(payload)))

    async def push_batch(self, peer: Peer, payloads: Sequence[Payload]) -> None:
        """See `ports.Peers`."""
        await self._hand_over(peer, self.client(peer.url).push_batch([encode(payload) for payload in payloads]))

    async def close(self) -> None:
        """Close all connections."""
        await self.renew()

    async def renew(self) -> None:
        """Forget all clients, so that new connections show new certificates; requests under way are finished."""
        old, self._clients = self._clients, {}
        for client in old.values():
            await client.close()

    async def _owner(self, key: bytes) -> Peer:
        remembered = self._known.get(key)
        if remembered and time.monotonic() < remembered[1]:
            return remembered[0]
        # Counted from before the reading: what is read may be older than its arrival.
        until = time.monotonic() + REMEMBERED_SECONDS
        peer = await self._store.owner(key)
        if peer is None:
            self._known.pop(key, None)
            raise UnknownKeyError(f"Recipient not found for key: {b64encode(key).decode()}")
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[key] = peer, until
        return peer

    async def _hand_over(self, peer: Peer, pushed: _Pushed) -> None:
        try:
            await pushed
        except RefusedError as error:
            raise PeerRefusedError(str(error)) from error
        except TemporaryError as error:
            await self._note_failure(peer.url)
            raise PeerAwayError(str(error)) from error

    async def _note_failure(self, url: str) -> None:
        now = time.monotonic()
        if now - self._noted.get(url, -NOTED_SECONDS) < NOTED_SECONDS:
            return
        if len(self._noted) >= MOST_REMEMBERED:
            self._noted.clear()
        self._noted[url] = now
        # The sender must not wait for a database that is away, only to have a failure counted.
        with contextlib.suppress(MunimentError), patience(0.0):
            await self._store.note_failure(url)
