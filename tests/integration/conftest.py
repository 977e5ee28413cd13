"""The demo consortium, started once for all tests that can share it; everything is stopped at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.consortium import Consortium, demo_specification
from tests.support.databases import DatabaseServer, MariaDb, PostgreSql, free_port
from tests.support.ports import port_block
from tests.support.private import Private, private_specification


@pytest.fixture(scope="session")
def base_port() -> Iterator[int]:
    """A block of ports for the shared demo."""
    with port_block() as base:
        yield base


@pytest.fixture(scope="session")
def demo_session(base_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    """The demo, up. Use `demo`, which also checks that the test before left it whole."""
    consortium = Consortium(tmp_path_factory.mktemp("demo"), demo_specification(base_port))
    try:
        consortium.up()
        yield consortium
    finally:
        consortium.remove()


@pytest.fixture
def demo(demo_session: Consortium) -> Consortium:
    """The shared demo, ready."""
    demo_session.wait_ready()
    return demo_session


@pytest.fixture
def own_demo(tmp_path: Path) -> Iterator[Consortium]:
    """A demo of the test's own, not started, on ports of its own."""
    with port_block() as base:
        consortium = Consortium(tmp_path, demo_specification(base))
        try:
            yield consortium
        finally:
            consortium.remove()


@pytest.fixture(scope="session")
def trio_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Private]:
    """Three members with private transactions and nothing else: alpha with three nodes, beta and gamma with one."""
    with port_block() as base:
        consortium = Consortium(tmp_path_factory.mktemp("trio"), private_specification(base))
        try:
            consortium.up()
            yield Private(consortium)
        finally:
            consortium.remove()


@pytest.fixture
def trio(trio_session: Private) -> Private:
    """The shared three members, ready, and a fresh account."""
    trio_session.consortium.wait_ready()
    return Private(trio_session.consortium)


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    """A MariaDB server for all tests that leave it running."""
    yield from _running(MariaDb(tmp_path_factory.mktemp("mariadb"), free_port()))


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    """A PostgreSQL server for all tests that leave it running."""
    yield from _running(PostgreSql(tmp_path_factory.mktemp("postgresql"), free_port()))


def _running(server: DatabaseServer) -> Iterator[DatabaseServer]:
    try:
        server.start()
        yield server
    finally:
        server.remove()
