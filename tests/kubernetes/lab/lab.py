"""The whole lab: up, down, and what tests do with it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from muniment.kernel.waiting import NotYetError, wait_blocking
from tests.kubernetes.lab import addons, archives, certificates, control_plane, enforcement, network, store
from tests.kubernetes.lab.node import PAUSE_IMAGE, Node
from tests.kubernetes.lab.processes import Processes, in_network, run
from tests.kubernetes.lab.settings import API_PORT, Settings

UP_SECONDS = 180
FORWARD = "forward"
FORWARD_SECONDS = 20


class Lab:
    """One cluster. Needs root, and the packages of `scripts/setup kubernetes`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._processes = Processes(settings.records, settings.logs)
        self._lock = FileLock(settings.lock)
        self.nodes = [Node(settings, number, self._processes) for number in settings.numbers]

    def take(self) -> bool:
        """Whether it is ours now until `down`: nobody else uses a lab of this folder."""
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        return True

    def up(self, images: Iterable[Path] = ()) -> None:
        """Start everything, with the images of these archives on all nodes, and wait until nodes and names are there.

        What a killed process left of a lab of this folder and prefix is removed first.
        """
        settings = self.settings
        assert self._lock.is_locked or self.take(), f"somebody else uses the lab in {settings.folder}"
        self._remove()
        settings.logs.mkdir(parents=True)
        settings.records.mkdir()
        settings.in_memory.mkdir()
        run("mount", "-t", "tmpfs", "-o", f"size={settings.memory},mode=755", "lab", settings.in_memory)
        certificates.make(settings)
        network.make(settings)
        control_plane.start_api(settings, self._processes)
        own = (
            archives.write(settings.folder / "pause.tar", PAUSE_IMAGE, settings.binaries / "pause"),
            archives.write(settings.folder / "coredns.tar", addons.DNS_IMAGE, settings.binaries / "coredns"),
        )
        images_of_all = store.fill(settings, self._processes, (*own, *images))
        for node in self.nodes:
            node.prepare(images_of_all)
            node.start()
        self.wait("the API server", lambda: self.kubectl("get", "--raw", "/readyz"), UP_SECONDS)
        control_plane.start_controllers(settings, self._processes)
        enforce = (sys.executable, "-I", enforcement.__file__, settings.api, settings.keys, settings.prefix)
        self._processes.start("enforcement", in_network(settings.control_plane, *enforce))
        self.apply(addons.addons(settings))
        for number, node in zip(settings.numbers, self.nodes, strict=True):
            self.wait(f"the node {node.name}", functools.partial(self.kubectl, "get", "node", node.name), UP_SECONDS)
            pods = settings.pods_of(number)
            self.kubectl("patch", "node", node.name, "-p", json.dumps({"spec": {"podCIDR": pods, "podCIDRs": [pods]}}))
        self.kubectl("wait", "--for=condition=Ready", "node", "--all", f"--timeout={UP_SECONDS}s")
        self.kubectl("-n", "kube-system", "rollout", "status", "deploy/coredns", f"--timeout={UP_SECONDS}s")

    def down(self) -> None:
        """Stop everything and remove it; nothing if this is not who started it."""
        if self._lock.is_locked:
            try:
                self._remove()
            finally:
                self._lock.release()

    def _remove(self) -> None:
        with contextlib.ExitStack() as steps:
            # From the last to the first, whichever fails.
            steps.callback(self._unmount)
            steps.callback(network.remove, self.settings)
            steps.callback(self._processes.kill_all)
            for node in self.nodes:
                steps.callback(node.kill)
        # Not after a failure: the records of what runs are in it.
        if self.settings.folder.exists():
            shutil.rmtree(self.settings.folder)

    def _unmount(self) -> None:
        if os.path.ismount(self.settings.in_memory):
            run("umount", self.settings.in_memory)

    def node(self, name: str) -> Node:
        """The node of this name."""
        return next(node for node in self.nodes if node.name == name)

    def load(self, images: Iterable[Path]) -> None:
        """Import archives into all nodes, when they run already."""
        images = list(images)

        def into(node: Node) -> None:
            for archive in images:
                node.load(archive)

        with concurrent.futures.ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(into, self.nodes))

    def volumes(self, count: int, size: str = "2Gi") -> None:
        """Make so many empty volumes on each node."""
        for node in self.nodes:
            for number in range(1, count + 1):
                self.make_volume(node, f"{node.name}-{number}", size)

    def make_volume(self, node: Node, name: str, size: str = "2Gi") -> None:
        """Make one empty volume on a node; nothing is left of one that had this name."""
        node.make_volume(name)
        self.apply([addons.volume(name, node.name, size)])

    def apply(self, manifests: Sequence[dict[str, Any]]) -> None:
        """Apply manifests."""
        items = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        self.kubectl("apply", "--validate=false", "-f", "-", text=items)

    def kubectl(self, *arguments: str | Path, text: str | None = None) -> str:
        """Run kubectl as the administrator; gives what it prints."""
        return run(*self._as_admin("kubectl", *arguments), text=text)

    def helm(self, *arguments: str | Path) -> str:
        """Run helm as the administrator; gives what it prints."""
        return run(*self._as_admin("helm", *arguments))

    def get(self, *arguments: str) -> Any:
        """`kubectl get … -o json`."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def outside(self, *command: str | Path) -> list[str]:
        """A command line of the host that runs on the first node that is switched on: there Services are reached."""
        running = next(node for node in self.nodes if self._processes.pid(node.name))
        return in_network(running.name, *command)

    def forwarded(self, port: int) -> Path:
        """Offer the API server on a port of the host's loopback; gives a kubeconfig for it."""
        inner = in_network(self.settings.control_plane, "socat", "STDIO", f"TCP:{self.settings.api_address}:{API_PORT}")
        listen = f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr"
        # socat takes colons and commas of an address for its own.
        program = " ".join(inner).replace(":", "\\:").replace(",", "\\,")
        self._processes.kill(FORWARD)
        self._processes.start(FORWARD, ["socat", listen, f"EXEC:{program}"])
        path = self.settings.keys / "host.kubeconfig"
        path.write_text(certificates.kubeconfig(self.settings, "admin", f"https://127.0.0.1:{port}"))
        command = (self.settings.binaries / "kubectl", f"--kubeconfig={path}", "get", "--raw", "/readyz")
        self.wait(f"the API server on port {port}", lambda: run(*command), FORWARD_SECONDS)
        return path

    def wait(self, what: str, action: Callable[[], object], seconds: float) -> None:
        """Try something that raises `AssertionError` until it does not."""

        def probe() -> None:
            try:
                action()
            except (AssertionError, subprocess.SubprocessError) as error:
                raise NotYetError(str(error)) from error

        wait_blocking(what, probe, timeout=seconds)

    def _as_admin(self, program: str, *arguments: str | Path) -> list[str]:
        own = (self.settings.binaries / program, f"--kubeconfig={self.settings.kubeconfig}")
        return in_network(self.settings.control_plane, *own, *arguments)
