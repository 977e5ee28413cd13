"""The demo on a real Kubernetes of three nodes on this machine: `python -m benchmarks kubernetes`, as root.

Needs `scripts/setup kubernetes`.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from muniment.kernel.waiting import NotYetError
from tests.kubernetes.client import Load
from tests.kubernetes.cluster import NAME, Cluster
from tests.kubernetes.labs import loaded_lab
from tests.kubernetes.steps import machine_is, spare_machine


def measure() -> list[tuple[str, str, str]]:
    """Installation, a deleted pod, a lost machine."""
    with loaded_lab() as lab, tempfile.TemporaryDirectory(prefix="muniment-bench-") as folder:
        cluster = Cluster(lab, Path(folder))
        begun = time.monotonic()
        cluster.install()
        cluster.wait("the first block", lambda: _block(cluster))
        block = time.monotonic() - begun
        cluster.wait_ready()
        ready = time.monotonic() - begun
        cluster.notarize("first.txt", "the first file")
        file = time.monotonic() - begun
        pods = {pod: _returned(cluster, pod) for pod in ("alpha-1-0", "alpha-peer-1-0", "alpha-notary-0")}
        return [
            ("Kubernetes: `helm install` to the first block", f"{block:.0f} s", ""),
            (
                "Kubernetes: `helm install` to all ready / to the first notarised file",
                f"{ready:.0f} / {file:.0f} s",
                "",
            ),
            *((f"Kubernetes: {pod} deleted, to fit again", f"{seconds:.0f} s", "") for pod, seconds in pods.items()),
            ("Kubernetes: a machine lost, longest time without a block", f"{_gap(cluster):.1f} s", ""),
        ]


def _block(cluster: Cluster) -> None:
    if int(cluster.console("alpha-1", "eth_blockNumber"), 16) < 1:
        raise NotYetError("there is none")


def _returned(cluster: Cluster, pod: str) -> float:
    before = cluster.pod(pod)["metadata"]["uid"]
    begun = time.monotonic()
    cluster.kubectl("delete", "pod", pod, "--wait=false")
    cluster.replaced(pod, before)
    seconds = time.monotonic() - begun
    cluster.wait_ready()
    return seconds


def _gap(cluster: Cluster) -> float:
    load = Load(cluster)
    load.start()
    lost = spare_machine(cluster)
    cluster.lab.node(lost).kill()
    cluster.wait(f"the loss of {lost} in {NAME}", lambda: machine_is(cluster, lost, ready=False))
    return float(load.stop()["gap"])
