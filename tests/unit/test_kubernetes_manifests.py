"""The demo as manifests, kept as files in tests/golden/kubernetes, and what they promise.

After a change that is meant, write them anew by `MUNIMENT_GOLDEN=write pytest tests/unit/test_kubernetes_manifests.py`,
and read the difference.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from muniment.cli.render_kubernetes import dump
from muniment.kernel.errors import IntegrityError
from muniment.spec.load import load
from muniment.spec.model import Consortium
from muniment.targets.kubernetes.addresses import KubernetesAddresses, settled
from muniment.targets.kubernetes.budgets import Disruptions
from muniment.targets.kubernetes.controllers import Update
from muniment.targets.kubernetes.manifests import identity_secrets, manifests, namespace, ordered
from muniment.targets.kubernetes.places import placing
from muniment.targets.kubernetes.pods import Manifest, pods
from muniment.topology.derive import derive
from muniment.topology.layout import Layout
from muniment.topology.model import Program, Topology
from tests.support.kube_schema import problems
from tests.unit.identities import consortium, member

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "kubernetes"
GENESIS = '{"stands": "here"}\n'
DEMO = load(ROOT / "examples" / "demo.yaml")
IDENTITIES = consortium(member("alpha", first_key=1, nodes=3, peers=3), member("beta", first_key=50, nodes=1))
IMAGES = {program: f"registry.example/{program.value}:1" for program in Program}
DISRUPTIONS = Disruptions(frozenset({"alpha-1", "alpha-2", "alpha-3", "beta-1"}), 1)


def demo(**changes: Any) -> Consortium:
    """The demo's specification with other settings of Kubernetes."""
    document = DEMO.model_dump(mode="json", exclude_unset=True)
    return settled(Consortium.model_validate({**document, "kubernetes": changes}))


def topology(spec: Consortium) -> Topology:
    return derive(spec, IDENTITIES, KubernetesAddresses(spec), GENESIS, Layout.PODS)


def rendered(**changes: Any) -> list[Manifest]:
    spec = demo(**changes)
    return manifests(topology(spec), spec, IMAGES, DISRUPTIONS)


def one(found: list[Manifest], kind: str, name: str) -> Manifest:
    (match,) = [each for each in found if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return match


def of_kind(found: list[Manifest], kind: str) -> list[Manifest]:
    return [each for each in found if each["kind"] == kind]


def templates(found: list[Manifest]) -> Iterator[tuple[str, dict[str, Any]]]:
    for each in found:
        if each["kind"] in ("StatefulSet", "Deployment"):
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]


def containers(template: dict[str, Any]) -> list[dict[str, Any]]:
    return [*template["initContainers"], *template["containers"]]


def test_golden() -> None:
    spec = demo()
    made = {
        name: dump(documents)
        for name, documents in ordered([namespace(spec), *manifests(topology(spec), spec, IMAGES, DISRUPTIONS)]).items()
    }
    if os.environ.get("MUNIMENT_GOLDEN") == "write":
        for name, text in made.items():
            (GOLDEN / name).write_text(text, "utf-8")
    kept = {path.name: path.read_text("utf-8") for path in GOLDEN.iterdir()}
    assert made.keys() == kept.keys()
    for name, text in made.items():
        assert text == kept[name], name


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"outside": {"addresses": {"alpha-1": "alpha-1.example.org"}}},
        {"gateway": {"type": "LoadBalancer", "annotations": {"a": "b"}}, "image_pull_secrets": ["registry"]},
        {"storage": {"node": {"size": "1Ti", "storage_class": "fast"}}, "network_policies": False},
    ],
)
def test_the_api_knows_every_field(changes: dict[str, Any]) -> None:
    spec = demo(**changes)
    found = [namespace(spec), *rendered(**changes), *identity_secrets(topology(spec), spec, lambda path: path)]
    assert [problem for each in found for problem in problems(each)] == []


def test_a_wrong_field_is_found() -> None:
    stateful = one(rendered(), "StatefulSet", "alpha-1")
    stateful["spec"]["template"]["spec"]["containers"][0]["volumeMount"] = []
    stateful["spec"]["template"]["spec"]["hostAliass"] = [{"ip": "127.0.0.1"}]
    stateful["spec"]["replicas"] = "1"
    assert problems(stateful) == ["StatefulSet alpha-1: Expected `int | null`, got `str` - at `$.spec.replicas`"]
    stateful["spec"]["replicas"] = 1
    assert problems(stateful) == ["StatefulSet alpha-1: there is no field spec.template.spec.hostAliass"]


def test_one_pod_for_each_node_and_peer() -> None:
    found = {pod.name: [workload.name for workload in pod.workloads] for pod in pods(topology(demo()), frozenset())}
    assert found["alpha-1"] == ["alpha-privacy-1", "alpha-1", "alpha-agent-1"]
    assert found["alpha-peer-3"] == ["alpha-kubo-3", "alpha-cluster-3"]
    assert set(found) == {
        *("alpha-1", "alpha-2", "alpha-3", "beta-1", "alpha-peer-1", "alpha-peer-2", "alpha-peer-3"),
        *("alpha-gateway", "beta-gateway", "alpha-notary", "alpha-database", "beta-database"),
    }


def test_nodes_and_peers_are_single_and_keep_their_volumes() -> None:
    found = rendered()
    for name in ("alpha-1", "beta-1", "alpha-peer-2", "alpha-database"):
        spec = one(found, "StatefulSet", name)["spec"]
        assert spec["replicas"] == 1
        assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
        assert [claim["spec"]["accessModes"] for claim in spec["volumeClaimTemplates"]] == [["ReadWriteOnce"]]
    assert one(found, "StatefulSet", "alpha-notary")["spec"]["replicas"] == 2
    assert one(found, "Deployment", "alpha-gateway")["spec"]["replicas"] == 2


def test_applied_all_at_once_nothing_restarts() -> None:
    spec = demo()
    strategies = {each["spec"]["updateStrategy"]["type"] for each in of_kind(rendered(), "StatefulSet")}
    assert strategies == {"OnDelete"}
    by_the_target = manifests(topology(spec), spec, IMAGES, DISRUPTIONS, update=Update.AT_ONCE)
    assert {each["spec"]["updateStrategy"]["type"] for each in of_kind(by_the_target, "StatefulSet")} == {
        "RollingUpdate"
    }


def test_no_manifest_holds_a_secret_and_each_pod_gets_its_own() -> None:
    spec = demo()
    made = topology(spec)
    secrets = identity_secrets(made, spec, lambda path: f"content of {path}")
    contents = [base64.b64decode(text).decode() for each in secrets for text in each["data"].values()]
    text = dump(manifests(made, spec, IMAGES, DISRUPTIONS))
    assert contents
    assert not [content for content in contents if content in text]
    assert not of_kind(manifests(made, spec, IMAGES, DISRUPTIONS), "Secret")
    keys = {each["metadata"]["name"]: set(each["data"]) for each in secrets}
    assert keys["alpha-2-identity"] == {
        "alpha.nodes.alpha-2.nodekey",
        "alpha.privacy.keys.alpha-key-1.secret.key",
        "alpha.database.password",
        "alpha.cluster-rest-password",
    }
    assert keys["alpha-peer-1-identity"] == {
        "alpha.peers.alpha-kubo-1.private_key",
        "alpha.peers.alpha-cluster-1.private_key",
        "alpha.cluster-rest-password",
        "consortium.swarm.key",
        "consortium.cluster.secret",
    }
    assert "alpha-gateway-identity" not in keys
    assert {each["metadata"]["name"]: each["immutable"] for each in secrets}["alpha-peer-1-identity"]


def test_pods_are_restricted() -> None:
    for name, template in templates(rendered()):
        assert template["automountServiceAccountToken"] is False, name
        assert template["securityContext"]["runAsNonRoot"] is True
        assert template["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(template):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, container["name"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert {"requests", "limits"} == set(container["resources"])
            assert "env" not in container or not [env for env in container["env"] if "valueFrom" in env]


def test_a_workload_reads_its_configuration_and_writes_only_its_data() -> None:
    for name, template in templates(rendered()):
        for container in template["containers"]:
            mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
            assert mounts[f"/muniment/config/{container['name']}"]["readOnly"] is True, name
            assert mounts[f"/muniment/data/{container['name']}"]["subPath"] == container["name"]
            others = [path for path in mounts if path.startswith(("/muniment/config", "/muniment/data"))]
            assert len(others) == 2


def test_the_peerstore_is_in_what_is_read_only() -> None:
    config = one(rendered(), "ConfigMap", "alpha-peer-1-config")["data"]
    service = json.loads(config["alpha-cluster-1.data.service.json"])
    assert service["cluster"]["peerstore_file"].endswith("/muniment/config/alpha-cluster-1/peerstore")
    assert "/dns4/alpha-peer-2.muniment.svc/tcp/9096/p2p/" in config["alpha-cluster-1.config.peerstore"]


def test_the_manager_comes_before_its_node_and_goes_after_it() -> None:
    template = one(rendered(), "StatefulSet", "alpha-1")["spec"]["template"]["spec"]
    first = [container["name"] for container in template["initContainers"]]
    assert first == ["place", "prepare-alpha-1", "alpha-privacy-1"]
    manager = template["initContainers"][2]
    assert manager["restartPolicy"] == "Always"
    assert manager["startupProbe"]["httpGet"] == {"path": "/ready", "port": 9102}
    assert [container["name"] for container in template["containers"]] == ["alpha-1", "alpha-agent-1"]
    assert template["terminationGracePeriodSeconds"] >= 30 + 15


def test_a_node_is_ready_when_its_own_agent_says_so_and_never_found_dead() -> None:
    template = one(rendered(), "StatefulSet", "alpha-2")["spec"]["template"]["spec"]
    node = next(container for container in template["containers"] if container["name"] == "alpha-2")
    assert node["readinessProbe"]["httpGet"] == {"path": "/nodes/alpha-2/ready", "port": 9200}
    assert "livenessProbe" not in node


def test_within_a_pod_its_service_is_the_pod_itself() -> None:
    template = one(rendered(), "StatefulSet", "alpha-1")["spec"]["template"]["spec"]
    assert template["hostAliases"] == [
        {
            "ip": "127.0.0.1",
            "hostnames": ["alpha-1.muniment", "alpha-1.muniment.svc", "alpha-1.muniment.svc.cluster.local"],
        }
    ]


def test_every_service_has_a_stable_address_and_peers_are_found_before_they_are_ready() -> None:
    found = {each["metadata"]["name"]: each["spec"] for each in of_kind(rendered(), "Service")}
    assert all(spec.get("clusterIP") != "None" for spec in found.values())
    assert found["alpha-1"]["publishNotReadyAddresses"] is True
    assert found["alpha-gateway"]["publishNotReadyAddresses"] is False
    assert [port["name"] for port in found["alpha-1"]["ports"]] == [
        *("privacy-p2p", "privacy-status", "rpc", "ws", "p2p", "metrics", "agent-api")
    ]


def test_the_gateway_asks_each_nodes_own_agent() -> None:
    config = one(rendered(), "ConfigMap", "alpha-gateway-config")["data"]["alpha-gateway.config.haproxy.cfg"]
    assert "    use-server agent-alpha-2 if { path /nodes/alpha-2/ready }\n" in config
    assert "    server agent-alpha-2 alpha-2.muniment.svc:9200\n" in config
    assert "    server alpha-2 alpha-2.muniment.svc:8545\n" in config


def test_who_looks_names_up_once_waits_for_them() -> None:
    found = rendered()

    def hosts(pod: str) -> list[str]:
        listed: list[str] = json.loads(one(found, "ConfigMap", f"{pod}-config")["data"]["place.json"])["hosts"]
        return listed

    assert hosts("alpha-1") == ["alpha-2.muniment.svc", "alpha-3.muniment.svc", "beta-1.muniment.svc"]
    assert hosts("alpha-gateway") == ["alpha-1.muniment.svc", "alpha-2.muniment.svc", "alpha-3.muniment.svc"]
    assert hosts("alpha-peer-1") == []


def test_what_keeps_a_second_pod_away() -> None:
    spec = demo()
    (pod,) = [each for each in pods(topology(spec), frozenset()) if each.name == "alpha-1"]
    step = placing(pod, spec, lambda path: f"digest of {path}")
    described = json.loads(step.data["place.json"])
    assert described["sole"] == "alpha-1-0"
    assert described["owners"] == [{"file": "/muniment/data/.muniment-owner", "name": "alpha-1"}]
    assert described["fingerprints"]["alpha/nodes/alpha-1/nodekey"] == "digest of alpha/nodes/alpha-1/nodekey"
    # A password that people chose could be guessed by its digest.
    assert not [path for path in described["fingerprints"] if "password" in path and "database" in path]


def test_a_renewed_certificate_restarts_and_a_changed_file_too() -> None:
    spec = demo()
    (pod,) = [each for each in pods(topology(spec), frozenset()) if each.name == "alpha-1"]
    first = placing(pod, spec, lambda path: "1")
    assert placing(pod, spec, lambda path: "1").digest == first.digest
    assert placing(pod, spec, lambda path: "2").digest != first.digest


def test_engines_know_how_much_memory_they_have() -> None:
    spec = {"resources": {"node": {"cpu": "1", "memory": "1Gi", "memory_limit": "10Gi"}}}
    template = one(rendered(**spec), "StatefulSet", "alpha-1")["spec"]["template"]["spec"]
    node = next(container for container in template["containers"] if container["name"] == "alpha-1")
    assert {"name": "GOMEMLIMIT", "value": "8192MiB"} in node["env"]
    assert node["resources"] == {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "10Gi"}}


def test_budgets_keep_a_quorum() -> None:
    found = {each["metadata"]["name"]: each["spec"] for each in of_kind(rendered(), "PodDisruptionBudget")}
    assert found["demo-validators"]["minAvailable"] == 3
    assert found["alpha-peers"]["minAvailable"] == 2
    assert found["alpha-gateway"]["minAvailable"] == 1
    spec = demo()
    none_spare = manifests(topology(spec), spec, IMAGES, Disruptions(DISRUPTIONS.validators, 0))
    assert one(none_spare, "PodDisruptionBudget", "demo-validators")["spec"]["minAvailable"] == 4


def test_no_pod_is_in_two_budgets() -> None:
    spec = demo()
    two = Disruptions(frozenset({"alpha-1", "beta-1"}), 1)
    found = of_kind(manifests(topology(spec), spec, IMAGES, two), "PodDisruptionBudget")
    for pod in pods(topology(spec), two.validators):
        matching = [each["metadata"]["name"] for each in found if _selects(each["spec"]["selector"], pod.labels)]
        assert len(matching) <= 1, (pod.name, matching)


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted = all(labels.get(key) == value for key, value in selector["matchLabels"].items())
    return wanted and all(labels.get(rule["key"]) in rule["values"] for rule in selector.get("matchExpressions", []))


def test_names_that_would_be_one_file_are_refused() -> None:
    spec = demo()
    (pod,) = [each for each in pods(topology(spec), frozenset()) if each.name == "alpha-1"]
    twice = type(pod)(pod.name, pod.consortium, pod.member, pod.component, (*pod.workloads, pod.workloads[0]))
    with pytest.raises(IntegrityError, match="one name"):
        placing(twice, spec)
