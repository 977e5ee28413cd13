"""Promise: of two notaries on one database either may be killed or hang; every accepted file is proved exactly once."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from muniment.clients.notary import NotaryClient
from muniment.clients.quorum import QuorumClient
from muniment.identity.model import account_paths
from muniment.kernel.encoding import parse_json
from muniment.kernel.errors import MunimentError
from muniment.notary.leasing import LEASE_MS
from muniment.proof.contract import Anchored
from muniment.proof.receipt import parse
from tests.integration.notary.test_service import anchored_events, check_proofs, part
from tests.support.databases import DatabaseServer
from tests.support.goquorum import Chain
from tests.support.ipfs import Peers
from tests.support.notary_process import NotaryProcess

pytestmark = [pytest.mark.engines, pytest.mark.anyio, pytest.mark.timeout(600)]

ANCHORED = 120.0
PERIOD_SECONDS = 0.1
TRIES = 60


@pytest.fixture(params=["mariadb", "postgresql"])
def pair(
    request: pytest.FixtureRequest, root: Path, base: int, chain: Chain, peers: Peers
) -> Iterator[list[NotaryProcess]]:
    """Two notaries of the member, each with a volume of its own. The first one anchors."""
    server: DatabaseServer = request.getfixturevalue(request.param)
    database = {"url": server.fresh(), "password_file": str(server.password_file)}
    place = Path(tempfile.mkdtemp(dir=root))
    notaries = [
        NotaryProcess(
            place / str(number),
            base + 1910 + number,
            chain,
            peers,
            further={"database": database, "replicas": 2},
            window_seconds=0.5,
        )
        for number in (1, 2)
    ]
    try:
        for one in notaries:
            one.start()
        yield notaries
    finally:
        for one in notaries:
            one.remove()


class Load:
    """Ten files a second to either notary in turn, as a client behind a load balancer sends them: with a key, and again
    to the other one when there is no answer."""

    def __init__(self, clients: list[NotaryClient]) -> None:
        self._clients = clients
        self._tasks: list[asyncio.Task[str]] = []
        self._further: list[str] = []

    def note(self, identifier: str) -> None:
        """A file that was accepted beside the load."""
        self._further.append(identifier)

    async def run(self, seconds: float) -> None:
        """Begin so many uploads."""
        for _ in range(round(seconds / PERIOD_SECONDS)):
            self._tasks.append(asyncio.create_task(self._upload(len(self._tasks))))
            await asyncio.sleep(PERIOD_SECONDS)

    async def accepted(self) -> list[str]:
        """Identifiers of all files, when all are accepted."""
        return [*self._further, *await asyncio.gather(*self._tasks)]

    async def _upload(self, number: int) -> str:
        content = os.urandom(200 + number)
        for attempt in range(TRIES):
            client = self._clients[(number + attempt) % 2]
            try:
                async with asyncio.timeout(5):
                    (file,) = await client.upload([part(f"{number}", content)], key=f"upload {number}")
            except (MunimentError, TimeoutError):
                await asyncio.sleep(PERIOD_SECONDS)
            else:
                return file.id
        raise AssertionError(f"upload {number} was not accepted in {TRIES} tries")


Before = tuple[int, list[Anchored]]


async def transactions(chain: Chain) -> int:
    """How many the member's account has sent."""
    keystore = chain.root / "identity" / account_paths("alpha")[0]
    address = f"0x{parse_json(keystore.read_text())['address'].removeprefix('0x')}"
    async with QuorumClient(chain.url("alpha-1")) as client:
        return await client.transaction_count(address)


async def proved_once(chain: Chain, pair: list[NotaryProcess], ids: list[str], before: Before) -> None:
    """Either notary knows all, with receipts; the chain holds each batch by one transaction."""
    assert len(set(ids)) == len(ids)
    for one in pair:
        async with NotaryClient(one.url) as client:
            states = await client.states(ids, wait="anchored", seconds=ANCHORED)
            assert {file.state for file in states} == {"anchored"}
            receipts = [parse(text.encode()) for text in await client.receipts(ids)]
    events = await anchored_events(chain)
    sent, earlier = before
    await check_proofs(receipts, events, earlier)
    assert await transactions(chain) - sent == len(events) - len(earlier)


async def test_either_is_killed_under_load(pair: list[NotaryProcess], chain: Chain) -> None:
    before = await transactions(chain), await anchored_events(chain)
    async with NotaryClient(pair[0].url) as first, NotaryClient(pair[1].url) as second:
        load = Load([first, second])
        for victim in (0, 1, 0, 1):
            await load.run(1.5)
            await asyncio.to_thread(pair[victim].kill)
            # The other one alone, for longer than the lease lasts.
            await load.run(LEASE_MS / 1000 + 2 if victim == 0 else 1)
            await asyncio.to_thread(pair[victim].start)
        await load.run(1)
        ids = await load.accepted()
    await proved_once(chain, pair, ids, before)


async def test_the_one_that_anchors_hangs_and_comes_back(pair: list[NotaryProcess], chain: Chain) -> None:
    before = await transactions(chain), await anchored_events(chain)
    async with NotaryClient(pair[0].url) as first, NotaryClient(pair[1].url) as second:
        load = Load([first, second])
        for victim in (0, 1):
            await load.run(1.5)
            pair[victim].process.send_signal(signal.SIGSTOP)
            await load.run(LEASE_MS / 1000 + 3)
            (other,) = await (second, first)[victim].upload([part("meanwhile", os.urandom(50))])
            (file,) = await (second, first)[victim].states([other.id], wait="anchored", seconds=ANCHORED)
            assert file.state == "anchored"
            pair[victim].process.send_signal(signal.SIGCONT)
            load.note(other.id)
        ids = await load.accepted()
    await proved_once(chain, pair, ids, before)
