"""A rig for the edge of one member: the real gateway and agent in front of fake nodes, each a process to kill."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muniment.clients.quorum import QuorumClient
from muniment.identity.model import Identities, MemberIdentity, NodeIdentity
from muniment.kernel.errors import MunimentError
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.spec.model import Consortium, Member, Privacy
from muniment.topology import edge
from muniment.topology.layout import Layout
from muniment.topology.model import Workload
from tests.support.addresses import RigAddresses

OFFSETS = {"rpc": 0, "ws": 1, "metrics": 2, "api": 4, "privacy": 5, "q2t": 5, "p2p": 6, "status": 7}
SETTLED = 20.0
"""Seconds for the gateway or the agent to notice something on a busy machine."""

AGENT = "from muniment.cli.agent import agent; agent()"


class LoopbackAddresses(RigAddresses):
    """Ten ports per node."""

    def offset(self, workload: str, port: str) -> int:
        index = workload.rpartition("-")[2]
        return (10 * int(index) if index.isdigit() else 0) + OFFSETS[port]


def identities(nodes: int) -> Identities:
    """Identities of member alpha with so many nodes and no peer."""
    own = tuple(
        NodeIdentity(name=f"alpha-{i}", enode_id=f"{i:0128x}", coinbase=f"0x{i:040x}", validator=True)
        for i in range(1, nodes + 1)
    )
    member = MemberIdentity(member="alpha", account="0x" + "a" * 40, nodes=own, peers=())
    return Identities(members=(member,), own=frozenset({"alpha"}))


class Process:
    """A process that can be killed and started again."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def terminate(self) -> int:
        """SIGTERM; the exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(10)


class Rig:
    """Three fake nodes, the agent or the agents, the gateway."""

    def __init__(self, root: Path, base: int, layout: Layout = Layout.MEMBER) -> None:
        self.addresses = LoopbackAddresses(base, root)
        self.nodes = ["alpha-1", "alpha-2", "alpha-3"]
        spec = Consortium(privacy=Privacy(enabled=False), members={"alpha": Member(nodes=3, peers=0, notary=False)})
        arguments = (spec, "alpha", identities(3), self.addresses)
        self.gateway = edge.gateway(*arguments, layout)
        self.agents = edge.agents(*arguments, layout)
        (root / "logs").mkdir(parents=True)
        self.processes = {name: self._node(name, root) for name in self.nodes}
        commands = {self.gateway.name: ["haproxy", *self.gateway.arguments]}
        commands |= {agent.name: [sys.executable, "-c", AGENT, *agent.arguments[1:]] for agent in self.agents}
        for workload in (self.gateway, *self.agents):
            self._write(workload)
            self.processes[workload.name] = Process(commands[workload.name], root / "logs" / f"{workload.name}.log")

    def url(self, workload: str, port: str) -> str:
        """URL of a port."""
        return f"http://127.0.0.1:{self.addresses.reach(workload, port).port}"

    async def start(self) -> None:
        """Start all, and wait until the gateway knows all three nodes as fit."""
        for process in self.processes.values():
            process.start()
        await self.wait("alpha-gateway", "rpc", "/health", 200)
        for agent in self.agents:
            await self.wait(agent.name, "api", "/live", 200)
        await self.wait_gateway(dict.fromkeys(self.nodes, True))

    def stop(self) -> None:
        """Kill all."""
        for process in self.processes.values():
            process.kill()

    async def set(self, node: str, **state: Any) -> None:
        """Change what a fake node shows."""
        await self.call(self.url(node, "rpc"), "test_set", [state])

    async def asked(self, node: str) -> int:
        """How many of `Load`'s requests a fake node has got."""
        return int(await self.call(self.url(node, "rpc"), "test_asked"))

    async def call(self, url: str, method: str, params: list[Any] | None = None) -> Any:
        """One JSON-RPC call on a connection of its own."""
        async with QuorumClient(url) as client:
            return await client.call(method, params or [])

    async def serving(self) -> str:
        """Name of the node that the gateway sends this client to."""
        return str(await self.call(self.url("alpha-gateway", "rpc"), "web3_clientVersion"))

    async def wait_gateway(self, wanted: dict[str, bool]) -> None:
        """Wait until the gateway holds the nodes fit or not as `wanted`, by its own metrics."""

        async def probe() -> None:
            text = (await get(self.url("alpha-gateway", "metrics") + "/metrics"))[1]
            up = {name: f'haproxy_server_status{{proxy="rpc",server="{name}",state="UP"}} 1' in text for name in wanted}
            if up != wanted:
                raise NotYetError(f"the gateway says {up}")

        await wait_for(f"{wanted} at the gateway", probe, timeout=SETTLED)

    async def wait_agent(self, path: str, status: int) -> str:
        """Wait until the agent answers `path` with `status`; its body."""
        return await self.wait("alpha-agent", "api", path, status)

    async def wait(self, workload: str, port: str, path: str, status: int) -> str:
        """Wait until a workload answers `path` with `status`; its body."""

        async def probe() -> str:
            got, body = await get(self.url(workload, port) + path)
            if got != status:
                raise NotYetError(f"it says {got}: {body}")
            return body

        return await wait_for(f"{status} at {workload}{path}", probe, timeout=SETTLED)

    def _node(self, name: str, root: Path) -> Process:
        ports = [str(self.addresses.listen(name, port).port) for port in ("rpc", "ws")]
        return Process([sys.executable, "-m", "tests.support.fake_node", name, *ports], root / "logs" / f"{name}.log")

    def _write(self, workload: Workload) -> None:
        directory = Path(self.addresses.config(workload.name))
        directory.mkdir(parents=True)
        for file in workload.files:
            (directory / file.path).write_text(file.text, encoding="utf-8")


@dataclass
class Load:
    """One request every 50 ms to the gateway, whatever becomes of the ones before."""

    url: str
    period: float = 0.05
    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    served: list[tuple[float, str]] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Load:
        self._client = QuorumClient(self.url, timeout=30)
        self._stop = asyncio.Event()
        self._runner = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._stop.set()
        await self._runner
        await asyncio.gather(*self._tasks)
        await self._client.close()

    async def more(self, requests: int) -> None:
        """Wait until so many more requests were answered."""
        wanted = len(self.seconds) + len(self.failures) + requests

        async def probe() -> None:
            if len(self.seconds) + len(self.failures) < wanted:
                raise NotYetError(f"{len(self.seconds)} answered")

        await wait_for(f"{requests} more requests", probe, timeout=60)

    async def _run(self) -> None:
        while not self._stop.is_set():
            task = asyncio.create_task(self._one())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            try:
                await asyncio.wait_for(self._stop.wait(), self.period)
            except TimeoutError:
                continue

    async def _one(self) -> None:
        began = time.monotonic()
        try:
            name = await self._client.call("web3_clientVersion")
        except MunimentError as error:
            self.failures.append(f"{time.monotonic():.3f}: {error}")
            return
        self.seconds.append(time.monotonic() - began)
        self.served.append((time.monotonic(), name))


async def get(url: str, method: str = "GET") -> tuple[int, str]:
    """Status and body; 0 and the cause when nobody answers."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    try:
        reader, writer = await asyncio.open_connection(name, int(port))
    except OSError as error:
        return 0, str(error)
    try:
        writer.write(f"{method} /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    except OSError as error:
        return 0, str(error)
    finally:
        writer.close()
    return int(head.split(" ", 2)[1]) if head else 0, body
