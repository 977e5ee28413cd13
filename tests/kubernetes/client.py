"""A client under way while something is broken: transactions at the gateway, from a machine of the cluster."""

from __future__ import annotations

import json
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.load import BEGUN

END_SECONDS = 60


@dataclass
class Load:
    """The client as a process."""

    cluster: Cluster
    _process: subprocess.Popen[str] | None = field(default=None)

    @property
    def report(self) -> Path:
        """What it wrote."""
        return self.cluster.folder / "load.json"

    def start(self) -> None:
        """Start it; it is under way when this returns."""
        self.report.unlink(missing_ok=True)
        command = self.cluster.python_command("-m", "tests.kubernetes.load", self.cluster.gateway, self.report)
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        with self._process.stdout as said:
            assert said.readline().strip() == BEGUN

    def stop(self) -> dict[str, Any]:
        """End it; `sent` transactions, `failed` requests with their causes, `gap`: the longest time without a block."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            process, self._process = self._process, None
            assert process.wait(END_SECONDS) == 0
        found: dict[str, Any] = json.loads(self.report.read_text())
        return found
