"""A consortium in a lab, as tests use it: what runs, what it says, and clients that come from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muniment import __version__
from muniment.kernel.waiting import NotYetError, wait_blocking
from tests.kubernetes.lab.lab import Lab
from tests.kubernetes.lab.processes import run

NAME = "demo"
RELEASE = "trial"
ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "muniment"
READY_SECONDS = 420
UNIT_SECONDS = 60
NODES = ("alpha-1", "alpha-2", "alpha-3", "beta-1")
SMALL = {"cpu": "10m", "memory": "48Mi", "memory_limit": "1Gi"}


def values() -> dict[str, Any]:
    """Values of the chart: the demo, small, with beta as a member that does not validate, so that any machine of the
    three may be lost."""
    parts = ("node", "privacy", "agent", "kubo", "cluster", "gateway", "notary", "database")
    return {
        "image": {"repository": "localhost/muniment", "pullPolicy": "Never"},
        "operator": {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}},
        "consortium": {
            "name": NAME,
            "spec": {
                "chain": {"id": 4711, "request_timeout_seconds": 1},
                "images": {
                    "muniment": f"localhost/muniment:{__version__}",
                    **{
                        name: f"localhost/muniment-{name}:{__version__}"
                        for name in ("quorum", "kubo", "cluster", "haproxy", "mariadb")
                    },
                },
                "kubernetes": {
                    "image_pull_policy": "Never",
                    "storage": {name: {"size": "1Gi"} for name in ("node", "peer", "notary", "database")},
                    "resources": dict.fromkeys(parts, SMALL),
                },
                "members": {
                    "alpha": {"nodes": 3, "peers": 3},
                    "beta": {"nodes": 1, "validators": 0, "peers": 0, "notary": False},
                },
            },
        },
    }


@dataclass
class Cluster:
    """One consortium, in a namespace."""

    lab: Lab
    folder: Path
    """For files of the test."""
    namespace: str = NAME

    def kubectl(self, *arguments: str | Path, text: str | None = None) -> str:
        """kubectl in the namespace."""
        return self.lab.kubectl("-n", self.namespace, *arguments, text=text)

    def get(self, *arguments: str) -> Any:
        """`kubectl get … -o json` in the namespace."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def install(self, chart: Path = CHART, **changes: Any) -> None:
        """`helm upgrade --install` of the chart, with changed values of the specification's chain or kubernetes."""
        given = values()
        if chart == CHART:
            # The previous release does not know it.
            given["operator"]["unitTimeoutSeconds"] = UNIT_SECONDS
        for part, changed in changes.items():
            given["consortium"]["spec"].setdefault(part, {}).update(changed)
        path = self.folder / "values.json"
        path.write_text(json.dumps(given))
        where = ("-n", NAME, "--create-namespace", "-f", path)
        self.lab.helm("upgrade", "--install", RELEASE, chart, *where)

    def resource(self) -> dict[str, Any]:
        """The Consortium."""
        found: dict[str, Any] = self.get("consortium", NAME)
        return found

    def condition(self, kind: str) -> dict[str, Any]:
        """One condition of the Consortium; empty when there is none yet."""
        conditions = self.resource().get("status", {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == kind), {})

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Until the operator has brought about the specification and finds everything ready, and every pod is."""

        def probe() -> None:
            resource = self.resource()
            status = resource.get("status", {})
            if status.get("observedGeneration") != resource["metadata"]["generation"]:
                raise NotYetError("the operator has not taken it up")
            for kind, wanted in (("Ready", "True"), ("Progressing", "False")):
                found = self.condition(kind)
                if found.get("status") != wanted:
                    raise NotYetError(f"{kind}: {found.get('reason')}: {found.get('message')}")
            if reason := self.condition("Progressing")["reason"] != "Applied":
                raise NotYetError(f"not applied: {reason}")
            self.check_pods()

        wait_blocking("the consortium", _retried(probe), timeout=seconds)

    def check_pods(self) -> None:
        """Raises `NotYetError` when a pod is not ready, or is about to go."""
        for pod in self.pods():
            name = pod["metadata"]["name"]
            if pod["metadata"].get("deletionTimestamp"):
                raise NotYetError(f"{name} goes")
            ready = [one["status"] for one in pod["status"].get("conditions", []) if one["type"] == "Ready"]
            if ready != ["True"]:
                raise NotYetError(f"{name} is not ready")

    def pods(self) -> list[dict[str, Any]]:
        """The consortium's pods."""
        found: list[dict[str, Any]] = self.get("pods", "-l", "muniment.io/consortium")["items"]
        return found

    def pod(self, name: str) -> dict[str, Any]:
        """One pod."""
        found: dict[str, Any] = self.get("pod", name)
        return found

    def machine(self, pod: str) -> str:
        """The machine that a pod is on."""
        name: str = self.pod(pod)["spec"]["nodeName"]
        return name

    def address(self, service: str) -> str:
        """The cluster address of a Service."""
        found: str = self.get("service", service)["spec"]["clusterIP"]
        return found

    def url(self, service: str, port: int) -> str:
        """The URL of a port of a Service, for clients on a machine of the cluster."""
        return f"http://{self.address(service)}:{port}"

    @property
    def gateway(self) -> str:
        """RPC of alpha's gateway."""
        return self.url("alpha-gateway", 8545)

    @property
    def notary(self) -> str:
        """alpha's notary."""
        return self.url("alpha-notary", 8080)

    def rpc(self, url: str, method: str, *params: Any) -> Any:
        """The result of a JSON-RPC call, made on a machine of the cluster."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        said = run(
            *self.lab.outside("curl", "-sS", "-m", "10", "-H", "Content-Type: application/json", url, "-d", body)
        )
        answer = json.loads(said)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def head(self) -> int:
        """Number of the newest block at the gateway."""
        return int(self.rpc(self.gateway, "eth_blockNumber"), 16)

    def python(self, *arguments: str | Path) -> str:
        """Run Python with our modules on a machine of the cluster; gives what it prints."""
        return run(*self.python_command(*arguments))

    def python_command(self, *arguments: str | Path) -> list[str]:
        """The command line for that."""
        return self.lab.outside("env", f"--chdir={ROOT}", sys.executable, *arguments)

    def muniment(self, *arguments: str | Path) -> str:
        """Run muniment as a client on a machine of the cluster; gives what it prints."""
        return self.python("-m", "muniment", *arguments)

    def notarize(self, name: str, content: str) -> tuple[Path, Path]:
        """Notarise a file; the file and its receipt."""
        path, receipts = self.folder / name, self.folder / "receipts"
        path.write_text(content)
        self.muniment("notarize", path, "--notary", self.notary, "--receipts", receipts)
        return path, receipts / f"{name}.receipt.json"

    def verify(self, path: Path, receipt: Path) -> None:
        """Verify a file; raises `AssertionError` unless it is proved."""
        self.muniment("verify", path, "--receipt", receipt, "--rpc", self.gateway)

    def inside(self, pod: str, container: str, *command: str) -> str:
        """Run a command in a container."""
        return self.kubectl("exec", pod, "-c", container, "--", *command)

    def asked(self, pod: str, container: str, url: str) -> tuple[int, str]:
        """Status and body of a GET that a container of muniment makes."""
        script = (
            "import sys, urllib.request, urllib.error\n"
            "try: answer = urllib.request.urlopen(sys.argv[1], timeout=10)\n"
            "except urllib.error.HTTPError as error: answer = error\n"
            "print(answer.status, answer.read().decode())"
        )
        said = self.inside(pod, container, "python", "-c", script, url)
        status, _, body = said.strip().partition(" ")
        return int(status), body

    def console(self, node: str, method: str, *params: Any) -> Any:
        """The result of a call at a node's own socket, where its operators' namespaces are."""
        call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        script = f"JSON.stringify(web3.currentProvider.send({call}))"
        socket = f"/muniment/run/{node}/geth.ipc"
        said = self.inside(f"{node}-0", node, "geth", "attach", "--exec", script, socket)
        answer = json.loads(json.loads(said))
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def roots(self, nodes: Iterable[str], block: int) -> set[str]:
        """What the nodes say is the root of the private state at a block."""
        return {self.console(node, "debug_privateStateRoot", hex(block)) for node in nodes}

    def kill_container(self, pod: str, container: str) -> None:
        """kill -9 of the first process of a container, on its machine."""
        status = self.pod(pod)["status"]
        every = (*status["containerStatuses"], *status.get("initContainerStatuses", ()))
        found = next(one for one in every if one["name"] == container)
        machine = self.lab.node(self.machine(pod))
        task = found["containerID"].removeprefix("containerd://")
        machine.run("ctr", "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", task)

    def restarts(self, pod: str, container: str) -> int:
        """How often a container was started again."""
        status = self.pod(pod)["status"]
        every = (*status["containerStatuses"], *status.get("initContainerStatuses", ()))
        return sum(int(one["restartCount"]) for one in every if one["name"] == container)

    def replaced(self, pod: str, before: str, seconds: float = READY_SECONDS) -> dict[str, Any]:
        """The pod of this name, as soon as it is another one than that with the UID `before`, and ready."""

        def probe() -> dict[str, Any]:
            found = self.pod(pod)
            if found["metadata"]["uid"] == before:
                raise NotYetError("it is the old one")
            ready = [one["status"] for one in found["status"].get("conditions", []) if one["type"] == "Ready"]
            if ready != ["True"]:
                raise NotYetError("it is not ready")
            return found

        return wait_blocking(f"another {pod}", _retried(probe), timeout=seconds)

    def wait(self, what: str, probe: Callable[[], None], seconds: float = READY_SECONDS) -> None:
        """Wait for a condition; what kubectl refuses meanwhile counts as not yet."""
        wait_blocking(what, _retried(probe), timeout=seconds)

    def volumes_of(self, pods: Collection[str]) -> dict[str, str]:
        """The volume of each pod."""
        claims = {one["metadata"]["name"]: one["spec"].get("volumeName", "") for one in self.get("pvc")["items"]}
        return {pod: claims[f"data-{pod}"] for pod in pods}


def _retried(probe: Callable[[], Any]) -> Callable[[], Any]:
    def again() -> Any:
        try:
            return probe()
        except (AssertionError, subprocess.SubprocessError, StopIteration, KeyError) as error:
            raise NotYetError(f"{type(error).__name__}: {error}") from error

    return again
