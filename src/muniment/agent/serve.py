"""Runs the agent: clients, watches and API in one event loop, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn

from muniment.agent.app import Api
from muniment.agent.fitness import Limits
from muniment.agent.maintenance import Maintenance
from muniment.agent.mending import CONNECT_TIMEOUT, POLL_TIMEOUT, ClusterDoor, KuboDoor, PeerWatch
from muniment.agent.mesh import Peer
from muniment.agent.settings import Listen, NodeSettings, Settings
from muniment.agent.watch import POLL_TIMEOUT as NODE_TIMEOUT
from muniment.agent.watch import NodeDoor, NodeProbe, NodeWatch
from muniment.clients.cluster import ClusterClient
from muniment.clients.kubo import KuboClient
from muniment.clients.privacy_status import PrivacyStatusClient
from muniment.clients.quorum import QuorumClient
from muniment.kernel.errors import InputError

_BACKLOG = 128


async def serve(settings: Settings) -> None:
    """Watch, and serve the API once everything was judged. Returns after SIGTERM or SIGINT, in well under a second.

    Raises `InputError` when the configuration cannot be used: the address is taken, the maintenance directory cannot
    be made, the password file cannot be read.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with _watches(settings) as (nodes, peers):
        watching = [asyncio.create_task(nodes.run()), asyncio.create_task(peers.run())]
        serving = asyncio.create_task(_serve_api(settings.listen, nodes, peers, stopping))
        stopped = asyncio.create_task(stopping.wait())
        tasks = [*watching, serving, stopped]
        try:
            # A watch never ends by itself: if it does, its error ends the agent, and its supervisor starts it anew.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            stopping.set()
            for task in done:
                task.result()
            if nodes.judged.is_set() and peers.judged.is_set():
                await serving
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class _Server(uvicorn.Server):
    """A uvicorn that leaves signals to `serve`: its own handling ends the process before the clients are closed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve_api(listen: Listen, nodes: NodeWatch, peers: PeerWatch, stopping: asyncio.Event) -> None:
    await nodes.judged.wait()
    await peers.judged.wait()
    server = _Server(
        uvicorn.Config(
            Api(nodes, peers).app(),
            loop="none",
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=1,
        )
    )
    with _bound(listen) as door:
        serving = asyncio.create_task(server.serve(sockets=[door]))
        await asyncio.wait((serving, asyncio.ensure_future(stopping.wait())), return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving


def _bound(listen: Listen) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        return socket.create_server((listen.host, listen.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InputError(
            f"{listen.host}:{listen.port} cannot be opened ({error.strerror}): end what uses it or choose another port"
        ) from error


@contextlib.asynccontextmanager
async def _watches(settings: Settings) -> AsyncIterator[tuple[NodeWatch, PeerWatch]]:
    maintenance = Maintenance(settings.maintenance_dir, [node.name for node in settings.nodes])
    async with contextlib.AsyncExitStack() as stack:
        probes: dict[str, NodeDoor] = {node.name: await _node_probe(node, stack) for node in settings.nodes}
        nodes = NodeWatch(
            probes,
            {node.name: node.min_peers for node in settings.nodes},
            Limits(settings.max_lag_blocks, settings.max_lag_seconds),
            maintenance,
        )
        yield nodes, await _peer_watch(settings, stack)


async def _node_probe(node: NodeSettings, stack: contextlib.AsyncExitStack) -> NodeProbe:
    rpc = await stack.enter_async_context(QuorumClient(node.rpc, timeout=NODE_TIMEOUT))
    if node.privacy is None:
        return NodeProbe(rpc, None)
    privacy = PrivacyStatusClient(node.privacy, timeout=NODE_TIMEOUT)
    return NodeProbe(rpc, await stack.enter_async_context(privacy))


async def _peer_watch(settings: Settings, stack: contextlib.AsyncExitStack) -> PeerWatch:
    kubos: dict[str, KuboDoor] = {}
    clusters: dict[str, ClusterDoor] = {}
    password = settings.cluster_password() if settings.peers else ""
    for peer in settings.peers:
        kubo = KuboClient(peer.kubo, timeout=CONNECT_TIMEOUT)
        kubos[peer.kubo_name] = await stack.enter_async_context(kubo)
        cluster = ClusterClient(peer.cluster, password, timeout=POLL_TIMEOUT)
        clusters[peer.cluster_name] = await stack.enter_async_context(cluster)
    addresses = {peer.kubo_id: peer.kubo_address for peer in settings.peers}
    addresses |= {peer.kubo_id: peer.kubo_address for peer in settings.others}
    peers = [Peer(peer.kubo_name, peer.kubo_id, peer.cluster_name, peer.cluster_id) for peer in settings.peers]
    return PeerWatch(peers, kubos, clusters, addresses)
