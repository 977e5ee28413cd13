"""The peer table as senders use it: a moment's memory, counted failures, slow peers that disturb nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from muniment.clients.privacy_peer import PeerClient
from muniment.kernel.errors import TemporaryError
from muniment.privacy.envelope import decode
from muniment.privacy.errors import PeerAwayError, PeerRefusedError, UnknownKeyError
from muniment.privacy.patience import patience
from muniment.privacy.peers import REMEMBERED_SECONDS, StoredPeers
from muniment.privacy.store import SqlStore, open_store
from muniment.privacy.values import Peer
from tests.support.scripted_http import Seen, answer, scripted
from tests.unit.privacy_payloads import STORED, A, B, C

pytestmark = pytest.mark.anyio

V2 = frozenset({"v1", "v2"})
BETA = "http://beta:9001/"


class CountingStore(SqlStore):
    """Counts what is asked, and can be away for the counting of failures."""

    asked = 0
    failures = 0
    away = False

    async def owner(self, key: bytes) -> Peer | None:
        self.asked += 1
        return await super().owner(key)

    async def note_failure(self, url: str) -> None:
        if self.away:
            raise TemporaryError("the database is away")
        self.failures += 1
        await super().note_failure(url)


@contextlib.asynccontextmanager
async def stored_peers(folder: Path, seconds: float = 3.5) -> AsyncIterator[tuple[StoredPeers, CountingStore]]:
    opened = open_store("sqlite", None, folder / "privacy.sqlite")
    store = CountingStore(opened._database)
    await store.migrate()
    peers = StoredPeers(store, lambda url: PeerClient(url, seconds=seconds))
    try:
        yield peers, store
    finally:
        await peers.close()
        await store.close()


async def test_a_key_is_looked_up_once_a_moment(tmp_path: Path) -> None:
    async with stored_peers(tmp_path) as (peers, store):
        await store.announce(Peer(BETA, frozenset({B, C}), V2))
        for _ in range(50):
            found = await peers.resolve([B, C])
        assert {key: peer.url for key, peer in found.items()} == {B: BETA, C: BETA}
        assert found[B].versions == V2
        assert store.asked == 2


async def test_what_another_manager_heard_is_known_at_once(tmp_path: Path) -> None:
    async with stored_peers(tmp_path) as (peers, _), stored_peers(tmp_path) as (_, other):
        with pytest.raises(UnknownKeyError, match="Recipient not found for key: "):
            await peers.resolve([B])
        await other.announce(Peer(BETA, frozenset({B})))
        assert (await peers.resolve([B]))[B].url == BETA


async def test_a_change_is_known_after_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert REMEMBERED_SECONDS <= 1.0
    monkeypatch.setattr("muniment.privacy.peers.REMEMBERED_SECONDS", 0.0)
    async with stored_peers(tmp_path) as (peers, store):
        await store.announce(Peer(BETA, frozenset({B})))
        assert (await peers.resolve([B]))[B].versions == frozenset()
        await store.announce(Peer(BETA, frozenset({B}), V2))
        assert (await peers.resolve([B]))[B].versions == V2


async def test_the_first_unknown_key_is_named(tmp_path: Path) -> None:
    async with stored_peers(tmp_path) as (peers, store):
        await store.announce(Peer(BETA, frozenset({B})))
        with pytest.raises(UnknownKeyError, match="B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9/AsrhtHHw="):
            await peers.resolve([B, A, C])


async def test_payloads_arrive_as_they_are(tmp_path: Path) -> None:
    async def script(seen: Seen) -> bytes:
        del seen
        return answer(201)

    async with stored_peers(tmp_path) as (peers, _), scripted(script) as server:
        await peers.push(Peer(server.url), STORED)
        await peers.push_batch(Peer(server.url), [STORED, STORED])
    assert decode(server.seen[0].body) == STORED
    assert [seen.path for seen in server.seen] == ["/push", "/pushBatch"]


async def test_a_failing_peer_stays_in_the_table(tmp_path: Path) -> None:
    async def script(seen: Seen) -> bytes | None:
        del seen
        return None

    async with stored_peers(tmp_path) as (peers, store), scripted(script) as server:
        await store.announce(Peer(server.url, frozenset({B}), V2))
        for _ in range(20):
            with pytest.raises(PeerAwayError):
                await peers.push(Peer(server.url), STORED)
        assert store.failures == 1
        assert (await peers.resolve([B]))[B] == Peer(server.url, frozenset({B}), V2)


async def test_a_sender_hears_of_a_failure_though_it_cannot_be_counted(tmp_path: Path) -> None:
    async def script(seen: Seen) -> bytes:
        del seen
        return answer(503)

    async with stored_peers(tmp_path) as (peers, store), scripted(script) as server:
        store.away = True
        begun = time.monotonic()
        with patience(30.0), pytest.raises(PeerAwayError):
            await peers.push(Peer(server.url), STORED)
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize("status", [403, 500])
async def test_a_peer_that_refuses_is_not_away(tmp_path: Path, status: int) -> None:
    async def script(seen: Seen) -> bytes:
        del seen
        return answer(status, b"no")

    async with stored_peers(tmp_path) as (peers, store), scripted(script) as server:
        with pytest.raises(PeerRefusedError, match=f"{status}: no"):
            await peers.push(Peer(server.url), STORED)
        assert store.failures == 0


async def test_a_slow_peer_holds_up_nobody_else(tmp_path: Path) -> None:
    async def slow(seen: Seen) -> bytes | None:
        del seen
        await asyncio.Event().wait()
        return None

    async def quick(seen: Seen) -> bytes:
        del seen
        return answer(201)

    async with stored_peers(tmp_path, seconds=1.5) as (peers, _), scripted(slow) as mud, scripted(quick) as air:
        stuck = [asyncio.create_task(peers.push(Peer(mud.url), STORED)) for _ in range(100)]
        begun = time.monotonic()
        for _ in range(20):
            await peers.push(Peer(air.url), STORED)
        assert time.monotonic() - begun < 2
        assert not any(task.done() for task in stuck)
        assert mud.connections <= 32
        ended = await asyncio.gather(*stuck, return_exceptions=True)
        assert {type(error) for error in ended} == {PeerAwayError}
        assert time.monotonic() - begun < 5


async def test_new_certificates_mean_new_connections(tmp_path: Path) -> None:
    async def script(seen: Seen) -> bytes:
        del seen
        return answer(201)

    async with stored_peers(tmp_path) as (peers, _), scripted(script) as server:
        await peers.push(Peer(server.url), STORED)
        await peers.push(Peer(server.url), STORED)
        assert server.connections == 1
        await peers.renew()
        await peers.push(Peer(server.url), STORED)
        assert server.connections == 2
