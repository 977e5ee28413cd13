"""From keys of Secrets back to places of the identity store (`containers.views.secret_key` is the way there). Pure.

A key of a Secret has no slash, so a path's slashes become dots. Names of members, nodes and peers have no dots, and of
the files all that do are known, so a key has one reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

from muniment.identity.model import (
    CLUSTER_SECRET,
    SWARM_KEY,
    account_paths,
    clique_keystore_paths,
    privacy_key_path,
    tls_authority_paths,
    tls_certificate_path,
)
from muniment.kernel.errors import InputError
from muniment.topology.model import Topology, Workload, secrets_in

GENESIS: Final = "genesis.json"

_KEY = re.compile(r"[-._A-Za-z0-9]{1,253}")
_DOTTED = frozenset(
    PurePosixPath(path).name
    for path in (
        *(GENESIS, SWARM_KEY, CLUSTER_SECRET, account_paths("m")[0], clique_keystore_paths("m", "m-1")[0]),
        *(privacy_key_path("m", 1), *tls_authority_paths("m"), tls_certificate_path("m")),
    )
)


def path_of(key: str) -> str:
    """The place of a key. Raises `InputError` for what is none."""
    parts = key.split(".")
    if not _KEY.fullmatch(key) or not all(parts):
        raise InputError(f"{key} is no place in the identity store")
    if ".".join(parts[-2:]) in _DOTTED:
        parts[-2:] = [".".join(parts[-2:])]
    return "/".join(parts)


def named_secrets(workload: Workload) -> list[str]:
    """The places of the secrets that the workload's files name, ordered."""
    return sorted({path for file in workload.files for path in secrets_in(file.text)})


def named_by(topology: Topology, workloads: Iterable[str]) -> list[str]:
    """The places of the secrets that these workloads' files name, ordered; names that are no workload's count not."""
    names = set(workloads)
    return sorted({path for one in topology.workloads if one.name in names for path in named_secrets(one)})
