"""Real IPFS peers on loopback, started from their rendered workloads: each process can be stopped, killed, started."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

from muniment.clients.ipfs import ClusterClient, KuboClient
from muniment.identity import libp2p
from muniment.identity.model import (
    CLUSTER_SECRET,
    SWARM_KEY,
    Identities,
    MemberIdentity,
    NodeIdentity,
    PeerIdentity,
    peer_key_path,
    rest_password_path,
)
from muniment.kernel.errors import TemporaryError
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.spec.model import Consortium, Ipfs, Member, Replication
from muniment.topology import ipfs, multiaddr
from muniment.topology.model import Workload
from tests.support.addresses import RigAddresses

SETTLED = 60.0
"""Seconds for the mesh or a pin to come about on a busy machine."""

STOPPED = 30.0
PASSWORD = "correct horse battery staple"

_MARKER = re.compile("@secret:([^@]+)@")
_OFFSETS = {("kubo", "swarm"): 0, ("kubo", "api"): 1, ("cluster", "swarm"): 2, ("cluster", "api"): 3}


class LoopbackAddresses(RigAddresses):
    """Ten ports per peer."""

    def offset(self, workload: str, port: str) -> int:
        kind, _, number = workload.partition("-")[2].partition("-")
        return 10 * int(number) + _OFFSETS.get((kind, port), 4) if number else 0


class Peers:
    """`count` peers of member alpha. Use it as a context manager: at the end nothing runs any more."""

    def __init__(self, engines: Mapping[str, Path], root: Path, base: int, count: int = 3) -> None:
        self.root = root
        self._engines = engines
        self.addresses = LoopbackAddresses(base, root)
        self._secrets = {
            SWARM_KEY: libp2p.new_swarm_key(),
            CLUSTER_SECRET: libp2p.new_cluster_secret(),
            rest_password_path("alpha"): PASSWORD,
        }
        spec = Consortium(
            name="test",
            ipfs=Ipfs(replication=Replication(min=2, max=3), storage_max="10GB"),
            members={"alpha": Member(nodes=1, peers=count, notary=False)},
        )
        keys = {f"{index}": (libp2p.new_peer_key(), libp2p.new_peer_key()) for index in range(1, count + 1)}
        for index, (kubo, cluster) in keys.items():
            self._secrets[peer_key_path("alpha", f"alpha-kubo-{index}")] = kubo
            self._secrets[peer_key_path("alpha", f"alpha-cluster-{index}")] = cluster
        self.identities = _identities(keys)
        self.member = self.identities.of("alpha")
        self.workloads = {w.name: w for w in ipfs.peers(spec, self.identities, self.addresses)}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Peers:
        return self

    def __exit__(self, *_exc: object) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait(STOPPED)

    @property
    def running(self) -> list[str]:
        """Names of the workloads whose process runs."""
        return [name for name, process in self._processes.items() if process.poll() is None]

    def kubo(self, index: int) -> KuboClient:
        """A client of the kubo of peer `index` (from 1)."""
        return KuboClient(self.workloads[f"alpha-kubo-{index}"].port("api").url)

    def cluster(self, index: int, password: str = PASSWORD) -> ClusterClient:
        """A client of the cluster service of peer `index` (from 1)."""
        return ClusterClient(self.workloads[f"alpha-cluster-{index}"].port("api").url, password)

    def rendered(self, name: str) -> dict[Path, str]:
        """Where the workload's files are, and their rendered text."""
        addresses = self.addresses
        return {
            Path((addresses.data(name) if file.in_data else addresses.config(name)) / file.path): file.text
            for file in self.workloads[name].files
        }

    def materialise(self, name: str) -> None:
        """Write the workload's files, as a target does before every start."""
        for path, rendered in self.rendered(name).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            text = _MARKER.sub(lambda marker: self._secrets[marker.group(1)].strip(), rendered)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o600 if text != rendered else 0o644)

    def start(self, *names: str) -> None:
        """Start these workloads; when none is named, all that do not run."""
        for name in names or [name for name in self.workloads if name not in self.running]:
            assert name not in self.running, f"{name} runs already"
            self.materialise(name)
            self._processes[name] = self.spawn(self.workloads[name])

    def spawn(self, workload: Workload) -> subprocess.Popen[bytes]:
        """Run the workload's command as it stands; its output goes to its log."""
        log = self.log(workload.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        # Nothing of this process's environment: what an engine needs must stand in the workload.
        environment = {"PATH": os.environ["PATH"], **dict(workload.environment)}
        with log.open("ab") as output:
            return subprocess.Popen(
                [str(self._engines[workload.program]), *workload.arguments],
                cwd=self.addresses.data(workload.name),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def log(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    def stop(self, *names: str) -> None:
        """SIGTERM to these workloads together, then wait until they ended by themselves."""
        self._end(names, signal.SIGTERM)

    def kill(self, *names: str) -> None:
        """SIGKILL to these workloads."""
        self._end(names, signal.SIGKILL)

    def _end(self, names: tuple[str, ...], sign: signal.Signals) -> None:
        for name in names:
            self._processes[name].send_signal(sign)
        for name in names:
            self._processes.pop(name).wait(STOPPED)

    def peerstore(self, index: int) -> Path:
        return Path(self.addresses.config(f"alpha-cluster-{index}") / "peerstore")

    def swarm_key(self, index: int) -> Path:
        return Path(self.addresses.data(f"alpha-kubo-{index}") / "swarm.key")

    async def wait_mesh(self, indexes: Collection[int] = (), *, connect: bool = True) -> None:
        """Wait until each of these peers (all when none is named) sees all of them.

        With `connect` the kubos are asked to dial, as the agent does; without, they find one another by themselves.
        """
        peers = [peer for peer in self.member.peers if not indexes or peer.index in indexes]
        kubos, clusters = {peer.kubo_id for peer in peers}, {peer.cluster_id for peer in peers}
        for peer in peers:
            async with self.kubo(peer.index) as kubo, self.cluster(peer.index) as cluster:
                await wait_for(
                    f"the mesh at kubo {peer.index}",
                    partial(self._linked, kubo, kubos - {peer.kubo_id}, connect),
                    timeout=SETTLED,
                )
                await wait_for(f"the mesh at cluster {peer.index}", partial(_sees, cluster, clusters), timeout=SETTLED)

    async def _linked(self, kubo: KuboClient, wanted: set[str], connect: bool) -> None:
        try:
            missing = wanted - await kubo.swarm_peers()
            for peer in self.member.peers if connect else ():
                if peer.kubo_id in missing:
                    swarm = self.workloads[ipfs.kubo_name("alpha", peer)].port("swarm").reach
                    await kubo.swarm_connect(multiaddr.of_peer(swarm, peer.kubo_id))
        except TemporaryError as error:
            raise NotYetError(str(error)) from error
        if missing and not connect:
            raise NotYetError(f"not connected to {missing}")


async def _sees(cluster: ClusterClient, wanted: set[str]) -> None:
    try:
        missing = wanted - (await cluster.sees() & await cluster.candidates())
    except TemporaryError as error:
        raise NotYetError(str(error)) from error
    if missing:
        raise NotYetError(f"does not see {missing}, or gives them nothing")


def _identities(keys: Mapping[str, tuple[str, str]]) -> Identities:
    peers = tuple(
        PeerIdentity(index=index, kubo_id=libp2p.peer_id(kubo), cluster_id=libp2p.peer_id(cluster))
        for index, (kubo, cluster) in enumerate(keys.values(), start=1)
    )
    node = NodeIdentity(name="alpha-1", enode_id="1" * 128, coinbase="0x" + "1" * 40, validator=True)
    member = MemberIdentity(member="alpha", account="0x" + "2" * 40, nodes=(node,), peers=peers)
    return Identities(members=(member,), own=frozenset({"alpha"}))
