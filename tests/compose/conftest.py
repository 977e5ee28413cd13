"""One Docker and two operators' projects for all tests of a run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from images.build import Builder
from tests.compose.docker import Docker
from tests.compose.project import Project


@dataclass
class Projects:
    """Alpha's and beta's: they know of one another what stands in the public files."""

    alpha: Project
    beta: Project

    def wait_ready(self) -> None:
        """Until all containers of both are healthy."""
        self.alpha.wait_ready()
        self.beta.wait_ready()


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """A daemon with our images."""
    folder = Path("/tmp/muniment-docker")
    shutil.rmtree(folder, ignore_errors=True)
    docker = Docker(folder)
    try:
        docker.start()
        docker.load(Builder().build().values())
        yield docker
    finally:
        docker.stop()


@pytest.fixture(scope="session")
def projects(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Projects]:
    """Both up and ready."""
    root = tmp_path_factory.mktemp("projects")
    alpha = Project(docker, root / "alpha", {"alpha": {"nodes": 3, "peers": 3}}, "10.213.0.0/16", 21000)
    beta = Project(docker, root / "beta", {"beta": {"nodes": 1, "peers": 0, "notary": False}}, "10.214.0.0/16", 22000)
    for one, other in ((alpha, beta), (beta, alpha)):
        one.write()
        name = one.folder.name
        shutil.copy(one.export(name), _made(other.folder))
    # The secrets of the private swarm are the one thing that operators share by a channel of their own.
    shutil.rmtree(beta.state / "identity" / "consortium")
    shutil.copytree(alpha.state / "identity" / "consortium", beta.state / "identity" / "consortium")
    alpha.members = {**alpha.members, "beta": {"identity": "beta.public.yaml"}}
    beta.members = {"alpha": {"identity": "alpha.public.yaml"}, **beta.members}
    both = Projects(alpha, beta)
    try:
        for one in (alpha, beta):
            one.write()
            one.render()
            one.up()
        both.wait_ready()
        yield both
    finally:
        for one in (alpha, beta):
            one.down(purge=True)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
