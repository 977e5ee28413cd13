"""What notaries under test stand on: a chain of one node, and three peers, of real engines."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from muniment.engines.build import ensure_engines
from muniment.topology.model import Program
from tests.support.goquorum import Chain
from tests.support.ipfs import Peers
from tests.support.notary_process import SPECIFICATION
from tests.support.ports import port_block
from tests.support.waiting import STARTED


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    # The path of the node's socket must stay short.
    folder = Path(tempfile.mkdtemp(prefix="f-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def base() -> Iterator[int]:
    with port_block() as block:
        yield block


@pytest.fixture(scope="module")
def chain(root: Path, base: int) -> Iterator[Chain]:
    chain = Chain(root / "chain", SPECIFICATION, base)
    try:
        chain.start()
        chain.wait_connected(timeout=STARTED)
        yield chain
    finally:
        chain.remove()


@pytest.fixture(scope="module")
def kind_of_peers() -> type[Peers]:
    """What the peers are; a module may have others."""
    return Peers


@pytest.fixture(scope="module")
def peers(root: Path, base: int, kind_of_peers: type[Peers]) -> Iterator[Peers]:
    engines = {Program(name): path for name, path in ensure_engines(names=["ipfs", "ipfs-cluster-service"]).items()}
    with kind_of_peers(engines, root / "peers", base + 1000) as peers:
        peers.start()
        asyncio.run(peers.wait_mesh())
        yield peers
