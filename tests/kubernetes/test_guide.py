"""Promise: what docs/kubernetes.md says works, command by command: plain manifests, then two operators in one cluster,
one with the chart, one from the command line, who reach one another by load balancers as from another cluster, with
TLS between their managers and a database outside.

The tests are in this order on purpose.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from muniment.kernel.waiting import NotYetError, wait_blocking
from tests.kubernetes.balancer import addresses_of, give
from tests.kubernetes.cluster import NAME, Cluster, values
from tests.kubernetes.guide import Guide, commands
from tests.kubernetes.guide import values as values_of_the_text
from tests.kubernetes.lab.lab import Lab
from tests.kubernetes.steps import OPERATOR, machine_is
from tests.kubernetes.stranger import stranger
from tests.support.databases import PASSWORD, PostgreSql

pytestmark = pytest.mark.timeout(1200)

VOLUMES = 6
WAIT_SECONDS = 300
SQL_PORT = 25432
ALPHA = addresses_of({"alpha": (3, 2)}, "203.0.113")
BETA = addresses_of({"beta": (1, 0)}, "198.51.100")
MONITORS = {"trial-node", "trial-peer", "trial-gateway", "trial-notary"}


class OutsideDatabase(PostgreSql):
    """PostgreSQL on a machine that is none of the cluster's."""

    def __init__(self, directory: Path, lab: Lab) -> None:
        super().__init__(directory, SQL_PORT)
        self.lab = lab

    @property
    def host(self) -> str:
        """Its address."""
        return self.lab.settings.api_address

    def _make(self) -> None:
        super()._make()
        (self.data / "pg_hba.conf").write_text("local all all trust\nhost all all 0.0.0.0/0 scram-sha-256\n")

    def _command(self) -> list[str]:
        inside = ["nsenter", f"--net=/run/netns/{self.lab.settings.control_plane}", "--"]
        return [*inside, *super()._command(), "-h", self.host, "-c", "max_connections=200"]


def small(**spec: Any) -> dict[str, Any]:
    """A specification for the lab: our images, small reservations."""
    shared = values()["consortium"]["spec"]
    kubernetes = {**shared["kubernetes"], **spec.get("kubernetes", {})}
    return {"name": "trial", "images": shared["images"], **spec, "kubernetes": kubernetes}


def write(folder: Path, document: dict[str, Any], name: str = "consortium.yaml") -> None:
    """Write a document of the reader: JSON is YAML."""
    (folder / name).write_text(json.dumps(document, indent=2))


@pytest.fixture(scope="module")
def rooms(lab: Lab) -> None:
    """The cluster without what other tests left in it, and with empty volumes."""
    lab.kubectl("delete", "namespace", NAME, "--ignore-not-found")
    lab.kubectl("delete", "clusterrole,clusterrolebinding", "-l", OPERATOR)
    lab.kubectl("delete", "pv", "--all", "--wait=false")
    empty(lab, "guide")


def empty(lab: Lab, name: str) -> None:
    """Empty volumes on every machine."""
    for node in lab.nodes:
        for number in range(1, VOLUMES + 1):
            lab.make_volume(node, f"{name}-{node.name}-{number}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the folders of the operators."""
    return tmp_path_factory.mktemp("guide")


@pytest.fixture(scope="module")
def alpha(lab: Lab, rooms: None, place: Path) -> Guide:
    """The operator who reads the guide from its beginning."""
    del rooms
    return Guide(lab, place / "alpha")


@pytest.fixture(scope="module")
def beta(lab: Lab, alpha: Guide, place: Path) -> Guide:
    """Another operator, who works from the command line."""
    return Guide(lab, place / "beta", alpha.done)


@pytest.fixture(scope="module")
def database(lab: Lab, place: Path) -> Iterator[OutsideDatabase]:
    """A server of alpha's own."""
    server = OutsideDatabase(place / "postgresql", lab)
    server.start()
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture
def cluster(lab: Lab, alpha: Guide) -> Cluster:
    """The namespace of the guide."""
    return Cluster(lab, alpha.folder, "muniment")


def ready(cluster: Cluster) -> None:
    """Wait until there are pods, and all are ready."""

    def probe() -> None:
        if not cluster.pods():
            raise NotYetError("there are no pods")
        cluster.check_pods()

    cluster.wait("the pods", probe, WAIT_SECONDS)


def test_plain_manifests(alpha: Guide, cluster: Cluster) -> None:
    members = {"alpha": {"nodes": 3, "peers": 0, "notary": False}}
    spec = small(chain={"id": 4712, "consensus": "raft"}, members=members)
    write(alpha.folder, spec)
    alpha.follow("muniment render kubernetes consortium.yaml -o manifests")
    secrets = alpha.folder / "manifests" / "secrets.yaml"
    assert secrets.stat().st_mode & 0o777 == 0o600
    alpha.follow("kubectl create namespace")
    alpha.follow("kubectl create -f manifests/secrets.yaml")
    alpha.follow("rm manifests")
    alpha.follow("kubectl apply --server-side -f manifests")
    ready(cluster)
    before = cluster.head()
    cluster.python("-m", "tests.support.create_privately", cluster.gateway)
    assert cluster.head() > before
    uids = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in cluster.pods()}
    write(alpha.folder, {**spec, "chain": {**spec["chain"], "cache_megabytes": 96}})
    alpha.follow("muniment render kubernetes consortium.yaml -o manifests")
    secrets.unlink()
    alpha.follow("kubectl apply --server-side -f manifests")
    alpha.follow("kubectl --namespace muniment delete pod", POD="alpha-1-0")
    alpha.follow("kubectl --namespace muniment wait --for=create", POD="alpha-1-0")
    alpha.follow("kubectl --namespace muniment wait --for=condition=Ready pod", POD="alpha-1-0")
    after = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in cluster.pods()}
    assert {name for name, uid in uids.items() if after.get(name) != uid} == {"alpha-1-0"}
    cluster.python("-m", "tests.support.create_privately", cluster.gateway)
    cluster.lab.kubectl("delete", "namespace", "muniment")
    shutil.rmtree(alpha.folder / ".muniment")
    shutil.rmtree(alpha.folder / "manifests")


def test_two_operators(alpha: Guide, beta: Guide, cluster: Cluster, database: OutsideDatabase) -> None:
    lab = cluster.lab
    empty(lab, "second")
    lab.apply([monitors()])
    lab.kubectl("wait", "--for=condition=Established", "crd/servicemonitors.monitoring.coreos.com")
    url = f"postgresql://muniment@{database.host}:{SQL_PORT}/muniment"
    shared: dict[str, Any] = {"chain": {"id": 4713, "request_timeout_seconds": 1}, "privacy": {"tls": "strict"}}
    own = {
        "alpha": {"nodes": 3, "peers": 2, "database": {"url": url, "password_file": "database.password"}},
        "beta": {"nodes": 1, "peers": 0, "notary": False},
    }
    (alpha.folder / "database.password").write_text(PASSWORD)
    (alpha.folder / "database.password").chmod(0o600)
    ours = small(**shared, members={"alpha": own["alpha"]}, kubernetes={"monitoring": True, "outside": outside(ALPHA)})
    theirs = small(**shared, members={"beta": own["beta"]}, kubernetes={"namespace": "beta", "outside": outside(BETA)})
    write(alpha.folder, ours)
    write(beta.folder, {**theirs, "ipfs": {"replication": {"min": 1}}})
    alpha.follow("muniment member export alpha")
    beta.run("muniment member export beta consortium.yaml --target kubernetes -o beta.public.yaml")
    shutil.copy(alpha.folder / "alpha.public.yaml", beta.folder)
    shutil.copy(beta.folder / "beta.public.yaml", alpha.folder)
    shutil.rmtree(beta.folder / ".muniment" / "identity" / "consortium")
    shutil.copytree(
        alpha.folder / ".muniment" / "identity" / "consortium", beta.folder / ".muniment" / "identity" / "consortium"
    )
    ours["members"] = {"alpha": own["alpha"], "beta": {"identity": "beta.public.yaml"}}
    theirs["members"] = {"alpha": {"identity": "alpha.public.yaml"}, "beta": own["beta"]}
    write(alpha.folder, ours)
    write(beta.folder, theirs)

    alpha.follow("muniment render kubernetes consortium.yaml -o rendered")
    alpha.follow("kubectl create namespace")
    alpha.follow("kubectl create -f rendered/identities.yaml")
    alpha.follow("rm rendered")
    alpha.follow("kubectl --namespace muniment create secret generic database-password")
    alpha.follow("kubectl --namespace muniment label secret database-password")
    alpha.follow("kubectl --namespace muniment create configmap members")
    alpha.follow("kubectl --namespace muniment label configmap members")
    made = identities(cluster)
    install(alpha, ours)
    give(cluster, ALPHA)
    interrupted(beta)
    with ThreadPoolExecutor() as meanwhile:
        given = meanwhile.submit(give, Cluster(lab, beta.folder, "beta"), BETA)
        beta.follow("muniment up --target kubernetes")
        given.result()
    assert json.loads(beta.run("muniment status --json"))["verdict"] == "ok"
    alpha.follow("kubectl --namespace muniment wait --for=condition=Ready consortium")
    assert made.items() <= identities(cluster).items()


def test_it_serves(alpha: Guide, beta: Guide, cluster: Cluster, database: OutsideDatabase) -> None:
    path, receipt = cluster.notarize("guide.txt", "notarised by the guide")
    cluster.verify(path, receipt)
    theirs = Cluster(cluster.lab, beta.folder, "beta")
    key = yaml.safe_load((beta.folder / "beta.public.yaml").read_text())["privacy"]["keys"][0]
    said = json.loads(cluster.python("-m", "tests.support.create_privately", cluster.gateway, key))

    def at_both() -> None:
        for place, node in ((cluster, "alpha-2"), (theirs, "beta-1")):
            if place.console(node, "eth_getCode", said["contract"], "latest") == "0x":
                raise NotYetError(f"{node} has no code")

    cluster.wait("the private contract", at_both)
    used = database.statement("SELECT count(*) FROM pg_stat_activity WHERE datname = 'muniment'")
    assert int(used) > 0
    assert "beta-1" in beta.follow("muniment status")
    assert beta.follow("muniment logs", NAME="beta-1")
    scraped(cluster)


def test_identities_are_backed_up_and_the_chart_is_upgraded(alpha: Guide, cluster: Cluster) -> None:
    alpha.follow("kubectl --namespace muniment get secrets")
    kept = yaml.safe_load((alpha.folder / "identities.yaml").read_text())["items"]
    assert {one["metadata"]["name"] for one in kept} >= set(identities(cluster))
    before = identities(cluster)
    alpha.follow("kubectl apply --server-side --force-conflicts")
    alpha.follow("helm upgrade")
    alpha.follow("kubectl --namespace muniment wait --for=condition=Ready consortium")
    assert identities(cluster) == before


def test_a_machine_is_given_up_and_comes_back(alpha: Guide, cluster: Cluster) -> None:
    lost = cluster.machine("alpha-notary-0")
    machine = cluster.lab.node(lost)
    gone = {pod["metadata"]["name"] for pod in cluster.pods() if pod["spec"]["nodeName"] == lost}
    machine.kill()
    cluster.wait(f"the loss of {lost}", lambda: machine_is(cluster, lost, ready=False))
    alpha.follow("kubectl taint node MACHINE node.kubernetes.io/out-of-service=", MACHINE=lost)

    def given_up() -> None:
        there = {pod["metadata"]["name"] for pod in cluster.pods() if pod["spec"].get("nodeName") == lost}
        if gone & there:
            raise NotYetError(f"{gone & there} are there")

    cluster.wait("the end of what was there", given_up)
    machine.start()
    cluster.wait(f"the return of {lost}", lambda: machine_is(cluster, lost, ready=True))
    alpha.run(f"kubectl wait --for=condition=Ready node/{lost} --timeout=60s")
    alpha.follow("kubectl taint node MACHINE node.kubernetes.io/out-of-service-", MACHINE=lost)
    ready(cluster)


def test_all_is_taken_away_but_volumes_and_secrets(alpha: Guide, beta: Guide, cluster: Cluster) -> None:
    theirs = Cluster(cluster.lab, beta.folder, "beta")
    claims = {one["metadata"]["uid"] for one in theirs.get("pvc")["items"]}
    beta.follow("muniment down")
    assert theirs.pods() == []
    assert {one["metadata"]["uid"] for one in theirs.get("pvc")["items"]} == claims
    before = identities(cluster)
    pods = {pod["metadata"]["uid"] for pod in cluster.pods()}
    alpha.follow("helm uninstall")
    assert {pod["metadata"]["uid"] for pod in cluster.pods()} >= pods
    alpha.follow("kubectl --namespace muniment delete consortium")

    def ended() -> None:
        if cluster.pods():
            raise NotYetError("pods are there")

    cluster.wait("the end of the pods", ended)
    assert identities(cluster) == before
    assert cluster.get("pvc")["items"]


def test_every_command_was_run(alpha: Guide) -> None:
    assert sorted(set(commands()) - alpha.done) == []


def install(alpha: Guide, spec: dict[str, Any]) -> None:
    """`helm install` with the values of the text, changed where the lab has other images and small volumes."""
    given = values_of_the_text()
    given["image"] = values()["image"]
    given["operator"] = values()["operator"]
    given["rbac"] = {"renewCertificates": True}
    assert given["consortium"]["name"] == spec["name"]
    assert set(given["consortium"]["spec"]) <= set(spec)
    given["consortium"]["spec"] = {name: value for name, value in spec.items() if name != "name"}
    write(alpha.folder, given, "values.yaml")
    alpha.follow("helm install")


def interrupted(operator: Guide) -> None:
    """`muniment up`, killed as soon as something of it is in the cluster."""
    first = subprocess.Popen(
        operator.command("exec muniment up --target kubernetes"),
        env=operator.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def begun() -> None:
        if "beta" not in operator.run("kubectl --namespace beta get services,secrets --output name"):
            raise NotYetError("nothing is there")

    try:
        wait_blocking("the first object of beta", begun, timeout=WAIT_SECONDS)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()


def outside(addresses: dict[str, str]) -> dict[str, Any]:
    """How the other operator reaches this one: by a load balancer only, as from another cluster."""
    return {"type": "LoadBalancer", "addresses": addresses}


def identities(cluster: Cluster) -> dict[str, str]:
    """The Secrets of the consortium, and their UIDs."""
    found = cluster.get("secrets", "-l", "muniment.io/consortium=trial")["items"]
    return {one["metadata"]["name"]: one["metadata"]["uid"] for one in found}


def monitors() -> dict[str, Any]:
    """As much of the Prometheus operator's definition as it takes to keep such objects."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
    names = {"kind": "ServiceMonitor", "listKind": "ServiceMonitorList", "plural": "servicemonitors"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "servicemonitors.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "scope": "Namespaced",
            "names": {**names, "singular": "servicemonitor"},
            "versions": [version],
        },
    }


def scraped(cluster: Cluster) -> None:
    """Every endpoint of every monitor leads, through the Services it selects, to metrics, from any namespace."""
    found = cluster.get("servicemonitors.monitoring.coreos.com")["items"]
    assert {monitor["metadata"]["name"] for monitor in found} == MONITORS
    with stranger(cluster) as pod:
        for monitor in found:
            selector = ",".join(f"{name}={value}" for name, value in monitor["spec"]["selector"]["matchLabels"].items())
            services = cluster.get("services", "-l", selector)["items"]
            for endpoint in monitor["spec"]["endpoints"]:
                urls = [
                    f"http://{service['spec']['clusterIP']}:{port['port']}{endpoint['path']}"
                    for service in services
                    for port in service["spec"]["ports"]
                    if port["name"] == endpoint["port"]
                ]
                assert urls, (monitor["metadata"]["name"], endpoint)
                for url in urls:
                    assert "# TYPE" in pod.get(url), url
