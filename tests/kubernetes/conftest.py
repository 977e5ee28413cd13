"""One lab and one consortium for all tests of a run: installed with helm as a user would."""

from __future__ import annotations

import shutil
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

PREVIOUS = Path(__file__).parent / "releases" / "0.1.0"
"""The chart of the release before."""


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Three nodes, with our images and empty volumes."""
    folder = Path("/tmp/muniment-lab")
    shutil.rmtree(folder, ignore_errors=True)
    lab = Lab(Settings(folder, binaries()))
    try:
        lab.up()
        lab.load(Builder().build().values())
        lab.volumes(VOLUMES)
        yield lab
    finally:
        lab.down()


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
