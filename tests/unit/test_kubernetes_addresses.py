"""Where things are on Kubernetes: pods, Services, names; and what a specification becomes there."""

from __future__ import annotations

import json

import pytest

from muniment.identity.export import export
from muniment.identity.model import Endpoint
from muniment.spec.model import Consensus, Consortium
from muniment.targets.kubernetes.addresses import KubernetesAddresses, OutsideAddresses, pod_of, settled
from muniment.topology.derive import derive
from muniment.topology.layout import Layout
from muniment.topology.model import Role
from tests.unit.identities import consortium, member

OUTSIDE = {"alpha-1": "n1.example.org", "alpha-peer-1": "p1.example.org", "alpha-gateway": "door.example.org"}


def specification(**changes: object) -> Consortium:
    members = {"alpha": {"nodes": 2, "peers": 1, "notary": False}}
    return Consortium.model_validate({"name": "demo", "members": members, **changes})


@pytest.mark.parametrize(
    ("workload", "pod"),
    [
        ("alpha-1", "alpha-1"),
        ("alpha-privacy-12", "alpha-12"),
        ("alpha-agent-1", "alpha-1"),
        ("alpha-kubo-3", "alpha-peer-3"),
        ("alpha-cluster-3", "alpha-peer-3"),
        ("alpha-gateway", "alpha-gateway"),
        ("alpha-database", "alpha-database"),
    ],
)
def test_pods(workload: str, pod: str) -> None:
    assert pod_of(workload) == pod


def test_an_unknown_workload_has_no_pod() -> None:
    with pytest.raises(KeyError):
        pod_of("alpha-stranger-1")


def test_services_have_names_and_fixed_ports() -> None:
    addresses = KubernetesAddresses(specification(kubernetes={"namespace": "place"}))
    assert addresses.reach("alpha-2", "rpc") == Endpoint(host="alpha-2.place.svc", port=8545)
    assert addresses.listen("alpha-2", "rpc") == Endpoint(host="0.0.0.0", port=8545)
    assert addresses.reach("alpha-kubo-1", "swarm") == Endpoint(host="alpha-peer-1.place.svc", port=4001)


def test_what_only_a_node_may_ask_of_its_manager_is_on_loopback() -> None:
    assert KubernetesAddresses(specification()).listen("alpha-privacy-1", "q2t").host == "127.0.0.1"


def test_a_public_file_has_the_addresses_outside() -> None:
    spec = specification(kubernetes={"outside": {"addresses": OUTSIDE}})
    identity = member("alpha", first_key=1, nodes=2, peers=1)
    public = export(identity, OutsideAddresses(spec), consensus=Consensus.QBFT)
    assert public.nodes[0].p2p == Endpoint(host="n1.example.org", port=30303)
    assert public.nodes[1].p2p == Endpoint(host="alpha-2.muniment.svc", port=30303)
    assert public.peers[0].kubo == Endpoint(host="p1.example.org", port=4001)
    assert public.peers[0].cluster == Endpoint(host="p1.example.org", port=9096)
    assert public.privacy
    assert public.privacy.endpoint == Endpoint(host="door.example.org", port=9103)


def test_managers_announce_the_address_outside() -> None:
    spec = settled(specification(kubernetes={"outside": {"addresses": OUTSIDE}}))
    identities = consortium(member("alpha", first_key=1, nodes=2, peers=1))
    topology = derive(spec, identities, KubernetesAddresses(spec), "{}", Layout.PODS)
    settings = json.loads(topology.workload("alpha-privacy-1").files[0].text)
    assert settings["advertised_url"] == "http://door.example.org:9103/"


def test_sqlite_becomes_a_server_and_a_server_stays() -> None:
    spec = settled(specification())
    assert spec.members["alpha"].database.url == "mariadb://muniment@alpha-database.muniment.svc:3306/muniment"
    identities = consortium(member("alpha", first_key=1, nodes=2, peers=1))
    topology = derive(spec, identities, KubernetesAddresses(spec), "{}", Layout.PODS)
    assert [workload.name for workload in topology.of("alpha", Role.DATABASE)] == ["alpha-database"]
    assert settled(spec).members["alpha"].database == spec.members["alpha"].database

    outside = {"url": "postgresql://me@db.example.org/muniment", "password_file": "/etc/password"}
    spec = settled(specification(members={"alpha": {"nodes": 2, "peers": 1, "notary": False, "database": outside}}))
    topology = derive(spec, identities, KubernetesAddresses(spec), "{}", Layout.PODS)
    assert not topology.of("alpha", Role.DATABASE)
    manager = topology.workload("alpha-privacy-1")
    assert json.loads(manager.files[0].text)["database"] == {
        "url": outside["url"],
        "file": None,
        "password_file": "/muniment/config/alpha-privacy-1/database-password",
    }
    assert "@secret:alpha/database/password@" in [file.text for file in manager.files]


def test_nodes_answer_to_the_names_of_their_services() -> None:
    spec = settled(specification())
    identities = consortium(member("alpha", first_key=1, nodes=2, peers=1))
    topology = derive(spec, identities, KubernetesAddresses(spec), "{}", Layout.PODS)
    arguments = topology.workload("alpha-1").arguments
    names = arguments[arguments.index("--http.vhosts") + 1].split(",")
    assert {"localhost", "alpha-gateway", "alpha-gateway.muniment.svc.cluster.local", "alpha-1.muniment.svc"} <= set(
        names
    )
    assert "alpha-gateway.muniment.svc" in spec.members["alpha"].privacy_hosts
