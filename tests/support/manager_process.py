"""Real privacy managers as processes: the replicas of a member share its key pair and its database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from muniment.kernel.files import make_private_directory
from muniment.privacy.boxes import KeyPair
from muniment.privacy.key_files import write_pair
from tests.support.waiting import STARTED, wait_until

COMMAND = "from muniment.cli.main import run; run()"
TIMEOUT = 30.0
PORTS = 3
"""Ports of one manager: for the node, for other members, for probes."""


@dataclass
class ManagerProcess:
    """One manager; kill it, start it again, it goes on with the same volume."""

    root: Path
    port: int
    settings: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    @property
    def q2t(self) -> str:
        """The node's interface."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def p2p(self) -> str:
        """Other members' interface, as it is announced when there is no gateway."""
        return f"http://127.0.0.1:{self.port + 1}/"

    @property
    def status(self) -> str:
        """Probes."""
        return f"http://127.0.0.1:{self.port + 2}"

    @property
    def config(self) -> Path:
        """Its configuration file."""
        return self.root / "privacy.json"

    @property
    def data(self) -> Path:
        """Its own volume."""
        return self.root / "data"

    def start(self, *, ready: bool = True) -> None:
        """Start it, and wait until it can serve (or only until it answers)."""
        make_private_directory(self.data)
        listens = {
            name: {"host": "127.0.0.1", "port": self.port + n} for n, name in enumerate(("q2t", "p2p", "status"))
        }
        self.config.write_text(json.dumps({**listens, "data_dir": str(self.data), **self.settings}))
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, "privacy", "serve", "--config", str(self.config)],
                env={**os.environ, "PYTHONPATH": "src"},
                stdout=log,
                stderr=log,
            )
        wait_until("the manager", self.is_ready if ready else self.is_live, timeout=STARTED, interval=0.05)

    def is_live(self) -> bool:
        """Whether it answers."""
        assert self.process is not None
        assert self.process.poll() is None, (self.root / "log").read_text()[-3000:]
        return self._probe("/live") == 200

    def is_ready(self) -> bool:
        """Whether it can serve."""
        return self.is_live() and self._probe("/ready") == 200

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(TIMEOUT)

    def remove(self) -> None:
        """End it, however it is."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def recover(self, *options: str) -> subprocess.CompletedProcess[str]:
        """`muniment privacy recover` with its configuration."""
        return subprocess.run(
            [sys.executable, "-c", COMMAND, "privacy", "recover", "--config", str(self.config), *options],
            env={**os.environ, "PYTHONPATH": "src"},
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
        )

    # What a node asks

    def post(self, path: str, body: dict[str, Any]) -> httpx2.Response:
        """A request of the node with a JSON document."""
        return httpx2.post(self.q2t + path, json=body, timeout=TIMEOUT)

    def send(self, payload: bytes, to: Sequence[str], **more: Any) -> str:
        """Send a private payload; its hash, base64."""
        answer = self.post("/send", {"payload": b64encode(payload).decode(), "to": list(to), **more})
        assert answer.status_code == 201, (answer.status_code, answer.text)
        return str(answer.json()["key"])

    def get(self, payload_hash: str) -> httpx2.Response:
        """The answer to a look-up."""
        return httpx2.get(f"{self.q2t}/transaction/{quote(payload_hash, safe='')}?isRaw=false", timeout=TIMEOUT)

    def payload(self, payload_hash: str) -> bytes:
        """The plain bytes of a payload that this manager can open."""
        answer = self.get(payload_hash)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return b64decode(answer.json()["payload"])

    def party_info(self) -> dict[str, Any]:
        """What it says that it knows."""
        return dict(httpx2.get(f"{self.p2p}partyinfo", timeout=TIMEOUT).json())

    def knows(self, key: str) -> bool:
        """Whether the holder of a key is in its peer table."""
        return any(each["key"] == key for each in self.party_info()["keys"])

    def _probe(self, path: str) -> int:
        try:
            return httpx2.get(self.status + path, timeout=TIMEOUT).status_code
        except httpx2.HTTPError:
            return 0


@dataclass
class Member:
    """A member's managers, on one SQLite database unless told otherwise; the first one's address is announced."""

    root: Path
    first_port: int
    replicas: int = 1
    peers: Sequence[str] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        make_private_directory(self.root)
        pair = KeyPair.generate()
        self.key = b64encode(pair.public).decode()
        """Public key, base64."""
        secret, _ = write_pair(self.root / "key", pair)
        self.database = self.root / "privacy.sqlite"
        common = {
            "member": self.root.name,
            "advertised_url": f"http://127.0.0.1:{self.first_port + 1}/",
            "keys": [{"secret_key_file": str(secret)}],
            "database": {"url": "sqlite", "file": str(self.database)},
            "peers": list(self.peers),
            "announce_seconds": 1.0,
            **self.settings,
        }
        ports = range(self.first_port, self.first_port + PORTS * self.replicas, PORTS)
        self.managers = [ManagerProcess(self.root / str(number), port, common) for number, port in enumerate(ports, 1)]
        for manager in self.managers:
            make_private_directory(manager.root)

    @property
    def url(self) -> str:
        """What it announces."""
        return self.managers[0].p2p

    def start(self) -> None:
        """Start all."""
        for manager in self.managers:
            manager.start()

    def remove(self) -> None:
        """End all."""
        for manager in self.managers:
            manager.remove()

    def lose_database(self) -> None:
        """Kill all, and delete the database."""
        self.remove()
        for path in self.database.parent.glob(f"{self.database.name}*"):
            path.unlink()
