"""The first process of a node, in namespaces of its own: mounts, then containerd, kubelet and kube-proxy.

Runs as a script with the node's description (JSON). Everything below /run is in memory and gone after a power cut, as
on a real machine; images and volumes stay. The kubelet sets sysctls of the machine: it is given plain files instead.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PAUSE_SECONDS = 0.2
RESTART_SECONDS = 1.0

_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def main(description: Path) -> None:
    """Boot, and reap what ends until the power is cut."""
    node = json.loads(description.read_bytes())
    place = Path(node["place"])
    socket.sethostname(node["name"])
    mount_all(node, place)
    keep(place, "containerd", ["containerd", "--config", str(place / "containerd.toml")])
    until(lambda: succeeds(["ctr", "version"]))
    until(lambda: answers(node["api_address"], node["api_port"]))
    kubelet = (node["kubelet"], f"--config={place / 'kubelet.json'}", f"--kubeconfig={node['kubeconfig']}")
    labels = f"topology.kubernetes.io/zone={node['zone']},topology.kubernetes.io/region=lab"
    own = (f"--hostname-override={node['name']}", f"--node-ip={node['address']}", f"--node-labels={labels}")
    keep(place, "kubelet", [*kubelet, *own])
    keep(place, "kube-proxy", [node["kube_proxy"], f"--config={place / 'proxy.json'}"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        signal.pause()


def mount_all(node: dict[str, Any], place: Path) -> None:
    """Give the node directories of its own where its programs want them."""
    mount("--make-rprivate", "/")
    mount("--make-rshared", "/")
    binds = {
        node["image_store"]: "/var/lib/containerd",
        place / "kubelet": "/var/lib/kubelet",
        place / "cni": "/var/lib/cni",
        place / "pods": "/var/log/pods",
        place / "containers": "/var/log/containers",
        place / "networks": "/etc/cni/net.d",
        place / "volumes": "/mnt",
    }
    for source, target in binds.items():
        Path(target).mkdir(parents=True, exist_ok=True)
        mount("--bind", str(source), target)
    mount("--make-rshared", "/")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    sysctls = Path("/run/sysctls")
    for directory in (Path("/run/netns"), Path("/run/lock"), sysctls):
        directory.mkdir()
    mount("--make-rshared", "/run")
    for name, value in _SYSCTLS.items():
        stand_in = sysctls / name.replace("/", ".")
        stand_in.write_text(f"{value}\n")
        mount("--bind", str(stand_in), f"/proc/sys/{name}")


def keep(place: Path, name: str, command: Sequence[str]) -> None:
    """Run a program, and again whenever it ends."""

    def run() -> None:
        while True:
            with (place / f"{name}.log").open("ab") as log:
                subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            # A limit of the rate.
            time.sleep(RESTART_SECONDS)

    threading.Thread(target=run, name=name, daemon=True).start()


def until(condition: Any) -> None:
    """Wait for a condition; whoever started the node gives up for us."""
    while not condition():
        time.sleep(PAUSE_SECONDS)


def succeeds(command: Sequence[str]) -> bool:
    """Whether a command ends well."""
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def answers(host: str, port: int) -> bool:
    """Whether somebody takes connections."""
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


def mount(*arguments: str) -> None:
    """Mount something."""
    subprocess.run([shutil.which("mount") or "/bin/mount", *arguments], check=True)


if __name__ == "__main__":
    os.umask(0o022)
    main(Path(sys.argv[1]))
