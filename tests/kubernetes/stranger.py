"""A pod that has nothing to do with the consortium, in another namespace: what it reaches, everybody reaches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.steps import containers


@dataclass(frozen=True)
class Stranger:
    """The pod, in the namespace `default`."""

    cluster: Cluster

    def connects(self, service: str, port: int) -> bool:
        """Whether it gets a connection to a Service of the consortium."""
        script = (
            "import socket, sys\n"
            "try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)\n"
            "except OSError: print('closed')\n"
            "else: print('open')"
        )
        return self._python(script, self.cluster.address(service), str(port)).strip() == "open"

    def get(self, url: str) -> str:
        """The body of what it gets from a URL."""
        script = "import sys, urllib.request\nprint(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"
        return self._python(script, url)

    def _python(self, script: str, *arguments: str) -> str:
        return self.cluster.lab.kubectl("exec", "stranger", "--", "python", "-c", script, *arguments)


@contextmanager
def stranger(cluster: Cluster) -> Iterator[Stranger]:
    """The pod, while it runs."""
    image = next(one["image"] for one in containers(cluster, "alpha-1-0") if "agent" in one["name"])
    container = {
        "name": "stranger",
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["python", "-c", "import signal; signal.pause()"],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stranger", "namespace": "default"},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
    }
    cluster.lab.apply([pod])
    try:
        cluster.lab.kubectl("wait", "--for=condition=Ready", "pod/stranger", "--timeout=60s")
        yield Stranger(cluster)
    finally:
        cluster.lab.kubectl("delete", "pod", "stranger", "--now")
