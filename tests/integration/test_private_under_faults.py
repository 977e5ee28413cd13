"""Private transactions while things die: nothing accepted is lost, nothing comes twice, no private state diverges."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from eth_account import Account

from muniment.clients.private_transactions import Parties, PrivateTransactions
from muniment.clients.quorum import QuorumClient
from muniment.kernel.errors import MunimentError
from tests.support import rpc
from tests.support.consortium import Consortium
from tests.support.databases import DatabaseServer, MariaDb, PostgreSql, free_port
from tests.support.ports import port_block
from tests.support.private import CREATION, Private, private_specification
from tests.support.waiting import MENDED, wait_until

pytestmark = pytest.mark.engines

ALPHA = ("alpha-1", "alpha-2", "alpha-3")
EVERYBODY = (*ALPHA, "beta-1", "gamma-1")
SENDERS = 5
PER_SECOND = 10.0
EXIT_CAUSE = "timed out after 5 attempts"


class Load:
    """Creates private contracts for beta all the time, at ten a second, through the member's gateway."""

    def __init__(self, url: str, parties: Parties) -> None:
        self.accepted: list[str] = []
        self.refused: list[str] = []
        self._url = url
        self._parties = parties
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        await asyncio.gather(*(self._send() for _ in range(SENDERS)))

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        async with QuorumClient(self._url, timeout=60) as client:
            while not self._stop.is_set():
                begun = loop.time()
                # An account of its own for each: a lost nonce would stop all that follow.
                sender = PrivateTransactions(client, Account.create())
                try:
                    self.accepted.append(await sender.send(CREATION, self._parties))
                except MunimentError as error:
                    self.refused.append(str(error))
                await asyncio.sleep(max(0.0, SENDERS / PER_SECOND - (loop.time() - begun)))


def check_nothing_is_lost_or_different(private: Private, accepted: list[str]) -> None:
    """Every accepted transaction is in one block, its contract at every node of its parties; roots are equal."""
    blocks: list[int] = []
    for transaction in accepted:
        receipt = private.mined(private.url("alpha-1"), transaction)
        assert receipt["status"] == "0x1"
        blocks.append(int(receipt["blockNumber"], 16))
    private.caught_up(EVERYBODY, max(blocks))
    for transaction in accepted:
        receipts = {node: rpc.call(private.url(node), "eth_getTransactionReceipt", transaction) for node in EVERYBODY}
        assert len({receipt["blockHash"] for receipt in receipts.values()}) == 1
        contract = receipts["alpha-1"]["contractAddress"]
        codes = [len(private.code(node, contract)) > 2 for node in EVERYBODY]
        assert codes == [True] * 4 + [False], (transaction, codes)
    head = min(rpc.head(private.url(node)) for node in EVERYBODY)
    roots = {node: private.root(node, head) for node in ALPHA}
    assert len(set(roots.values())) == 1, roots


def starts(consortium: Consortium) -> dict[str, int]:
    """How often each node was started."""
    return {w["name"]: w["restarts"] for w in consortium.status()["workloads"] if w["role"] == "node"}


def test_any_manager_may_be_killed_while_transactions_come(trio: Private) -> None:
    consortium = trio.consortium
    before = starts(consortium)
    with Load(consortium.member("alpha")["rpc"], trio.parties("beta")) as load:
        for manager in ("alpha-privacy-1", "alpha-privacy-2", "alpha-privacy-3", "beta-privacy-1"):
            count = len(load.accepted)
            consortium.wait_mended(manager, consortium.kill(manager), timeout=MENDED)
            wait_until("transactions go on", lambda count=count: len(load.accepted) > count + 5, timeout=MENDED)
    assert load.accepted
    check_nothing_is_lost_or_different(trio, load.accepted)
    assert starts(consortium) == before


@contextmanager
def on_servers(folder: Path, kind: type[DatabaseServer]) -> Iterator[tuple[Private, DatabaseServer]]:
    """The three members, alpha's database on a server."""
    server = kind(folder / "server", free_port())
    try:
        server.start()
        with port_block() as base:
            specification = private_specification(base)
            specification["members"]["alpha"]["database"] = {
                "url": server.url,
                "password_file": str(server.password_file),
            }
            consortium = Consortium(folder / "consortium", specification)
            try:
                consortium.up()
                yield Private(consortium), server
            finally:
                consortium.remove()
    finally:
        server.remove()


@pytest.mark.parametrize("kind", [MariaDb, PostgreSql])
def test_a_database_that_is_away_for_ten_seconds_stalls_nodes_and_ends_none(
    tmp_path: Path, kind: type[DatabaseServer]
) -> None:
    with on_servers(tmp_path, kind) as (private, server):
        consortium = private.consortium
        before = starts(consortium)
        with Load(consortium.endpoint("alpha-1"), private.parties("beta")) as load:
            wait_until("transactions come", lambda: len(load.accepted) > 10, timeout=MENDED)
            server.stop()
            threading.Event().wait(10)  # the outage itself: ten seconds by the promise
            server.start()
            count = len(load.accepted)
            wait_until("transactions go on", lambda: len(load.accepted) > count + 10, timeout=MENDED)
        consortium.wait_ready()
        assert starts(consortium) == before
        check_nothing_is_lost_or_different(private, load.accepted)

        # Read-only, as after a fail-over to a replica: refused with the cause, and nothing is kept half.
        server.read_only(True)
        with pytest.raises(MunimentError, match=r"takes no writes|read-only"):
            private.send(private.url("alpha-1"), CREATION, private.parties("beta"))
        server.read_only(False)
        consortium.wait_ready()
        private.create(private.url("alpha-1"), private.parties("beta"))
