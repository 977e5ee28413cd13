"""Announcing: a member's managers tell the others who they are, soon, for ever, and once for all of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from muniment.clients.privacy_peer import PeerClient
from muniment.kernel.errors import TemporaryError
from muniment.privacy.discovery import Discovery
from muniment.privacy.party_info import PartyInfo
from muniment.privacy.peers import StoredPeers
from muniment.privacy.receiving import Receiver
from muniment.privacy.store import SqlStore
from muniment.privacy.values import Peer
from tests.unit.discovery_rig import (
    URL_A,
    URL_B,
    URL_C,
    VERSIONS,
    Manager,
    Net,
    eventually,
    eventually_knows,
    manager,
    running,
)
from tests.unit.privacy_payloads import ALPHA, BETA, A, B, C

pytestmark = pytest.mark.anyio


async def test_two_members_come_to_know_each_other(tmp_path: Path) -> None:
    net = Net()
    async with (
        manager(tmp_path / "a", net, URL_A, ALPHA, configured=["http://beta:9001"]) as a,
        manager(tmp_path / "b", net, URL_B, BETA) as b,
        running(a, b),
    ):
        await eventually_knows(b, {URL_A: frozenset({A})})
        await eventually_knows(a, {URL_B: frozenset({B})})
        assert (await b.peers.resolve([A]))[A].versions == VERSIONS


async def test_what_is_announced(tmp_path: Path) -> None:
    net = Net()
    async with manager(tmp_path / "a", net, URL_A, ALPHA, configured=[URL_B, URL_A, "http://beta:9001"]) as one:
        await one.store.announce(Peer(URL_C, frozenset({C})))
        await one.store.learn(["http://rumour:9001/"])
        async with manager(tmp_path / "b", net, URL_B, BETA):
            await one.discovery.announce_once()
    assert net.heard == [(URL_B, PartyInfo(URL_A, ((A, URL_A),), (URL_B, URL_C)))]


async def test_a_configured_peer_is_told_as_soon_as_it_is_there(tmp_path: Path) -> None:
    net = Net(away={URL_B})
    async with (
        manager(tmp_path / "a", net, URL_A, ALPHA, configured=[URL_B]) as a,
        manager(tmp_path / "b", net, URL_B, BETA) as b,
        running(a, seconds=1.0),
    ):
        await asyncio.sleep(0)
        net.away.clear()
        await eventually_knows(b, {URL_A: frozenset({A})})


async def test_announcing_goes_on_for_ever_and_by_one_replica(tmp_path: Path) -> None:
    net = Net()
    async with (
        manager(tmp_path / "b", net, URL_B, BETA, validates=False),
        manager(tmp_path / "a", net, URL_A, ALPHA, configured=[URL_B]) as one,
        manager(tmp_path / "a", net, URL_A, ALPHA, configured=[URL_B]) as two,
        running(one, two, seconds=0.2),
    ):
        await eventually("announcements of both", lambda: net.told(URL_B) >= 2)
        before = asyncio.get_running_loop().time()
        await eventually("further announcements", lambda: net.told(URL_B) >= 7)
        assert asyncio.get_running_loop().time() - before >= 4 * 0.2


async def test_when_the_announcing_replica_dies_the_other_goes_on(tmp_path: Path) -> None:
    net = Net()
    async with (
        manager(tmp_path / "b", net, URL_B, BETA, validates=False),
        manager(tmp_path / "a", net, URL_A, ALPHA, configured=[URL_B]) as one,
        manager(tmp_path / "a", net, URL_A, ALPHA, configured=[URL_B]) as two,
    ):
        async with running(one):
            await eventually("the first", lambda: net.told(URL_B) >= 3)
        async with running(two):
            told = net.told(URL_B)
            await eventually("the second", lambda: net.told(URL_B) >= told + 3)


async def test_learned_urls_are_told_and_dead_ones_less_and_less(tmp_path: Path) -> None:
    net = Net()
    calls: list[str] = []

    def connect(url: str) -> PeerClient:
        return PeerClient(url, transport=httpx2.MockTransport(lambda request: _note(request, calls)))

    def _note(request: httpx2.Request, seen: list[str]) -> httpx2.Response:
        seen.append(f"{request.url.scheme}://{request.url.netloc.decode()}/")
        if "dead" in seen[-1]:
            raise httpx2.ConnectError("refused")
        return httpx2.Response(200)

    async with manager(tmp_path / "a", net, URL_A, ALPHA) as one:
        one.peers._connect = connect
        await one.store.learn([URL_B, "http://dead:9001/"])
        async with running(one, seconds=0.02):
            await eventually("many announcements", lambda: calls.count(URL_B) >= 20)
    assert 1 <= calls.count("http://dead:9001/") <= 7


async def test_an_absent_database_does_not_stop_announcements(tmp_path: Path) -> None:
    net = Net()

    class Away(SqlStore):
        async def peers(self) -> Any:
            raise TemporaryError("the database is away")

        async def take_lease(self, name: str, holder: str, seconds: float) -> bool:
            raise TemporaryError("the database is away")

    async with manager(tmp_path / "b", net, URL_B, BETA, validates=False) as b:
        peers = StoredPeers(b.store, net.connect)
        away = Away(b.store._database)
        lonely = Discovery(ALPHA, away, peers, url=URL_A, configured=[URL_B], everybody=True, validates=True)
        async with running(Manager(away, peers, lonely, Receiver(ALPHA, away))):
            await eventually("announcements", lambda: net.told(URL_B) >= 3)
        await peers.close()
