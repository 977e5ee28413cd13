"""A Docker of our own in a network namespace of its own: nothing of the machine's Docker, if it has one, is touched."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

from muniment.kernel.waiting import NotYetError, wait_blocking

START_SECONDS = 60
STOP_SECONDS = 60
HOST = "10.98.0.1"
"""The host's address in the namespace: where projects reach one another."""


class Docker:
    """One daemon, with its data in `folder`; the path must be short, sockets are in it."""

    def __init__(self, folder: Path, namespace: str = "muniment-compose") -> None:
        self._folder = folder
        self._namespace = namespace
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the namespace, start the daemon, and wait until it answers."""
        self._folder.mkdir(parents=True)
        run("ip", "netns", "add", self._namespace)
        for command in (
            ("link", "set", "lo", "up"),
            ("link", "add", "host0", "type", "bridge"),
            ("addr", "add", f"{HOST}/24", "dev", "host0"),
            ("link", "set", "host0", "up"),
        ):
            run(*self.inside("ip", *command))
        daemon = (
            *("dockerd", f"--data-root={self._folder / 'data'}", f"--exec-root={self._folder / 'exec'}"),
            *(f"--pidfile={self._folder / 'pid'}", f"--host={self.socket}", "--storage-driver=overlay2"),
            # The right to lower a score (CAP_SYS_RESOURCE) is missing on many build machines.
            "--oom-score-adjust=0",
        )
        with (self._folder / "daemon.log").open("ab") as log:
            # containerd is found beside it.
            self._daemon = subprocess.Popen(self.inside(*daemon), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def answers() -> None:
            try:
                self.docker("version")
            except AssertionError as error:
                raise NotYetError(str(error)) from error

        wait_blocking("the Docker daemon", answers, timeout=START_SECONDS)

    def stop(self) -> None:
        """Stop the daemon and remove everything."""
        if self._daemon is not None:
            self._daemon.send_signal(signal.SIGTERM)
            self._daemon.wait(STOP_SECONDS)
        if Path("/run/netns", self._namespace).exists():
            run("ip", "netns", "del", self._namespace)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def socket(self) -> str:
        """The daemon's address."""
        return f"unix://{self._folder / 's'}"

    def load(self, archives: Iterable[Path]) -> None:
        """Load images."""
        for archive in archives:
            self.docker("load", "--quiet", "--input", archive)

    def docker(self, *arguments: str | Path) -> str:
        """Run docker; gives what it prints."""
        return run("docker", "--host", self.socket, *arguments)

    def compose(self, folder: Path, *arguments: str) -> str:
        """Run docker-compose (1.29, or v2 as a program of its own) in a project's folder; gives what it prints."""
        environment = {**os.environ, "DOCKER_HOST": self.socket, "COMPOSE_HTTP_TIMEOUT": "300"}
        return run("docker-compose", "--ansi", "never", *arguments, cwd=folder, env=environment)

    def inside(self, *command: str | Path) -> list[str]:
        """A command in the namespace. Not by `ip netns exec`: that hides the cgroups."""
        return ["nsenter", f"--net=/run/netns/{self._namespace}", "--", *map(str, command)]


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command to its end; raises `AssertionError` with what it said when it fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert not done.returncode, f"{' '.join(map(str, command))}: {done.stderr[-4000:] or done.stdout[-4000:]}"
    return done.stdout
