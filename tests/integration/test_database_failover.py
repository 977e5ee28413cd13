"""The primary dies under load, its follower takes its place: nothing acknowledged is lost, or absent for a moment."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from muniment.kernel.errors import TemporaryError
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.privacy.patience import patience
from muniment.privacy.store import SqlStore, open_store
from muniment.privacy.values import Payload
from tests.support.databases import PASSWORD
from tests.support.replicas import Pair

pytestmark = pytest.mark.anyio

REPLICAS = 2
WRITERS = 5
HOLD_SECONDS = 8.0
"""How long a manager holds a request of its node."""


@pytest.fixture(params=["mariadb", "postgresql"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """Two servers, started."""
    pair = Pair(request.param, tmp_path)
    try:
        pair.start()
        yield pair
    finally:
        pair.remove()


class Load:
    """Writes and reads through several stores; a held request that fails in the end fails the test."""

    def __init__(self, stores: list[SqlStore]) -> None:
        self._stores = stores
        self._stopping = asyncio.Event()
        self.acknowledged: list[Payload] = []
        self.longest = 0.0

    async def run(self) -> None:
        """Until `stop`."""
        await asyncio.gather(*(self._write(n) for n in range(WRITERS)))

    def stop(self) -> None:
        self._stopping.set()

    async def written(self, more: int) -> None:
        """Return when so many more are acknowledged."""
        wanted = len(self.acknowledged) + more

        async def probe() -> None:
            if len(self.acknowledged) < wanted:
                raise NotYetError(f"{len(self.acknowledged)} of {wanted}")

        await wait_for("the acknowledgement of payloads", probe, timeout=30)

    async def _write(self, number: int) -> None:
        while not self._stopping.is_set():
            one = Payload(bytes(32), os.urandom(500), bytes(24), (bytes(48),), bytes(24), (os.urandom(32),))
            begun = time.monotonic()
            with patience(HOLD_SECONDS):
                await self._stores[number % REPLICAS].add(one)
                self.acknowledged.append(one)
                assert await self._stores[(number + 1) % REPLICAS].payload(one.hash) == one
            self.longest = max(self.longest, time.monotonic() - begun)


async def test_a_follower_takes_the_place_of_a_dead_primary(pair: Pair, tmp_path: Path) -> None:
    stores = [open_store(pair.url, PASSWORD, tmp_path) for _ in range(REPLICAS)]
    await stores[0].migrate()
    instance = await stores[0].claim([b"k" * 32])
    load = Load(stores)
    running = asyncio.create_task(load.run())
    await load.written(50)
    await asyncio.to_thread(pair.fail_over)
    await load.written(50)
    load.stop()
    await running
    assert load.longest < HOLD_SECONDS
    late = open_store(pair.url, PASSWORD, tmp_path)
    assert (await late.check()).instance == instance
    for store in (*stores, late):
        assert await asyncio.gather(*(store.payload(one.hash) for one in load.acknowledged)) == load.acknowledged
        await store.close()


async def test_a_follower_alone_serves_nothing(pair: Pair, tmp_path: Path) -> None:
    store = open_store(pair.url, PASSWORD, tmp_path)
    await store.migrate()
    assert await store.payload(bytes(64)) is None
    pair.primary.kill()
    for _ in range(3):
        with pytest.raises(TemporaryError, match="no host of the database takes writes"):
            await store.payload(bytes(64))
    pair.primary.start()
    assert await store.payload(bytes(64)) is None
    await store.close()


async def test_with_a_primary_that_hangs_the_follower_is_found_in_time(pair: Pair, tmp_path: Path) -> None:
    store = open_store(pair.url, PASSWORD, tmp_path)
    await store.migrate()
    pair.primary.pause()
    try:
        await asyncio.to_thread(pair.follower.promote)
        with patience(HOLD_SECONDS):
            assert await store.payload(bytes(64)) is None
    finally:
        pair.primary.resume()
    await store.close()
