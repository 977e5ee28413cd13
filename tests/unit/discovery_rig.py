"""Managers that announce themselves to one another within this process, for tests of discovery."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from muniment.clients.privacy_peer import VERSIONS_HEADER, PeerClient, versions_of
from muniment.kernel.errors import MunimentError
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.privacy.discovery import Discovery
from muniment.privacy.enclave import Enclave
from muniment.privacy.envelope import decode
from muniment.privacy.party_info import PartyInfo
from muniment.privacy.party_info import decode as decode_info
from muniment.privacy.peers import StoredPeers
from muniment.privacy.receiving import Receiver
from muniment.privacy.store import SqlStore, open_store

URL_A, URL_B, URL_C = "http://alpha:9001/", "http://beta:9001/", "http://gamma:9001/"
VERSIONS = frozenset({"v1", "v2", "2.1", "3.0", "4.0"})


@dataclass
class Net:
    """Managers by host and port, in this process; `heard` are the announcements that came, by URL."""

    managers: dict[str, Manager] = field(default_factory=dict)
    heard: list[tuple[str, PartyInfo]] = field(default_factory=list)
    away: set[str] = field(default_factory=set)
    asked: int = 0
    """Challenges that were sent."""

    def connect(self, url: str) -> PeerClient:
        return PeerClient(url, transport=httpx2.MockTransport(self._answer))

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        url = f"{request.url.scheme}://{request.url.netloc.decode()}/"
        manager = self.managers.get(url)
        self.asked += request.url.path.endswith("validate")
        if manager is None or url in self.away:
            raise httpx2.ConnectError("refused")
        try:
            if request.url.path == "/partyinfo":
                self.heard.append((url, decode_info(request.content)))
                lines = request.headers.get_list(VERSIONS_HEADER)
                await manager.discovery.hear(request.content, versions_of(lines))
                return httpx2.Response(200)
            return httpx2.Response(200, text=manager.receiver.answer_challenge(decode(request.content)))
        except MunimentError as error:
            return httpx2.Response(500, text=str(error))

    def told(self, url: str) -> int:
        return sum(each == url for each, _ in self.heard)


@dataclass
class Manager:
    """One manager."""

    store: SqlStore
    peers: StoredPeers
    discovery: Discovery
    receiver: Receiver

    async def table(self) -> dict[str, frozenset[bytes]]:
        return {peer.url: peer.keys for peer in await self.store.peers()}


@contextlib.asynccontextmanager
async def manager(folder: Path, net: Net, url: str, enclave: Enclave, **options: Any) -> AsyncIterator[Manager]:
    store = open_store("sqlite", None, folder.with_suffix(".sqlite"))
    await store.migrate()
    peers = StoredPeers(store, net.connect)
    options = {"configured": (), "everybody": True, "validates": True, **options}
    made = Manager(store, peers, Discovery(enclave, store, peers, url=url, **options), Receiver(enclave, store))
    net.managers[url] = made
    try:
        yield made
    finally:
        await peers.close()
        await store.close()


@contextlib.asynccontextmanager
async def running(*managers: Manager, seconds: float = 0.05) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    tasks = [asyncio.create_task(each.discovery.run(seconds, stopping)) for each in managers]
    try:
        yield
    finally:
        stopping.set()
        await asyncio.gather(*tasks)


async def eventually(what: str, condition: Callable[[], bool]) -> None:
    async def probe() -> None:
        if not condition():
            raise NotYetError(what)

    await wait_for(what, probe, timeout=5, interval=0.01)


async def eventually_knows(one: Manager, expected: dict[str, frozenset[bytes]]) -> None:
    async def probe() -> None:
        if (table := await one.table()) != expected:
            raise NotYetError(str(sorted(table)))

    await wait_for("the table", probe, timeout=5, interval=0.01)
