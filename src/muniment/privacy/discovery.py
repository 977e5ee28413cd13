"""Discovery: managers tell one another who they are, again and again, and the table of the database keeps it.

A can send to B only after B has announced itself to A, and other managers forget: so we announce for ever, to
configured peers and to those that we learned of (Tessera PartyInfoBroadcaster.java). All managers of a member announce
one URL, that of its gateway, and any of them may hear another member's announcement. Each tells the configured peers
until they have taken it; after that one of them announces at a time (a lease in the database): peers hear us once.

What is heard is believed only for keys that the announcer says are its own, and with validation only after it has shown
that it can open a text that was sealed for them (Tessera PartyInfoResource.java).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import uuid
from collections.abc import Collection, Sequence
from typing import Any, Final

from muniment.clients.privacy_peer import PeerClient
from muniment.kernel.errors import MunimentError, TemporaryError
from muniment.privacy import party_info
from muniment.privacy.enclave import Enclave
from muniment.privacy.envelope import encode
from muniment.privacy.errors import MalformedError, NotReadyError, PeerRefusedError, RuleError
from muniment.privacy.party_info import PartyInfo, keys_of, normal_or_none, normalise_url
from muniment.privacy.peers import StoredPeers
from muniment.privacy.ports import Store
from muniment.privacy.validated import Validated
from muniment.privacy.values import Peer

MOST_KEYS_OF_A_PEER: Final = 256
MOST_PEERS: Final = 1024
"""URLs that the table may have before further ones are refused; each is announced to."""

MOST_LEARNED_AT_ONCE: Final = 64
MOST_HEARD_AT_ONCE: Final = 32
MOST_TOLD_AT_ONCE: Final = 16
"""Announcements to learned URLs that are under way; many of those may be dead."""

FIRST_SECONDS: Final = 0.25
"""Between announcements to a configured peer that has not taken one yet, at first."""

LONGEST_PAUSE: Final = 60.0
"""Seconds between announcements to a learned URL where nobody answers, at last."""

LEASE: Final = "announce"
_LEASE_PERIODS: Final = 2.5
_SLOWER: Final = 1.5
_log = logging.getLogger(__name__)


class Discovery:
    """Announces this member, and hears other ones.

    `url` is advertised, `configured` are peers that are always told; `everybody`: others than these may announce
    themselves, and URLs that peers name are learned; `validates`: who announces must show its keys. When `url` is
    https, so is every URL that is heard. Raises `MalformedError` when a URL is none.
    """

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
        normal = dict.fromkeys(normalise_url(each) for each in configured)
        self._configured = tuple(each for each in normal if each != self._url)
        self._everybody = everybody
        self._validated = Validated() if validates else None
        self._holder = secrets.token_hex(16)
        self._leading = True
        self._table: dict[str, Peer] = {}
        self._hearing = 0
        self._waiting: dict[str, tuple[float, float]] = {}
        self._turns = asyncio.Semaphore(MOST_TOLD_AT_ONCE)

    # Announcing

    async def run(self, seconds: float, stopping: asyncio.Event) -> None:
        """Announce every `seconds`, more often at first, until `stopping`."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._keep_telling(url, seconds)) for url in self._configured]
            tasks.append(group.create_task(self._keep_looking(seconds, group)))
            await stopping.wait()
            for task in tasks:
                task.cancel()

    async def announce_once(self) -> Sequence[str]:
        """Tell everybody, whoever has the lease; the URLs that have not taken it when all have answered or failed."""
        await self._read_table()
        urls = (*self._configured, *self._learned())
        told = await asyncio.gather(*(self.tell(url) for url in urls))
        return [url for url, taken in zip(urls, told, strict=True) if not taken]

    async def tell(self, url: str) -> bool:
        """Announce to the manager at `url`; whether it has taken it. At our own URL that changes nothing."""
        try:
            await self._peers.client(url).announce(self.own())
        except MunimentError as error:
            _log.info("a peer was not told who we are", extra={"peer": url, "cause": str(error)})
            return False
        return True

    def own(self) -> bytes:
        """The party info that we send: our keys, and the managers that are configured or have announced themselves."""
        heard = (peer.url for peer in self._table.values() if peer.keys and self._everybody)
        parties = dict.fromkeys((*self._configured, *heard))
        keys = tuple((key, self._url) for key in self._enclave.keys)
        return party_info.encode(PartyInfo(self._url, keys, tuple(parties)))

    async def _keep_telling(self, url: str, seconds: float) -> None:
        """One configured peer: often until it has taken an announcement, then now and then while we lead."""
        pause = min(FIRST_SECONDS, seconds)
        while not await self.tell(url):
            await asyncio.sleep(pause)
            pause = min(pause * _SLOWER, seconds)
        while True:
            await asyncio.sleep(seconds)
            if self._leading:
                await self.tell(url)

    async def _keep_looking(self, seconds: float, group: asyncio.TaskGroup) -> None:
        """Read the table, and tell those that are in it and not configured."""
        telling: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                await self._read_table()
                await self._take_lease(_LEASE_PERIODS * seconds)
                telling = {url: task for url, task in telling.items() if not task.done()}
                for url in self._due() if self._leading else ():
                    if url not in telling:
                        telling[url] = group.create_task(self._tell_learned(url, seconds))
                await asyncio.sleep(seconds)
        finally:
            for task in telling.values():
                task.cancel()

    async def _read_table(self) -> None:
        try:
            self._table = {peer.url: peer for peer in await self._store.peers()}
        except TemporaryError as error:
            _log.info("the table of peers could not be read", extra={"cause": str(error)})

    async def _take_lease(self, seconds: float) -> None:
        try:
            self._leading = await self._store.take_lease(LEASE, self._holder, seconds)
        except TemporaryError:
            # Two that announce do no harm; none would.
            self._leading = True

    def _learned(self) -> list[str]:
        if not self._everybody:
            return []
        return [url for url in self._table if url not in self._configured and self._may_be_told(url)]

    def _due(self) -> list[str]:
        now = asyncio.get_running_loop().time()
        return [url for url in self._learned() if self._waiting.get(url, (0.0, 0.0))[0] <= now]

    async def _tell_learned(self, url: str, seconds: float) -> None:
        async with self._turns:
            told = await self.tell(url)
        if told:
            self._waiting.pop(url, None)
            return
        _, pause = self._waiting.get(url, (0.0, seconds / 2))
        pause = min(2 * pause, max(LONGEST_PAUSE, seconds))
        self._waiting[url] = asyncio.get_running_loop().time() + pause, pause

    # Hearing

    async def hear(self, data: bytes, versions: Collection[str]) -> None:
        """Take a party info from another manager, with the versions that its request named.

        Raises `MalformedError`; `RuleError` from a stranger when discovery is off, and when the table is full;
        `PeerRefusedError` when it could show none of its keys; `NotReadyError` when too many announce at once.
        """
        info = party_info.decode(data)
        url = normalise_url(info.url)
        if url == self._url:
            return
        self._check_announcer(url)
        if self._hearing >= MOST_HEARD_AT_ONCE:
            raise NotReadyError("too many managers announce themselves at once: announce again")
        self._hearing += 1
        try:
            keys = await self._believed(url, self._keys_of(info, url))
        finally:
            self._hearing -= 1
        peer = Peer(url, frozenset(keys), frozenset(versions))
        await self._store.announce(peer)
        self._table[url] = peer
        if self._everybody:
            await self._learn(info.parties)

    async def party_info(self) -> dict[str, Any]:
        """What is known, as `GET /partyinfo` answers it: `url`, `peers`, and `keys` as bytes with their URLs."""
        known = await self._store.peers()
        keys = [(key, self._url) for key in self._enclave.keys]
        keys += [(key, peer.url) for peer in known for key in sorted(peer.keys)]
        return {"url": self._url, "peers": [peer.url for peer in known], "keys": keys}

    def _check_announcer(self, url: str) -> None:
        if not self._everybody and url not in self._configured:
            raise RuleError("discovery is off, and this manager is not among the configured peers")
        if not self._may_be_told(url):
            raise RuleError("the members of this consortium use TLS: announce a URL that begins with https://")
        if url not in self._table and len(self._table) >= MOST_PEERS:
            raise RuleError(f"{MOST_PEERS} managers are known already: no further one is taken")

    def _keys_of(self, info: PartyInfo, url: str) -> list[bytes]:
        """The keys that the announcer says are its own; ours are ours, whoever says what."""
        keys = [key for key in keys_of(info, url) if not self._enclave.holds(key)]
        if len(keys) > MOST_KEYS_OF_A_PEER:
            raise MalformedError(f"a manager announces at most {MOST_KEYS_OF_A_PEER} keys of its own")
        return keys

    async def _believed(self, url: str, keys: Sequence[bytes]) -> list[bytes]:
        """Those of the keys that the announcer has shown, now or lately.

        A key that it had before stays its own when it could only not be asked; an announcement that shows nothing
        changes nothing, for anybody can send one in another's name.
        """
        validated = self._validated
        if validated is None:
            return list(keys)
        missing = [key for key in keys if not validated.remembers(url, key)]
        answers: dict[bytes, bool | None] = dict.fromkeys(keys, True)
        if missing:
            # Not one of the kept clients: anybody could make us keep one for each URL he thinks of.
            async with self._peers.stranger(url) as client:
                found = await asyncio.gather(*(self._shows(client, key) for key in missing))
            answers.update(zip(missing, found, strict=True))
        for key in missing:
            if answers[key]:
                validated.remember(url, key)
        believed = [key for key, answer in answers.items() if answer or (answer is None and await self._has(url, key))]
        if not believed:
            raise PeerRefusedError(f"the manager at {url} could show none of the keys that it says it has")
        return believed

    async def _shows(self, client: PeerClient, key: bytes) -> bool | None:
        """Whether the manager can open what is sealed for `key`; `None` when it could not be asked."""
        text = str(uuid.uuid4())
        try:
            shown = await client.validate(encode(self._enclave.seal_challenge(text, key))) == text
        except TemporaryError as error:
            _log.info("a peer could not be asked to show a key", extra={"peer": client.url, "cause": str(error)})
            return None
        except MunimentError as error:
            _log.info("a peer did not show a key", extra={"peer": client.url, "cause": str(error)})
            return False
        return shown

    async def _has(self, url: str, key: bytes) -> bool:
        owner = await self._store.owner(key)
        return owner is not None and owner.url == url

    async def _learn(self, parties: Sequence[str]) -> None:
        normal = dict.fromkeys(found for each in parties if (found := normal_or_none(each)) is not None)
        room = max(0, min(MOST_LEARNED_AT_ONCE, MOST_PEERS - len(self._table)))
        new = [url for url in normal if url != self._url and url not in self._table and self._may_be_told(url)][:room]
        if new:
            await self._store.learn(new)
            self._table.update({url: Peer(url) for url in new})

    def _may_be_told(self, url: str) -> bool:
        return url.startswith("https://") or not self._url.startswith("https://")
