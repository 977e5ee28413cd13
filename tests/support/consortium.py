"""A consortium under test, driven as its operator drives it: by the command line, and by kill -9."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.support import rpc
from tests.support.waiting import STARTED, wait_until

ROOT = Path(__file__).resolve().parents[2]
MUNIMENT = [sys.executable, "-m", "muniment"]


def muniment(
    *arguments: str | Path, cwd: Path, check: bool = True, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run the command line in `cwd`; with `check`, a failure shows what it printed."""
    done = subprocess.run(
        [*MUNIMENT, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
    )
    if check:
        assert done.returncode == 0, f"muniment {arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


@dataclass
class Consortium:
    """One state directory and the verbs of its operator."""

    folder: Path
    specification: dict[str, Any]
    state: Path = field(init=False)
    spec_file: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = self.folder / "state"
        self.spec_file = self.folder / "consortium.yaml"
        self.write_specification()

    def write_specification(self) -> None:
        """Write the specification file anew."""
        self.spec_file.write_text(yaml.safe_dump(self.specification, sort_keys=False))

    def run(self, *arguments: str | Path, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """A command of the CLI on this state."""
        return muniment(*arguments, cwd=self.folder, check=check, timeout=timeout)

    def up(self) -> None:
        """Start and wait until everything is ready."""
        self.run("up", self.spec_file, "--state", self.state, "--detach")

    def down(self) -> None:
        """Stop everything; the state stays."""
        self.run("down", "--state", self.state)

    def remove(self) -> None:
        """Stop everything and delete the state; nothing of it may be left running."""
        try:
            self.down()
            assert not self.processes(), f"still running after down: {self.processes()}"
        finally:
            for process in self.processes().values():
                process.kill()
            shutil.rmtree(self.state, ignore_errors=True)

    def notarize(self, *paths: Path, check: bool = True, timeout: float = 300) -> tuple[int, dict[str, Any]]:
        """Notarise files; exit status and the document of `notarize --json`."""
        done = self.run(
            "notarize", *paths, "--state", self.state, "--receipts", self.folder / "receipts", "--json",
            check=check, timeout=timeout,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout)

    def verify(self, file: Path, receipt: str | Path) -> tuple[int, str]:
        """Verify a file against a receipt in the folder; exit status and verdict."""
        done = self.run(
            "verify", file, "--receipt", self.folder / receipt, "--state", self.state, "--json", check=False
        )
        return done.returncode, json.loads(done.stdout)["verdict"]

    def status(self) -> dict[str, Any]:
        """The document of `status --json`."""
        return json.loads(self.run("status", "--state", self.state, "--json", check=False).stdout)

    def workload(self, name: str) -> dict[str, Any]:
        """One workload of the status document."""
        return next(w for w in self.status()["workloads"] if w["name"] == name)

    def endpoint(self, workload: str, port: str = "rpc") -> str:
        """URL of a workload's port."""
        return str(self.workload(workload)["endpoints"][port])

    def member(self, name: str) -> dict[str, Any]:
        """URLs of one member: rpc, ws, notary."""
        return dict(self.status()["members"][name])

    def names(self, role: str | None = None) -> list[str]:
        """Names of all workloads, or those of one role."""
        return [w["name"] for w in self.status()["workloads"] if role in (None, w["role"])]

    def processes(self) -> dict[str, psutil.Process]:
        """Every process that carries this state's marker, by workload name (the supervisor too)."""
        found: dict[str, psutil.Process] = {}
        for process in psutil.process_iter():
            try:
                environment = process.environ()
            except psutil.Error:
                continue
            if environment.get("MUNIMENT_STATE") == str(self.state) and process.status() != psutil.STATUS_ZOMBIE:
                found[environment.get("MUNIMENT_WORKLOAD", f"supervisor-{process.pid}")] = process
        return found

    def kill(self, workload: str) -> int:
        """kill -9 of one workload's process; returns the pid that is no more."""
        pid = self.workload(workload)["pid"]
        os.kill(pid, signal.SIGKILL)
        return int(pid)

    def wait_ready(self, *, timeout: float = STARTED) -> dict[str, Any]:
        """Wait until the verdict is ok; the last status is the cause when it is not."""

        def verdict() -> dict[str, Any]:
            status = self.status()
            unready = {w["name"]: w["cause"] for w in status["workloads"] if not w["ready"]}
            assert status["verdict"] == "ok", f"{status['verdict']}: {status['cause']}; {unready}"
            return status

        return wait_until("the consortium to be ready", verdict, timeout=timeout, interval=0.2)

    def wait_mended(self, workload: str, old_pid: int, *, timeout: float) -> None:
        """Wait until another process of the workload is ready."""

        def mended() -> bool:
            now = self.workload(workload)
            assert now["ready"], now["cause"]
            return now["pid"] not in (None, old_pid)

        wait_until(f"{workload} to be back and ready", mended, timeout=timeout)

    def wait_blocks(self, url: str, count: int = 2, *, timeout: float) -> int:
        """Wait until the chain is `count` blocks further, writing all the while; returns the head."""
        from_here = rpc.head(url)
        return wait_until(
            f"{count} more blocks", lambda: (h := rpc.head(url)) >= from_here + count and h, timeout=timeout
        )


def demo_specification(base_port: int) -> dict[str, Any]:
    """The demo of the README on other ports."""
    specification: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "demo.yaml").read_text())
    specification["ports"] = {"base": base_port}
    return specification
