"""Labs for tests and benchmarks: several on one machine do not meet."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from images.build import Builder
from tests.kubernetes.lab.binaries import binaries
from tests.kubernetes.lab.lab import Lab
from tests.kubernetes.lab.settings import Settings

VOLUMES = 6
"""On each machine; a few more than are used, so that a deleted one can be made anew elsewhere."""

PREFIXES = ("la", "lb", "lc")
"""Of labs that may run at once: each has a folder, network namespaces and cgroups of its own."""


@contextmanager
def loaded_lab() -> Iterator[Lab]:
    """Three nodes, with our images and empty volumes."""
    lab = free_lab()
    try:
        lab.up(Builder().build().values())
        lab.volumes(VOLUMES)
        yield lab
    finally:
        lab.down()


def free_lab() -> Lab:
    """The first that nobody else on this machine uses; several runs of these tests do not meet."""
    programs = binaries()
    for prefix in PREFIXES:
        lab = Lab(Settings(Path(tempfile.gettempdir(), f"muniment-lab-{prefix}"), programs, prefix))
        if lab.take():
            return lab
    raise AssertionError(f"{len(PREFIXES)} labs are in use on this machine: {', '.join(PREFIXES)}")
