"""Names and tags of the images, in one place. Pure.

The engines' images are their makers' own. Where no registry can be reached, `images/` builds stand-ins for all of them,
which a specification names in its field `images`.
"""

from __future__ import annotations

from collections.abc import Mapping

from muniment import __version__
from muniment.topology.model import Program

DEFAULTS: Mapping[Program, str] = {
    Program.GETH: "quorumengineering/quorum:22.7.4",
    Program.IPFS: "ipfs/kubo:v0.42.0",
    Program.CLUSTER_SERVICE: "ipfs/ipfs-cluster:v1.1.0",
    Program.HAPROXY: "haproxy:3.2-bookworm",
    Program.MARIADB: "mariadb:11.8",
    Program.MUNIMENT: f"muniment:{__version__}",
}
"""By the program that runs in it."""

FIELDS: Mapping[Program, str] = {
    Program.GETH: "quorum",
    Program.IPFS: "kubo",
    Program.CLUSTER_SERVICE: "cluster",
    Program.HAPROXY: "haproxy",
    Program.MARIADB: "mariadb",
    Program.MUNIMENT: "muniment",
}
"""What the specification calls them, in its field `images`."""


def images(given: Mapping[str, str]) -> dict[Program, str]:
    """The image of every program; `given` are the specification's own, by name of the field."""
    return {program: given.get(FIELDS[program]) or default for program, default in DEFAULTS.items()}
