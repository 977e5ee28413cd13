"""Runs a privacy manager: wires the parts by the settings, and serves its three interfaces until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Final

import uvicorn
import uvloop

import muniment
from muniment.clients.privacy_peer import PeerClient
from muniment.kernel.errors import InputError
from muniment.kernel.tls import CertificateFiles, MutualTls
from muniment.privacy.asgi import App
from muniment.privacy.counted import CountedPeers
from muniment.privacy.discovery import Discovery
from muniment.privacy.enclave import Enclave
from muniment.privacy.key_files import read_pair
from muniment.privacy.metrics import Metrics
from muniment.privacy.p2p_app import P2pApp
from muniment.privacy.peers import StoredPeers
from muniment.privacy.q2t_app import Q2tApp
from muniment.privacy.readiness import Readiness, open_patiently
from muniment.privacy.receiving import Receiver
from muniment.privacy.recovering import Recovery
from muniment.privacy.renewal import Renewal
from muniment.privacy.resending import Resender
from muniment.privacy.sending import Sender
from muniment.privacy.settings import Settings, TlsFiles
from muniment.privacy.status_app import StatusApp
from muniment.privacy.store import SqlStore, open_store

GRACE_SECONDS: Final = 5
"""How long requests that are being answered may go on after SIGTERM."""

KEEP_ALIVE_SECONDS: Final = 75
"""Longer than the ten seconds that a node keeps a connection: otherwise it sends into one that is being closed."""

LOOK_SECONDS: Final = 1.0
"""Between looks at the certificates' files and at the database."""


@dataclass(frozen=True)
class Doors:
    """The listening sockets."""

    q2t: socket.socket
    p2p: socket.socket
    status: socket.socket


@dataclass
class Parts:
    """What the interfaces and the commands are made of."""

    enclave: Enclave
    store: SqlStore
    peers: StoredPeers
    sender: Sender
    receiver: Receiver
    resender: Resender
    recovery: Recovery
    metrics: Metrics


def serve(settings: Settings, doors: Doors) -> None:
    """Serve until SIGTERM or SIGINT. Raises `InputError` when a key or a certificate cannot be used."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, doors))


@contextlib.asynccontextmanager
async def parts(settings: Settings, tls: MutualTls | None) -> AsyncIterator[Parts]:
    """The parts by the settings; the database is not opened yet. `tls` is that of the other members' interface."""
    pairs = [read_pair(files.secret_key_file, files.password_file) for files in settings.keys]
    enclave = Enclave(pairs, settings.always_send_to)
    store = open_store(settings.database.url, settings.database_password(), settings.sqlite_file())

    def connect(url: str) -> PeerClient:
        return PeerClient(url, tls=tls.client if tls else None)

    peers = StoredPeers(store, connect)
    metrics = Metrics()
    counted = CountedPeers(peers, metrics)
    receiver = Receiver(enclave, store)
    try:
        yield Parts(
            enclave,
            store,
            peers,
            Sender(enclave, store, counted),
            receiver,
            Resender(enclave, store, counted),
            Recovery(enclave, store, peers, receiver),
            metrics,
        )
    finally:
        await peers.close()
        await store.close()


def mutual_tls(files: TlsFiles | None) -> MutualTls | None:
    """The TLS of these files, if there are any. Raises `InputError`."""
    if files is None:
        return None
    return MutualTls(CertificateFiles(files.certificate_file, files.key_file, files.authorities_file))


def discovery(settings: Settings, made: Parts) -> Discovery:
    """Discovery by the settings."""
    return Discovery(
        made.enclave,
        made.store,
        made.peers,
        url=settings.advertised_url,
        configured=settings.peers,
        everybody=settings.discovery,
        validates=settings.key_validation,
    )


async def _serve(settings: Settings, doors: Doors) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    node_tls, peer_tls = mutual_tls(settings.tls.q2t), mutual_tls(settings.tls.p2p)
    async with parts(settings, peer_tls) as made:
        metrics = made.metrics
        _check_groups(settings, made.enclave)
        readiness = Readiness(made.store, made.enclave.keys, settings.data_dir)
        known = discovery(settings, made)
        largest = settings.largest_payload_bytes
        q2t = Q2tApp(
            made.sender,
            made.receiver,
            readiness,
            metrics,
            keys=made.enclave.keys,
            groups=settings.resident_groups,
            hold=settings.hold_seconds,
            version=muniment.__version__,
        ).app(largest)
        p2p = P2pApp(
            made.receiver,
            made.resender,
            made.recovery,
            known,
            made.store,
            readiness,
            metrics,
            version=muniment.__version__,
        ).app(largest)
        servers = [
            (_server(q2t, node_tls), doors.q2t),
            (_server(p2p, peer_tls), doors.p2p),
            (_server(StatusApp(readiness, metrics).app(), None), doors.status),
        ]
        async with asyncio.TaskGroup() as group:
            for server, door in servers:
                group.create_task(server.serve(sockets=[door]))
            group.create_task(_open_and_announce(readiness, known, settings.announce_seconds, stopping))
            group.create_task(_look(readiness, [tls for tls in (node_tls, peer_tls) if tls], made.peers, stopping))
            await stopping.wait()
            readiness.stopping = True
            for server, _ in servers:
                server.should_exit = True


async def _open_and_announce(readiness: Readiness, known: Discovery, seconds: float, stopping: asyncio.Event) -> None:
    # The table of the peers is in the database: there is none to announce from before that is open.
    await open_patiently(readiness, stopping)
    if not stopping.is_set():
        await known.run(seconds, stopping)


def _check_groups(settings: Settings, enclave: Enclave) -> None:
    grouped = {key for group in settings.resident_groups for key in group.members}
    if grouped and not grouped.issuperset(enclave.keys):
        raise InputError("a key that is held here is in no resident group: with several private states each is in one")


async def _look(
    readiness: Readiness, certificates: list[MutualTls], peers: StoredPeers, stopping: asyncio.Event
) -> None:
    """Look at the database and at the certificates now and then."""
    renewal = Renewal(certificates)
    while not stopping.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await stopping.wait()
        await readiness.cause()
        if renewal.happened():
            await peers.renew()


class _Server(uvicorn.Server):
    """A uvicorn that leaves signals to `serve`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: App, tls: MutualTls | None) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        interface="asgi3",
        lifespan="off",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    config.load()
    context: ssl.SSLContext | None = tls.server if tls else None
    config.ssl = context
    return _Server(config)
