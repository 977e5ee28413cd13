"""One agent for a member, or one beside each node."""

from __future__ import annotations

from muniment.spec.model import Consortium
from muniment.targets.kubernetes.addresses import KubernetesAddresses, settled
from muniment.topology.derive import derive
from muniment.topology.layout import Layout
from muniment.topology.model import Role
from tests.unit.identities import consortium, member

ALPHA = member("alpha", first_key=1, nodes=2, peers=3)


def test_one_agent_for_a_member() -> None:
    assert Layout.MEMBER.agents(ALPHA) == ("alpha-agent",)
    assert Layout.MEMBER.of_node("alpha-2") == "alpha-agent"
    assert Layout.MEMBER.of_peer(ALPHA, 3) == "alpha-agent"


def test_one_agent_beside_each_node() -> None:
    assert Layout.PODS.agents(ALPHA) == ("alpha-agent-1", "alpha-agent-2")
    assert Layout.PODS.of_node("alpha-2") == "alpha-agent-2"
    assert [Layout.PODS.of_peer(ALPHA, index) for index in (1, 2, 3)] == [
        *("alpha-agent-1", "alpha-agent-2", "alpha-agent-1")
    ]


def test_every_agent_judges_all_nodes_and_each_node_asks_its_own() -> None:
    spec = settled(Consortium.model_validate({"members": {"alpha": {"nodes": 2, "peers": 3}}}))
    topology = derive(spec, consortium(ALPHA), KubernetesAddresses(spec), "{}", Layout.PODS)
    agents = topology.of("alpha", Role.AGENT)
    assert [agent.name for agent in agents] == ["alpha-agent-1", "alpha-agent-2"]
    for agent in agents:
        text = agent.files[0].text
        assert "http://alpha-1.muniment.svc:8545" in text
        assert "http://alpha-2.muniment.svc:8545" in text
    assert topology.workload("alpha-2").ready.url == "http://alpha-2.muniment.svc:9200/nodes/alpha-2/ready"
    assert topology.workload("alpha-kubo-2").ready.url == "http://alpha-2.muniment.svc:9200/peers/alpha-kubo-2/ready"
