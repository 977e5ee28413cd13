"""The whole lab: up, down, and what tests do with it."""

from __future__ import annotations

import concurrent.futures
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from muniment.kernel.waiting import NotYetError, wait_blocking
from tests.kubernetes.lab import addons, archives, certificates, control_plane, enforcement, network
from tests.kubernetes.lab.node import PAUSE_IMAGE, Node
from tests.kubernetes.lab.processes import Processes, in_network, run
from tests.kubernetes.lab.settings import API_PORT, Settings

UP_SECONDS = 180
FORWARD = "forward"


class Lab:
    """One cluster. Needs root, and the packages of `scripts/setup kubernetes`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._processes = Processes(settings.logs)
        self._archives: list[Path] = []
        self.nodes: list[Node] = []

    def up(self) -> None:
        """Start everything, and wait until nodes and names are there."""
        settings = self.settings
        settings.logs.mkdir(parents=True)
        settings.in_memory.mkdir()
        run("mount", "-t", "tmpfs", "-o", f"size={settings.memory},mode=755", "lab", settings.in_memory)
        certificates.make(settings)
        network.make(settings)
        control_plane.start_api(settings, self._processes)
        self._archives += [
            archives.write(settings.folder / "pause.tar", PAUSE_IMAGE, settings.binaries / "pause"),
            archives.write(settings.folder / "coredns.tar", addons.DNS_IMAGE, settings.binaries / "coredns"),
        ]
        self.nodes = [Node(settings, number, self._processes, self._archives) for number in settings.numbers]
        for node in self.nodes:
            node.prepare()
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
        """Stop everything and remove it."""
        for node in self.nodes:
            node.kill()
        self._processes.kill_all()
        network.remove(self.settings)
        if os.path.ismount(self.settings.in_memory):
            run("umount", self.settings.in_memory)
        shutil.rmtree(self.settings.folder, ignore_errors=True)

    def node(self, name: str) -> Node:
        """The node of this name."""
        return next(node for node in self.nodes if node.name == name)

    def load(self, images: Iterable[Path]) -> None:
        """Import archives into all nodes."""
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
        self._processes.start(FORWARD, ["socat", listen, f"EXEC:{program}"])
        path = self.settings.keys / "host.kubeconfig"
        path.write_text(certificates.kubeconfig(self.settings, "admin", f"https://127.0.0.1:{port}"))
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
