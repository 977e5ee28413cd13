"""Discovery: managers tell one another who they are, again and again, and the table of the database keeps it.

All managers of a member announce one URL, that of its gateway; any of them may hear another's announcement. One of them
announces at a time (a lease in the database), so that peers hear us once, not once for each manager.

What is heard is believed only for keys that the announcer says are its own, and with validation only after it has shown
that it can open a text that was sealed for them.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import uuid
from collections.abc import Collection, Sequence
from typing import Any, Final

from muniment.kernel.encoding import to_hex
from muniment.kernel.errors import MunimentError, PermanentError, TemporaryError
from muniment.privacy import party_info
from muniment.privacy.enclave import Enclave
from muniment.privacy.envelope import encode
from muniment.privacy.errors import MalformedError, PeerRefusedError, RuleError
from muniment.privacy.party_info import PartyInfo, keys_of, normalise_url
from muniment.privacy.peers import StoredPeers
from muniment.privacy.ports import Store
from muniment.privacy.values import Peer

MOST_KEYS_OF_A_PEER: Final = 64
MOST_LEARNT_AT_ONCE: Final = 64
FIRST_SECONDS: Final = 0.5
"""Between announcements while a configured peer has not taken one yet."""

_LEASE: Final = "announce"
_log = logging.getLogger(__name__)


class Discovery:
    """Announces this member, and hears other ones. `url` is advertised, `configured` are peers that are always told."""

    def __init__(
        self,
        enclave: Enclave,
        store: Store,
        peers: StoredPeers,
        *,
        url: str,
        configured: Sequence[str],
        everybody: bool,
        validates: bool,
    ) -> None:
        self._enclave = enclave
        self._store = store
        self._peers = peers
        self._url = normalise_url(url)
        self._configured = tuple(dict.fromkeys(normalise_url(each) for each in configured))
        self._everybody = everybody
        self._validates = validates
        self._holder = to_hex(secrets.token_bytes(16))
        self._told: set[str] = set()

    async def run(self, seconds: float, stopping: asyncio.Event) -> None:
        """Announce every `seconds`, more often at first, until `stopping`."""
        while not stopping.is_set():
            await self._round(seconds)
            missing = [url for url in self._configured if url not in self._told]
            pause = min(FIRST_SECONDS, seconds) if missing else seconds
            try:
                async with asyncio.timeout(pause):
                    await stopping.wait()
            except TimeoutError:
                continue

    async def hear(self, data: bytes, versions: Collection[str]) -> None:
        """Take a party info from another manager.

        Raises `MalformedError`; `RuleError` from a stranger when discovery is off; `PeerRefusedError` when it could
        show none of the keys that it says it has.
        """
        info = party_info.decode(data)
        url = normalise_url(info.url)
        if url == self._url:
            return
        if not self._everybody and url not in self._configured:
            raise RuleError("discovery is off, and this manager is not among the configured peers")
        keys = [key for key in keys_of(info, info.url) if not self._enclave.holds(key)][:MOST_KEYS_OF_A_PEER]
        if self._validates and keys:
            keys = await self._shown(url, keys)
            if not keys:
                raise PeerRefusedError(f"the manager at {url} could not show any of the keys that it says it has")
        await self._store.announce(Peer(url, frozenset(keys), frozenset(versions)))
        if self._everybody:
            await self._store.learn(self._new(info.parties))

    async def party_info(self) -> dict[str, Any]:
        """What is known, as `GET /partyinfo` answers it: `url`, `peers`, and `keys` as bytes with their URLs."""
        known = await self._store.peers()
        keys = [(key, self._url) for key in self._enclave.keys]
        keys += [(key, peer.url) for peer in known for key in sorted(peer.keys)]
        return {"url": self._url, "peers": [peer.url for peer in known], "keys": keys}

    def own(self, others: Sequence[str] = ()) -> bytes:
        """The party info that we send."""
        return party_info.encode(
            PartyInfo(self._url, tuple((key, self._url) for key in self._enclave.keys), tuple(others))
        )

    async def announce_once(self) -> None:
        """Tell everybody, whoever has the lease."""
        urls = list(self._configured)
        if self._everybody:
            urls += [peer.url for peer in await self._store.peers()]
        targets = [url for url in dict.fromkeys(urls) if url != self._url]
        said = self.own(targets)
        await asyncio.gather(*(self._tell(url, said) for url in targets))

    async def _round(self, seconds: float) -> None:
        try:
            if await self._store.take_lease(_LEASE, self._holder, 2 * seconds) or not self._told.issuperset(
                self._configured
            ):
                await self.announce_once()
        except TemporaryError as error:
            _log.warning("announcing failed: %s", error)

    async def _tell(self, url: str, said: bytes) -> None:
        try:
            await self._peers.client(url).announce(said)
        except MunimentError as error:
            self._told.discard(url)
            _log.info("the manager at %s was not told who we are: %s", url, error)
        else:
            self._told.add(url)

    async def _shown(self, url: str, keys: Sequence[bytes]) -> list[bytes]:
        results = await asyncio.gather(*(self._shows(url, key) for key in keys))
        return [key for key, shown in zip(keys, results, strict=True) if shown]

    async def _shows(self, url: str, key: bytes) -> bool:
        text = str(uuid.uuid4())
        try:
            challenge = self._enclave.seal_challenge(text, key)
            return await self._peers.client(url).validate(encode(challenge)) == text
        except (TemporaryError, PermanentError) as error:
            _log.info("a key of the manager at %s could not be validated: %s", url, error)
            return False

    def _new(self, urls: Collection[str]) -> list[str]:
        found = []
        for url in urls:
            try:
                normal = normalise_url(url)
            except MalformedError:
                continue
            if normal != self._url:
                found.append(normal)
        return found[:MOST_LEARNT_AT_ONCE]
