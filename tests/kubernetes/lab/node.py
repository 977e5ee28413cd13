"""One node: its configuration, its boot, its power switch."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from muniment.kernel.encoding import pretty_json
from muniment.kernel.waiting import NotYetError, wait_blocking
from tests.kubernetes.lab import boot, network, store
from tests.kubernetes.lab.processes import Processes, first_child, in_network, run
from tests.kubernetes.lab.settings import API_PORT, DOMAIN, Settings

PAUSE_IMAGE = "localhost/lab-pause:1"
CGROUPS = Path("/sys/fs/cgroup")
CLEAN_SECONDS = 20


class Node:
    """Node number `number` (from 1 on)."""

    def __init__(self, settings: Settings, number: int, processes: Processes) -> None:
        self._settings = settings
        self._number = number
        self._processes = processes
        self.name = settings.node(number)
        self.place = settings.place(number)

    def prepare(self, images: Path) -> None:
        """Write its configuration, and give it a store with these images."""
        for name in ("kubelet", "cni", "pods", "containers", "networks", "volumes"):
            (self.place / name).mkdir(parents=True)
        own = self._settings.in_memory / self.name
        store.give(images, own)
        (self.place / "resolv.conf").touch()
        (self.place / "containerd.toml").write_text(_CONTAINERD)
        for name, document in (
            ("networks/10-pods.conflist", self._pod_network()),
            ("kubelet.json", self._kubelet()),
            ("proxy.json", self._proxy()),
            ("node.json", self._description(own)),
        ):
            (self.place / name).write_text(pretty_json(document))

    def start(self) -> None:
        """Switch it on; returns at once."""
        for group in self._groups():
            (group / self.name / "system").mkdir(parents=True, exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):
            for own in (self.name, f"{self.name}/system"):
                (CGROUPS / "cpuset" / own / name).write_text((CGROUPS / "cpuset" / name).read_text())
        # In cgroups of its own, and in namespaces whose first process takes all others with it.
        enter = 'for group in "$@"; do echo $$ >"$group/system/cgroup.procs"; done'
        spaces = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--mount-proc")
        command = in_network(self.name, *spaces, sys.executable, "-I", "-S", boot.__file__, self.place / "node.json")
        script = f"{enter}; exec {' '.join(_quoted(part) for part in command)}"
        groups = [str(group / self.name) for group in self._groups()]
        self._processes.start(self.name, ["bash", "-c", script, "bash", *groups])

    def kill(self) -> None:
        """Cut its power: every process of it ends at once."""
        self._processes.kill(self.name)
        wait_blocking(f"the end of {self.name}", self._cleared, timeout=CLEAN_SECONDS)

    def cut(self) -> None:
        """Take it off the network."""
        network.cut(self._settings, self._number)

    def heal(self) -> None:
        """Put it back on the network."""
        network.heal(self._settings, self._number)

    def run(self, *command: str | Path, text: str | None = None) -> str:
        """Run a command in it."""
        return run(*self.command(*command), text=text)

    def command(self, *command: str | Path) -> list[str]:
        """A command line of the host that runs `command` in the node."""
        outer = self._processes.pid(self.name)
        assert outer, f"{self.name} is switched off"
        return ["nsenter", "-t", str(first_child(outer)), "-m", "-n", "-u", "-i", "-p", "--", *map(str, command)]

    def load(self, archive: Path) -> None:
        """Import the images of an archive."""
        self.run("ctr", "-n", store.NAMESPACE, "images", "import", archive)

    def volume(self, name: str) -> Path:
        """Directory of a volume, as the host sees it."""
        return self.place / "volumes" / name

    def make_volume(self, name: str) -> None:
        """Make the empty directory of a volume, without what was in it."""
        place = self.volume(name)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o777)
        place.chmod(0o777)

    def _groups(self) -> Iterator[Path]:
        for group in sorted(CGROUPS.iterdir()):
            if group.name != "unified" and not group.is_symlink() and (group / "cgroup.procs").exists():
                yield group

    def _cleared(self) -> None:
        # Also where no limits are set: containers have groups in every hierarchy.
        for own in CGROUPS.glob(f"*/{self.name}"):
            for inner in sorted((path for path in own.rglob("*") if path.is_dir()), reverse=True):
                _remove(inner)
            _remove(own)

    def _description(self, images: Path) -> dict[str, Any]:
        settings = self._settings
        return {
            "name": self.name,
            "place": str(self.place),
            "image_store": str(images),
            "address": settings.node_address(self._number),
            "zone": f"zone-{self._number}",
            "api_address": settings.api_address,
            "api_port": API_PORT,
            "kubelet": str(settings.binaries / "kubelet"),
            "kube_proxy": str(settings.binaries / "kube-proxy"),
            "kubeconfig": str(settings.keys / f"{self.name}.kubeconfig"),
        }

    def _pod_network(self) -> dict[str, Any]:
        ranges = [[{"subnet": self._settings.pods_of(self._number)}]]
        bridge = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "isDefaultGateway": True,
            "ipMasq": False,
            "hairpinMode": True,
            "ipam": {"type": "host-local", "ranges": ranges, "dataDir": "/run/cni-addresses"},
        }
        return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}

    def _kubelet(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(settings.keys / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(settings.keys / f"{self.name}.crt"),
            "tlsPrivateKeyFile": str(settings.keys / f"{self.name}.key"),
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.name}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "clusterDNS": [settings.dns],
            "clusterDomain": DOMAIN,
            "resolvConf": str(self.place / "resolv.conf"),
            # A lost node is noticed after seconds.
            "nodeStatusUpdateFrequency": "2s",
            "nodeLeaseDurationSeconds": 8,
            "syncFrequency": "10s",
            # No image could be fetched again.
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "systemReserved": {"memory": settings.reserved_memory},
            "enforceNodeAllocatable": ["pods"],
            "makeIPTablesUtilChains": False,
            "maxPods": 60,
            "crashLoopBackOff": {"maxContainerRestartPeriod": "20s"},
            "featureGates": {"KubeletCrashLoopBackOffMax": True},
            # Without the right to lower a process's score (CAP_SYS_RESOURCE).
            "oomScoreAdj": 0,
        }

    def _proxy(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {"kubeconfig": str(settings.keys / "proxy.kubeconfig")},
            "hostnameOverride": self.name,
            "clusterCIDR": f"{settings.pod_network}.0.0/16",
            "detectLocalMode": "ClusterCIDR",
            # Read-only in a network namespace.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            "oomScoreAdj": 0,
        }


_CONTAINERD = f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", \
"io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
"""


def _remove(group: Path) -> None:
    try:
        group.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise NotYetError(f"{group} is in use ({error.strerror})") from error


def _quoted(part: str) -> str:
    return "'" + part.replace("'", "'\\''") + "'"
