"""The gateway's and the agent's workloads, derived from specifications of several shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from muniment.agent.settings import read
from muniment.identity.model import Endpoint, Identities, MemberIdentity, NodeIdentity, PeerIdentity
from muniment.kernel.errors import InputError
from muniment.spec.model import Consortium, Member, Privacy, Tls
from muniment.topology.edge import agents, gateway
from muniment.topology.haproxy import Upstream, configuration
from muniment.topology.model import Program, Role, Workload
from tests.support.edge import LoopbackAddresses, identities

SPEC = Consortium(members={"alpha": Member(nodes=3, peers=0, notary=False)})


class Addresses(LoopbackAddresses):
    """Adds the peers' ports, and other members beside alpha."""

    def listen(self, workload: str, port: str) -> Endpoint:
        member, _, rest = workload.partition("-")
        if rest.startswith(("kubo", "cluster")):
            offset = {"kubo-swarm": 0, "kubo-api": 1, "cluster-api": 3}[f"{rest.partition('-')[0]}-{port}"]
            first = self.base + (400 if member == "beta" else 0) + 190
            return Endpoint(host="127.0.0.1", port=first + 10 * int(rest[-1]) + offset)
        return super().listen(workload, port)


ADDRESSES = Addresses(21000, Path("/state"))


def peer_id(letter: str) -> str:
    return "12D3KooW" + letter * 44


def peer(index: int, letter: str, kubo: Endpoint | None = None) -> PeerIdentity:
    return PeerIdentity(index=index, kubo_id=peer_id(letter), cluster_id=peer_id(letter.lower()), kubo=kubo)


def member(name: str, *peers: PeerIdentity) -> MemberIdentity:
    node = NodeIdentity(name=f"{name}-1", enode_id="f" * 128, coinbase="0x" + "f" * 40, validator=True)
    return MemberIdentity(member=name, account="0x" + "b" * 40, nodes=(node,), peers=peers)


def settings(workload: Workload) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(workload.files[0].text)
    return loaded


def test_the_gateway() -> None:
    workload = gateway(SPEC, "alpha", identities(3), ADDRESSES)
    assert (workload.name, workload.role, workload.program) == ("alpha-gateway", Role.GATEWAY, Program.HAPROXY)
    assert workload.arguments == ("-db", "-f", "/state/config/alpha-gateway/haproxy.cfg")
    assert {port.name: port.url for port in workload.ports} == {
        "rpc": "http://127.0.0.1:21000",
        "ws": "ws://127.0.0.1:21001",
        "metrics": "http://127.0.0.1:21002/metrics",
        "privacy": "http://127.0.0.1:21005",
    }
    assert workload.ready.url == "http://127.0.0.1:21000/health"
    text = workload.files[0].text
    for node in (1, 2, 3):
        assert f"    server alpha-{node} 127.0.0.1:{21000 + 10 * node}\n" in text
        assert f"    server alpha-{node} 127.0.0.1:{21001 + 10 * node} track rpc/alpha-{node}\n" in text
        p2p, status = 21006 + 10 * node, 21007 + 10 * node
        assert f"    server alpha-privacy-{node} 127.0.0.1:{p2p} addr 127.0.0.1 port {status}\n" in text
    assert "server agent 127.0.0.1:21004\n" in text
    assert "secret" not in text


def test_the_same_input_gives_the_same_bytes() -> None:
    for derive in (gateway, agents):
        assert derive(SPEC, "alpha", identities(3), ADDRESSES) == derive(SPEC, "alpha", identities(3), ADDRESSES)


def test_the_agent(tmp_path: Path) -> None:
    (workload,) = agents(SPEC, "alpha", identities(3), ADDRESSES)
    assert (workload.name, workload.role, workload.program) == ("alpha-agent", Role.AGENT, Program.MUNIMENT)
    assert workload.arguments == ("agent", "serve", "--config", "/state/config/alpha-agent/agent.json")
    assert workload.ready.url == "http://127.0.0.1:21004/live"
    assert {port.name: port.url for port in workload.ports} == {
        "api": "http://127.0.0.1:21004",
        "metrics": "http://127.0.0.1:21004/metrics",
    }
    assert [node["min_peers"] for node in settings(workload)["nodes"]] == [1, 1, 1]
    assert [node["privacy"] for node in settings(workload)["nodes"]] == [
        f"http://127.0.0.1:{port}" for port in (21017, 21027, 21037)
    ]
    assert len(workload.files) == 1
    (tmp_path / "agent.json").write_text(workload.files[0].text)
    assert read(tmp_path / "agent.json").listen.port == 21004


def test_without_private_transactions_nobody_asks_for_managers() -> None:
    spec = SPEC.model_copy(update={"privacy": Privacy(enabled=False)})
    assert [node["privacy"] for node in settings(agents(spec, "alpha", identities(2), ADDRESSES)[0])["nodes"]] == [
        None
    ] * 2
    workload = gateway(spec, "alpha", identities(2), ADDRESSES)
    assert "privacy" not in workload.files[0].text
    assert {port.name for port in workload.ports} == {"rpc", "ws", "metrics"}


@pytest.mark.parametrize("tls", [Tls.OFF, Tls.STRICT])
def test_the_door_of_other_members_managers(tls: Tls) -> None:
    spec = SPEC.model_copy(update={"privacy": Privacy(tls=tls)})
    workload = gateway(spec, "alpha", identities(2), ADDRESSES)
    door = workload.files[0].text.partition("frontend privacy\n")[2]
    assert ("mode tcp" in door, "retry-on" in door) == (tls is Tls.STRICT, tls is Tls.OFF)
    assert "404" not in door
    assert "path" not in door
    assert workload.port("privacy").url.startswith("https://" if tls is Tls.STRICT else "http://")


def test_the_only_node_of_a_consortium_needs_no_peer() -> None:
    (workload,) = agents(SPEC, "alpha", identities(1), ADDRESSES)
    assert [node["min_peers"] for node in settings(workload)["nodes"]] == [0]


def test_the_agent_knows_its_peers_and_those_of_others(tmp_path: Path) -> None:
    far = Endpoint(host="kubo.gamma.example", port=4001)
    farther = Endpoint(host="2001:db8::1", port=4002)
    everyone = Identities(
        members=(
            member("alpha", peer(1, "A"), peer(2, "B")),
            member("beta", peer(1, "C")),
            member("gamma", peer(1, "D", far), peer(2, "E", farther)),
        ),
        own=frozenset({"alpha", "beta"}),
    )
    (workload,) = agents(SPEC, "alpha", everyone, ADDRESSES)
    config = settings(workload)
    assert config["peers"][1] == {
        "index": 2,
        "kubo_name": "alpha-kubo-2",
        "kubo": "http://127.0.0.1:21211",
        "kubo_id": peer_id("B"),
        "kubo_address": "/ip4/127.0.0.1/tcp/21210",
        "cluster_name": "alpha-cluster-2",
        "cluster": "http://127.0.0.1:21213",
        "cluster_id": peer_id("b"),
    }
    assert [(other["kubo_id"], other["kubo_address"]) for other in config["others"]] == [
        (peer_id("C"), "/ip4/127.0.0.1/tcp/21600"),
        (peer_id("D"), "/dns4/kubo.gamma.example/tcp/4001"),
        (peer_id("E"), "/ip6/2001:db8::1/tcp/4002"),
    ]
    assert workload.files[1].text == "@secret:alpha/cluster-rest-password@"
    assert config["cluster_password_file"] == "/state/config/alpha-agent/cluster-rest-password"
    (tmp_path / "agent.json").write_text(workload.files[0].text)
    assert len(read(tmp_path / "agent.json").others) == 3


def test_a_public_file_without_addresses_is_refused() -> None:
    everyone = Identities(members=(member("alpha"), member("gamma", peer(1, "D"))), own=frozenset({"alpha"}))
    with pytest.raises(InputError, match="peer 1 of gamma has no swarm address"):
        agents(SPEC, "alpha", everyone, ADDRESSES)


@pytest.mark.parametrize(
    ("host", "bound", "own"),
    [
        ("0.0.0.0", "bind 0.0.0.0:2", "addr 127.0.0.1 port 2"),
        ("::", "bind [::]:2", "addr ::1 port 2"),
        ("10.0.0.5", "bind 10.0.0.5:2", "addr 10.0.0.5 port 2"),
        ("gateway", "bind gateway:2", "addr gateway port 2"),
    ],
)
def test_the_gateway_reaches_its_own_judgements_wherever_it_listens(host: str, bound: str, own: str) -> None:
    def here(port: int) -> Endpoint:
        return Endpoint(host=host, port=port)

    text = configuration(here(1), here(3), here(2), [Upstream("alpha-1", here(5), here(6), here(4))])
    assert bound in text
    assert own in text
