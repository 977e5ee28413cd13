"""One lab and one consortium for all tests of a run: installed with helm as a user would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.client import Load
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.lab.lab import Lab
from tests.kubernetes.labs import loaded_lab

PREVIOUS = Path(__file__).parent / "releases" / "0.1.0"
"""The chart of the release before."""


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Three nodes, with our images and empty volumes."""
    with loaded_lab() as lab:
        yield lab


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
