"""What the placing step of some workloads is told: description and templates, from the topology alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

from muniment.kernel.files import PUBLIC_MODE, SECRET_MODE
from muniment.topology.model import Addresses, File, Probe, Workload, secrets_in

DESCRIPTION: Final = "place.json"
"""Name of the description, beside the templates."""

OWNER: Final = ".muniment-owner"
"""In every volume: says whose it is."""

WAIT_SECONDS: Final = 300


@dataclass(frozen=True)
class View:
    """What goes into the container of the placing step."""

    description: Mapping[str, Any]
    templates: Mapping[str, str]
    """Text by flat name; no secret is in them."""
    secrets: tuple[str, ...]
    """Paths in the identity store of the secrets that are needed, ordered."""


@dataclass(frozen=True)
class Place:
    """Where the placing step finds things, and what it waits for."""

    templates: PurePosixPath
    secrets: PurePosixPath
    sole: str | None = None
    """Host name of the only container that may have this identity."""
    owners: Mapping[PurePosixPath, str] = field(default_factory=dict)
    """Whose each volume is, by its directory."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    needs: tuple[Probe, ...] = ()
    user: int | None = None
    """Who gets everything; None: the step runs as that user already."""


def view(workloads: Iterable[Workload], addresses: Addresses, place: Place) -> View:
    """The view of workloads that are placed together."""
    templates: dict[str, str] = {}
    files: list[dict[str, Any]] = []
    directories: list[str] = []
    for workload in workloads:
        own = (addresses.config(workload.name), addresses.data(workload.name), addresses.run(workload.name))
        directories += [str(path) for path in (*own, *workload.shared)]
        for file in workload.files:
            name = flat_name(workload.name, file)
            templates[name] = file.text
            base = addresses.data(workload.name) if file.in_data else addresses.config(workload.name)
            mode = SECRET_MODE if secrets_in(file.text) else PUBLIC_MODE
            files.append({"source": str(place.templates / name), "target": str(base / file.path), "mode": mode})
    secrets = sorted({path for text in templates.values() for path in secrets_in(text)} | set(place.fingerprints))
    description = {
        "directories": directories,
        "files": files,
        "fingerprints": dict(place.fingerprints),
        "hosts": list(place.hosts),
        "needs": [_need(probe) for probe in place.needs],
        "owners": [{"file": str(volume / OWNER), "name": name} for volume, name in place.owners.items()],
        "seconds": WAIT_SECONDS,
        "secrets": str(place.secrets),
        "sole": place.sole,
        "user": place.user,
    }
    return View(description, templates, tuple(secrets))


def flat_name(workload: str, file: File) -> str:
    """Name of a file's template: what a key of a ConfigMap may be."""
    kind = "data" if file.in_data else "config"
    return f"{workload}.{kind}.{'-'.join(file.path.parts)}"


def secret_key(path: str) -> str:
    """Name of a secret's file: its path in the identity store, with dots for slashes."""
    return path.replace("/", ".")


def _need(probe: Probe) -> dict[str, Any]:
    url = urlsplit(probe.url)
    return {"host": url.hostname, "port": url.port, "path": url.path}
