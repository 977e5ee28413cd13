"""Stores of images: filled once, and given to every node.

Nothing ever writes to the files of an image, so that the nodes' stores share them as hard links: an image is imported
once instead of once for each node, and is in memory once.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from muniment.kernel.waiting import NotYetError, wait_blocking
from tests.kubernetes.lab.processes import Processes, run
from tests.kubernetes.lab.settings import Settings

NAMESPACE = "k8s.io"
"""Where the kubelet looks for images."""

START_SECONDS = 60
_NAME = "images"


def fill(settings: Settings, processes: Processes, archives: Iterable[Path]) -> Path:
    """A new store with the images of these archives."""
    store, state = settings.in_memory / "images", settings.in_memory / "filling"
    store.mkdir()
    state.mkdir()
    socket, config = state / "socket", state / "containerd.toml"
    config.write_text(
        f'version = 2\nroot = "{store}"\nstate = "{state}"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\n  address = "{socket}"\n[plugins."io.containerd.internal.v1.opt"]\n  path = "{state / "opt"}"\n'
    )
    # What it mounts for a moment is not seen outside.
    processes.start(_NAME, ["unshare", "--mount", "containerd", "--config", config])
    control = ("ctr", "--address", socket, "--namespace", NAMESPACE)
    wait_blocking("a store for images", lambda: _check(*control, "version"), timeout=START_SECONDS)
    for archive in archives:
        run(*control, "images", "import", archive)
    processes.kill(_NAME)
    return store


def give(store: Path, target: Path) -> None:
    """Make `target` a store of its own with the same content."""
    shutil.copytree(store, target, symlinks=True, copy_function=shutil.copy2, ignore=_shared)
    for shared in _shared_in(store):
        place = target / shared.relative_to(store)
        place.parent.mkdir(parents=True, exist_ok=True)
        run("cp", "--archive", "--link", shared, place)


def _shared_in(store: Path) -> list[Path]:
    """Directories whose files are links: the blobs, and the unpacked layers."""
    return [
        store / "io.containerd.content.v1.content" / "blobs",
        store / "io.containerd.snapshotter.v1.overlayfs" / "snapshots",
    ]


def _shared(directory: str, names: list[str]) -> list[str]:
    return [name for name in names if name in ("blobs", "snapshots")]


def _check(*command: str | Path) -> None:
    try:
        run(*command)
    except AssertionError as error:
        raise NotYetError(str(error)) from error
