"""The notary as a process of its own, on one real node and three real IPFS peers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from muniment.clients.notary import UploadPart
from muniment.identity.model import account_paths
from muniment.proof.contract import CONTRACT_ADDRESS
from muniment.proof.unixfs import summary_of
from tests.support.goquorum import Chain
from tests.support.ipfs import PASSWORD, Peers
from tests.support.waiting import STARTED, wait_until

CHAIN_ID = 4712
SPECIFICATION = {
    "name": "notarising",
    "chain": {"id": CHAIN_ID},
    "members": {"alpha": {"nodes": 1, "peers": 0, "notary": False}},
}


def part(name: str, content: bytes) -> UploadPart:
    """A file of this content, to upload."""
    return UploadPart(name, len(content), summary_of(content).sha256.hex(), lambda: iter((content,)))


class NotaryProcess:
    """One notary; kill it, start it again, it goes on with the same volume."""

    def __init__(
        self,
        root: Path,
        port: int,
        chain: Chain,
        peers: Peers,
        *,
        further: Mapping[str, Any] | None = None,
        **batch: Any,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.url = f"http://127.0.0.1:{port}"
        self.data = root / "notary"
        self.log = root / "notary.log"
        self._process: subprocess.Popen[bytes] | None = None
        keystore, passphrase = (chain.root / "identity" / path for path in account_paths("alpha"))
        password = root / "cluster-password"
        password.write_text(PASSWORD)
        settings = {
            "listen": {"host": "127.0.0.1", "port": port},
            "member": "alpha",
            "network": "notarising",
            "chain_id": CHAIN_ID,
            "consensus": "qbft",
            "contract": CONTRACT_ADDRESS,
            "confirmations": 0,
            "rpc": chain.url("alpha-1"),
            "keystore_file": str(keystore),
            "passphrase_file": str(passphrase),
            "data_dir": str(self.data),
            "peers": [
                {
                    "kubo": peers.kubo(peer.index).url,
                    "cluster": peers.cluster(peer.index).url,
                    "cluster_id": peer.cluster_id,
                }
                for peer in peers.member.peers
            ],
            "cluster_password_file": str(password),
            "replication": {"min": 2, "max": 3},
            "batch": batch,
            **(further or {}),
        }
        self._config = root / "notary.json"
        self._config.write_text(json.dumps(settings))

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = "from muniment.cli.notary import notary; notary()"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", command, "serve", "--config", str(self._config)],
                env={**os.environ, "PYTHONPATH": "src"},
                stdout=log,
                stderr=log,
            )
        wait_until("the notary to answer", self.alive, timeout=STARTED, interval=0.05)

    def alive(self) -> bool:
        """Whether it answers."""
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            return httpx2.get(f"{self.url}/live").status_code == 200
        except httpx2.HTTPError as error:
            raise AssertionError(str(error)) from error

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None
        return self._process

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self, *, timeout: float) -> int:
        """SIGTERM; returns the exit status."""
        self.process.terminate()
        return self.process.wait(timeout)

    def remove(self) -> None:
        """End it, however it is."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
