"""One lab and one consortium for all tests of a run: installed with helm as a user would."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from images.build import Builder
from tests.kubernetes.client import Load
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.lab.binaries import binaries
from tests.kubernetes.lab.lab import Lab
from tests.kubernetes.lab.settings import Settings

VOLUMES = 6
"""On each machine; a few more than are used, so that a deleted one can be made anew elsewhere."""

PREFIXES = ("la", "lb", "lc")
"""Of labs that may run at once: each has a folder, network namespaces and cgroups of its own."""

PREVIOUS = Path(__file__).parent / "releases" / "0.1.0"
"""The chart of the release before."""


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Three nodes, with our images and empty volumes."""
    lab = free_lab()
    try:
        lab.up(Builder().build().values())
        lab.volumes(VOLUMES)
        yield lab
    finally:
        lab.down()


def free_lab() -> Lab:
    """The first that nobody else on this machine uses; several runs of these tests do not meet."""
    programs = binaries()
    for prefix in PREFIXES:
        lab = Lab(Settings(Path(tempfile.gettempdir(), f"muniment-lab-{prefix}"), programs, prefix))
        if lab.take():
            return lab
    raise AssertionError(f"{len(PREFIXES)} labs are in use on this machine: {', '.join(PREFIXES)}")


@pytest.fixture(scope="session")
def cluster(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The demo, installed with the chart of the previous release, and ready."""
    cluster = Cluster(lab, tmp_path_factory.mktemp("cluster"))
    cluster.install(PREVIOUS)
    cluster.wait_ready()
    return cluster


@pytest.fixture
def load(cluster: Cluster) -> Iterator[Load]:
    """A client that sends public transactions to alpha's gateway, and asks for what it sent."""
    load = Load(cluster)
    load.start()
    try:
        yield load
    finally:
        load.stop()
