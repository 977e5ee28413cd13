"""GoQuorum nodes under test, run from their workloads as a target would run them, but without a supervisor.

For tests of the chain alone: start, kill -9 of one or of all at once (a power cut), stop, JSON-RPC over the node's IPC.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muniment.engines.build import ensure_engines
from muniment.identity.store import IdentityStore
from muniment.spec.model import Consortium
from muniment.targets.loopback import LoopbackAddresses, run_directory
from muniment.topology.chain import IPC, nodes
from muniment.topology.model import File, Workload
from tests.support import rpc
from tests.support.waiting import wait_until

STOPPED = 30.0
"""Seconds for a node to end after SIGTERM."""


@dataclass
class Chain:
    """All nodes of a specification, all members being ours."""

    root: Path
    specification: dict[str, Any]
    base_port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # No privacy managers unless a test asks for them: these are tests of the chain alone.
        spec = Consortium.model_validate(
            {"privacy": {"enabled": False}, **self.specification, "ports": {"base": self.base_port}}
        )
        self.store = IdentityStore(self.root / "identity")
        self.identities = self.store.ensure(spec, self.root)
        genesis = self.store.genesis(spec, self.identities)
        self.addresses = LoopbackAddresses(spec, self.root)
        self.workloads = {each.name: each for each in nodes(spec, self.identities, self.addresses, genesis)}
        self.geth = ensure_engines(names=["geth"])["geth"]
        for name in self.workloads:
            for place in (self.config(name), self.data(name), Path(self.addresses.run(name))):
                place.mkdir(parents=True, exist_ok=True)
        (self.root / "logs").mkdir(exist_ok=True)

    def config(self, name: str) -> Path:
        """A node's config directory."""
        return Path(self.addresses.config(name))

    def data(self, name: str) -> Path:
        """A node's volume."""
        return Path(self.addresses.data(name))

    def log(self, name: str) -> Path:
        """A node's log."""
        return self.root / "logs" / f"{name}.log"

    def url(self, name: str) -> str:
        """A node's RPC address."""
        return self.workloads[name].port("rpc").url

    @property
    def urls(self) -> list[str]:
        """All of them."""
        return [self.url(name) for name in self.workloads]

    def start(self, names: Iterable[str] | None = None) -> None:
        """Render, prepare and start nodes; all by default. Does not wait."""
        chosen = list(self.workloads if names is None else names)
        for name in chosen:
            self.render(name)
            self.prepare(name)
        for name in chosen:
            self.launch(name)

    def render(self, name: str) -> None:
        """Write a node's files as a target would."""
        for file in self.workloads[name].files:
            self._write(self.data(name) if file.in_data else self.config(name), file)

    def prepare(self, name: str) -> None:
        """Run the workload's `prepare` command if what it creates is absent."""
        workload = self.workloads[name]
        assert workload.prepare is not None
        if not (self.data(name) / workload.prepare.creates).exists():
            with self.log(name).open("ab") as log:
                subprocess.run(
                    [self.geth, *workload.prepare.arguments],
                    cwd=self.data(name),
                    env=self.environment(workload),
                    stdout=log,
                    stderr=log,
                    check=True,
                )
            assert (self.data(name) / workload.prepare.creates).exists()

    def launch(self, name: str) -> None:
        """Start the process only."""
        workload = self.workloads[name]
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [self.geth, *workload.arguments],
                cwd=self.data(name),
                env=self.environment(workload),
                stdout=log,
                stderr=log,
            )

    def environment(self, workload: Workload) -> dict[str, str]:
        """A node's whole environment; HOME is a trap that must stay empty."""
        return {"PATH": os.defpath, "HOME": str(self.root / "home"), **dict(workload.environment)}

    def kill(self, name: str) -> None:
        """kill -9 of one node."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def power_cut(self) -> None:
        """kill -9 of all nodes; nobody is waited for before all were hit."""
        cut, self.processes = self.processes, {}
        for process in cut.values():
            process.kill()
        for process in cut.values():
            process.wait()

    def stop(self, name: str) -> None:
        """Stop one node as a target does."""
        process = self.processes.pop(name)
        process.terminate()
        process.wait(STOPPED)

    def remove(self) -> None:
        """Kill everything and delete the state."""
        self.power_cut()
        for place in (self.root, run_directory(self.root)):
            shutil.rmtree(place, ignore_errors=True)

    def wait_connected(self, *, timeout: float) -> None:
        """Wait until every running node answers and has all others as peers."""
        others = len(self.processes) - 1

        def connected(name: str) -> bool:
            self._check_running(name)
            found = int(rpc.call(self.url(name), "net_peerCount"), 16)
            assert found >= others, f"{name} has {found} of {others} peers"
            return True

        for name in self.processes:
            wait_until(f"{name} to be connected", lambda name=name: connected(name), timeout=timeout, interval=0.05)

    def wait_mined(self, transaction: str, *, timeout: float) -> str:
        """Wait until every running node has the transaction in the same block; returns that block's hash."""

        def mined() -> str:
            blocks = set()
            for name in self.processes:
                self._check_running(name)
                receipt = rpc.call(self.url(name), "eth_getTransactionReceipt", transaction)
                assert receipt, f"{name} has no receipt of {transaction}"
                assert receipt["status"] == "0x1"
                blocks.add(receipt["blockHash"])
            # Two clique signers may make a block of the same height: one of the two is left soon.
            assert len(blocks) == 1, f"{transaction} is in {blocks}"
            return str(blocks.pop())

        return wait_until(f"{transaction} to be mined everywhere", mined, timeout=timeout, interval=0.05)

    def ipc(self, name: str, method: str, *params: Any, timeout: float = 5.0) -> Any:
        """One request over the node's IPC socket."""
        path = str(self.addresses.run(name) / IPC)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(path)
            connection.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode())
            text = b""
            while not text.endswith(b"\n"):
                text += connection.recv(65536)
        answer = json.loads(text)
        if "error" in answer:
            raise rpc.RpcError(f"{method} over {path}: {answer['error']}")
        return answer["result"]

    def _check_running(self, name: str) -> None:
        if self.processes[name].poll() is not None:
            # Not an AssertionError: no use in waiting on.
            raise RuntimeError(f"{name} ended:\n{self.log(name).read_text(errors='replace')[-3000:]}")

    def _write(self, directory: Path, file: File) -> None:
        text = file.text
        if secret := text.startswith("@secret:"):
            text = self.store.secret(text.removeprefix("@secret:").removesuffix("@"))
        path = directory / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600 if secret else 0o644)
