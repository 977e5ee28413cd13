"""Runs the notary: wires the parts by the settings, and serves the API until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import uvicorn
import uvloop

import muniment
from muniment.clients.ipfs import ClusterClient, KuboClient
from muniment.clients.quorum import QuorumClient
from muniment.kernel.errors import InputError, TemporaryError
from muniment.notary.acceptor import MakeStatement
from muniment.notary.app import Api
from muniment.notary.content import ClusterStore, Peer
from muniment.notary.cutting import receipt_cut
from muniment.notary.ledger import Ledger, load_account
from muniment.notary.readiness import Check, Readiness
from muniment.notary.receipts import Receipts
from muniment.notary.replica import ALONE, replica_name
from muniment.notary.service import Doors, Notary
from muniment.notary.settings import Listen, PeerSettings, Settings
from muniment.notary.spool import Spool
from muniment.notary.store import open_store
from muniment.proof.statement import SALT_BYTES, Statement, multihash
from muniment.proof.unixfs import FileSummary

BACKLOG: Final = 2048
GRACE_SECONDS: Final = 3
"""How long requests that are being answered may go on after SIGTERM."""

KEEP_ALIVE_SECONDS: Final = 75
SPOOL: Final = "spool"
SALTS_AT_ONCE: Final = 256

_log = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; what was accepted is in the database, whenever this ends.

    Raises `InputError` when the configuration cannot be used: the address is taken, a secret cannot be read.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    with _bound(settings.listen) as door:
        async with _running(settings) as (notary, readiness):
            server = _Server(
                uvicorn.Config(
                    Api(notary, readiness, muniment.__version__).app(),
                    loop="none",
                    backlog=BACKLOG,
                    lifespan="off",
                    ws="none",
                    access_log=False,
                    log_config=None,
                    timeout_keep_alive=KEEP_ALIVE_SECONDS,
                    timeout_graceful_shutdown=GRACE_SECONDS,
                )
            )
            await _until_stopped(server, door, stopping, notary)


async def _until_stopped(server: uvicorn.Server, door: socket.socket, stopping: asyncio.Event, notary: Notary) -> None:
    serving = asyncio.ensure_future(server.serve(sockets=[door]))
    stopped = asyncio.ensure_future(stopping.wait())
    failed = notary.failed
    assert failed is not None  # noqa: S101 - made when the notary started
    await asyncio.wait((serving, stopped, failed), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    server.should_exit = True
    await serving
    if failed.done():
        failed.result()


class _Server(uvicorn.Server):
    """A uvicorn that leaves signals to `serve`: its own handling ends the process before the notary is stopped."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bound(listen: Listen) -> socket.socket:
    """The address taken, not open yet: until the notary has started, who connects is told that nobody is there."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((listen.host, listen.port))
    except OSError as error:
        door.close()
        raise InputError(
            f"{listen.host}:{listen.port} cannot be opened ({error.strerror}): end what uses it or choose another port"
        ) from error
    return door


@contextlib.asynccontextmanager
async def _running(settings: Settings) -> AsyncIterator[tuple[Notary, Readiness]]:
    replica = replica_name(settings.data_dir, shared=settings.replicas > 1)
    store = open_store(settings.database.url, settings.database_password(), settings.data_dir, replica)
    spool = Spool(settings.data_dir / SPOOL)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        chain = await stack.enter_async_context(QuorumClient(settings.rpc))
        account = load_account(settings.keystore_file, settings.passphrase_file)
        ledger = Ledger(
            chain,
            account,
            chain_id=settings.chain_id,
            address=settings.contract,
            confirmations=settings.confirmations,
        )
        peers = await _peers(settings, stack)
        content = ClusterStore(
            [peer for peer, _ in peers],
            spool,
            minimum=settings.replication.min,
            maximum=settings.replication.max,
        )
        notary = Notary(
            Doors(store, content, ledger, _statements(settings.network, settings.member)),
            Receipts(store, receipt_cut(settings, ledger.submitter)),
            spool,
            settings.batch,
            settings.origin,
            settings.data_dir,
            alone=replica == ALONE,
        )
        readiness = Readiness(
            {"database": store.ping, "gateway": chain.block_number, "contract": ledger.check},
            {peer.cluster_id: check for peer, check in peers},
            settings.replication.min,
        )
        # Stopped before the clients and the store are closed.
        stack.push_async_callback(notary.stop)
        await notary.start()
        yield notary, readiness


async def _peers(settings: Settings, stack: contextlib.AsyncExitStack) -> Sequence[tuple[Peer, Check]]:
    password = settings.cluster_password()
    peers = []
    for peer in settings.peers:
        kubo = await stack.enter_async_context(KuboClient(peer.kubo))
        cluster = await stack.enter_async_context(ClusterClient(peer.cluster, password))
        peers.append((Peer(peer.cluster_id, kubo, cluster), _usable(peer, cluster)))
    return peers


def _usable(peer: PeerSettings, cluster: ClusterClient) -> Check:
    async def check() -> None:
        said = await cluster.id()
        if said.error or not said.kubo_id:
            raise TemporaryError(f"the kubo of {peer.cluster} does not answer ({said.error or 'no identity'})")

    return check


def _statements(network: str, member: str) -> MakeStatement:
    salts = _salts()

    def make(file: FileSummary, received_at: int) -> bytes:
        return Statement(
            digest=multihash(file.sha256),
            size=file.size,
            cid=file.cid,
            salt=next(salts),
            received_at=received_at,
            network=network,
            member=member,
        ).encode()

    return make


def _salts() -> Iterator[bytes]:
    """A fresh salt for every leaf; many are drawn at once, since each call of the system costs as much as a digest."""
    while True:
        drawn = secrets.token_bytes(SALT_BYTES * SALTS_AT_ONCE)
        for start in range(0, len(drawn), SALT_BYTES):
            yield drawn[start : start + SALT_BYTES]
