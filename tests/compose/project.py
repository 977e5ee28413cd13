"""One operator's compose project, as that operator uses it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from muniment import __version__
from muniment.kernel.waiting import NotYetError, wait_blocking
from muniment.spec.model import Consortium
from muniment.targets.compose.addresses import ComposeAddresses
from tests.compose.docker import HOST, Docker, run

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 300


@dataclass
class Project:
    """A folder with a specification, identities, and what is rendered from them."""

    docker: Docker
    folder: Path
    members: dict[str, Any]
    subnet: str
    base: int

    @property
    def rendered(self) -> Path:
        """The compose folder."""
        return self.folder / "compose"

    @property
    def state(self) -> Path:
        """Identities."""
        return self.folder / "state"

    def write(self) -> None:
        """Write the specification."""
        names = ("quorum", "kubo", "cluster", "haproxy", "mariadb")
        images = {name: f"localhost/muniment-{name}:{__version__}" for name in names}
        document = {
            # Both projects run on one daemon here: the name keeps them apart, all else is the same consortium's.
            "name": "shared",
            "chain": {"id": 4712, "request_timeout_seconds": 1},
            "ports": {"base": self.base},
            "images": {"muniment": f"localhost/muniment:{__version__}", **images},
            "compose": {"subnet": self.subnet, "host": HOST},
            "members": self.members,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "consortium.yaml").write_text(yaml.safe_dump(document, sort_keys=False))

    def export(self, member: str) -> Path:
        """The public file of a member."""
        path = self.folder / f"{member}.public.yaml"
        self.muniment("member", "export", member, self._spec, "--state", self.state, "--target", "compose", "-o", path)
        return path

    def render(self) -> None:
        """Write the compose folder."""
        self.muniment("render", "compose", self._spec, "--state", self.state, "-o", self.rendered)
        environment = (self.rendered / ".env").read_text()
        own = self.folder.name
        (self.rendered / ".env").write_text(
            environment.replace("COMPOSE_PROJECT_NAME=shared", f"COMPOSE_PROJECT_NAME={own}")
        )

    def up(self) -> None:
        """Start what does not run; returns as soon as everything was started."""
        self.docker.compose(self.rendered, "up", "-d")

    def down(self, *, purge: bool = False) -> None:
        """Stop everything; volumes stay unless `purge`."""
        if self.rendered.exists():
            self.docker.compose(self.rendered, "down", *(["--volumes"] if purge else []))

    def wait_ready(self) -> None:
        """Until every container that stays is healthy."""

        def probe() -> None:
            for name, container in self.containers().items():
                status = container["State"]
                health = status.get("Health", {}).get("Status")
                if health != "healthy":
                    raise NotYetError(f"{name} is {status['Status']}, {health}")

        wait_blocking(f"the containers of {self.folder.name}", probe, timeout=READY_SECONDS)

    def containers(self) -> dict[str, dict[str, Any]]:
        """What Docker says of the containers that stay, by workload."""
        label = f"label=com.docker.compose.project={self.folder.name}"
        names = self.docker.docker("ps", "-aq", "--filter", label).split()
        found: list[dict[str, Any]] = json.loads(self.docker.docker("inspect", *names)) if names else []
        services = {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}
        return {name: one for name, one in services.items() if one["HostConfig"]["RestartPolicy"]["Name"] != "no"}

    def url(self, workload: str, port: str) -> str:
        """The URL of a port, for clients on the host."""
        document = yaml.safe_load((self.folder / "consortium.yaml").read_text())
        place = ComposeAddresses(Consortium.model_validate(document))
        return f"http://{place.address(workload)}:{place.listen(workload, port).port}"

    def rpc(self, workload: str, method: str, *params: Any) -> Any:
        """The result of a JSON-RPC call to a node or gateway."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        url = self.url(workload, "rpc")
        ask = ("curl", "-sS", "-m", "10", "-H", "Content-Type: application/json", url, "-d", body)
        answer = json.loads(run(*self.docker.inside(*ask)))
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def privacy_key(self, member: str) -> str:
        """The key by which private transactions name a member."""
        url = f"{self.url(f'{member}-privacy-1', 'q2t')}/keys"
        key: str = json.loads(run(*self.docker.inside("curl", "-sS", "-m", "10", url)))["keys"][0]["key"]
        return key

    def muniment(self, *arguments: str | Path) -> str:
        """Run muniment on the host; gives what it prints."""
        return self.python("-m", "muniment", *arguments)

    def python(self, *arguments: str | Path) -> str:
        """Run Python on the host; gives what it prints."""
        return run(*self.docker.inside(sys.executable, *arguments), cwd=ROOT)

    @property
    def _spec(self) -> Path:
        return self.folder / "consortium.yaml"
