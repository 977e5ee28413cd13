"""Ports and directories of the local target."""

from __future__ import annotations

import itertools
import os
import socket
from pathlib import Path

import pytest

from muniment.identity.model import Endpoint
from muniment.kernel.errors import InputError
from muniment.spec.model import Consortium, Member
from muniment.targets.loopback import LoopbackAddresses, run_directory
from muniment.targets.ports import check_ports
from muniment.topology.model import Port, Probe, Program, Role, Workload

SPEC = Consortium(members={"alpha": Member(nodes=16, peers=16), "beta": Member(nodes=1, peers=0, notary=False)})
STATE = Path("/srv/state")


@pytest.fixture
def addresses() -> LoopbackAddresses:
    return LoopbackAddresses(SPEC, STATE)


@pytest.mark.parametrize(
    ("workload", "port", "number"),
    [
        ("alpha-gateway", "rpc", 21000),
        ("alpha-gateway", "ws", 21001),
        ("alpha-gateway", "metrics", 21002),
        ("alpha-notary", "api", 21003),
        ("alpha-agent", "api", 21004),
        ("alpha-1", "rpc", 21010),
        ("alpha-2", "metrics", 21024),
        ("alpha-16", "raft", 21163),
        ("alpha-kubo-1", "swarm", 21200),
        ("alpha-kubo-2", "api", 21211),
        ("alpha-cluster-1", "swarm", 21202),
        ("alpha-cluster-16", "metrics", 21354),
        ("alpha-gateway", "privacy", 21005),
        ("alpha-privacy-1", "q2t", 21015),
        ("alpha-privacy-16", "p2p", 21166),
        ("alpha-privacy-2", "status", 21027),
        ("beta-gateway", "rpc", 21400),
        ("beta-1", "p2p", 21412),
    ],
)
def test_numbers(addresses: LoopbackAddresses, workload: str, port: str, number: int) -> None:
    assert addresses.listen(workload, port) == Endpoint(host="127.0.0.1", port=number)
    assert addresses.reach(workload, port) == addresses.listen(workload, port)


def test_no_number_twice(addresses: LoopbackAddresses) -> None:
    things = [
        *(("alpha-gateway", port) for port in ("rpc", "ws", "metrics", "privacy")),
        ("alpha-notary", "api"),
        ("alpha-agent", "api"),
        *((f"alpha-{i}", port) for i in range(1, 17) for port in ("rpc", "ws", "p2p", "raft", "metrics")),
        *((f"alpha-privacy-{i}", port) for i in range(1, 17) for port in ("q2t", "p2p", "status")),
        *((f"alpha-kubo-{i}", port) for i in range(1, 17) for port in ("swarm", "api")),
        *((f"alpha-cluster-{i}", port) for i in range(1, 17) for port in ("swarm", "api", "metrics")),
        ("beta-gateway", "rpc"),
    ]
    numbers = [addresses.listen(*thing).port for thing in things]
    assert len(set(numbers)) == len(things)


@pytest.mark.parametrize(("workload", "port"), [("gamma-1", "rpc"), ("alpha-1", "api"), ("nothing", "rpc")])
def test_unknown_things_have_no_number(addresses: LoopbackAddresses, workload: str, port: str) -> None:
    with pytest.raises(KeyError):
        addresses.listen(workload, port)


def test_directories_are_apart(addresses: LoopbackAddresses) -> None:
    places = [
        place(name)
        for name in ("alpha-1", "alpha-kubo-1")
        for place in (addresses.config, addresses.data, addresses.run)
    ]
    assert str(places[0]) == "/srv/state/config/alpha-1"
    assert not [pair for pair in itertools.permutations(places, 2) if pair[0] in pair[1].parents or pair[0] == pair[1]]


def test_long_state_gets_a_short_place_for_sockets() -> None:
    assert run_directory(STATE) == STATE / "run"
    long = Path("/srv") / ("x" * 80)
    short = run_directory(long)
    assert short == run_directory(long)
    assert short != run_directory(long / "y")
    assert str(short).startswith(f"/tmp/muniment-{os.getuid()}-")
    assert len(f"{short}/alpha-cluster-16/geth.ipc") < 107


def workload(*ports: Port) -> Workload:
    return Workload("alpha-1", "alpha", Role.NODE, Program.GETH, (), Probe("http://127.0.0.1/"), ports)


def test_taken_port_is_named_with_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = Endpoint(host="127.0.0.1", port=server.getsockname()[1])
        said = rf"port {endpoint.port} \(rpc of alpha-1\) is in use by .*\(process {os.getpid()}\).*ports\.base"
        with pytest.raises(InputError, match=said):
            check_ports([workload(Port("rpc", endpoint, endpoint))], str(STATE))


def test_free_ports_pass() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
    endpoint = Endpoint(host="127.0.0.1", port=number)
    check_ports([workload(Port("rpc", endpoint, endpoint), Port("metrics", endpoint, endpoint))], str(STATE))
