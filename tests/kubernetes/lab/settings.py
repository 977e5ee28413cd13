"""Names, addresses and places of one lab. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DOMAIN = "cluster.local"
API_PORT = 6443
STORAGE_CLASS = "local-static"


@dataclass(frozen=True)
class Settings:
    """One lab; two at once need another prefix and folder."""

    folder: Path
    """State, logs and volumes."""
    binaries: Path
    prefix: str = "mk"
    """Of network namespaces, cgroups and nodes."""
    nodes: int = 3
    node_network: str = "10.88.0"
    """First three parts of the machines' addresses: .1 is the control plane, .11 the first node."""
    pod_network: str = "10.244"
    """First two parts of the pods' addresses; the third is the node's number."""
    service_network: str = "10.96"
    """First two parts of the Services' addresses."""
    memory: str = "12g"
    """Most memory for image stores and etcd, which are kept in memory: nothing waits for a disk there."""
    reserved_memory: str = "2Gi"

    @property
    def control_plane(self) -> str:
        """Its network namespace."""
        return f"{self.prefix}-cp"

    @property
    def api_address(self) -> str:
        """Address of the API server."""
        return f"{self.node_network}.1"

    @property
    def api(self) -> str:
        """URL of the API server."""
        return f"https://{self.api_address}:{API_PORT}"

    @property
    def numbers(self) -> range:
        """Numbers of the nodes."""
        return range(1, self.nodes + 1)

    def node(self, number: int) -> str:
        """Name of a node, and of its network namespace and cgroup."""
        return f"{self.prefix}-n{number}"

    def node_address(self, number: int) -> str:
        """Address of a node."""
        return f"{self.node_network}.{10 + number}"

    def pods_of(self, number: int) -> str:
        """Network of the pods of a node."""
        return f"{self.pod_network}.{number}.0/24"

    @property
    def dns(self) -> str:
        """Address of the cluster's name server."""
        return f"{self.service_network}.0.10"

    @property
    def keys(self) -> Path:
        """Certificates and kubeconfigs."""
        return self.folder / "keys"

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.folder / "logs"

    @property
    def records(self) -> Path:
        """Process IDs and start times: one file for each process."""
        return self.folder / "running"

    @property
    def lock(self) -> Path:
        """Locked while the lab is in use. Beside the folder, which comes and goes."""
        return self.folder.with_name(f"{self.folder.name}.lock")

    @property
    def in_memory(self) -> Path:
        """A file system in memory."""
        return self.folder / "memory"

    def place(self, number: int) -> Path:
        """Directory of a node: what outlives a power cut."""
        return self.folder / "nodes" / self.node(number)

    @property
    def kubeconfig(self) -> Path:
        """Of the administrator; its server is reached in the control plane's network namespace."""
        return self.keys / "admin.kubeconfig"
