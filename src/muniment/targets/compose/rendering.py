"""Writes a folder for docker compose: self-contained, and the same every time.

compose.yaml          services, networks, volumes
.env                  project and images (0600)
config/WORKLOAD/      files as they were rendered, and where they go; no secret
secrets/WORKLOAD/     secrets that these files name, one a file (0600)
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from muniment.kernel.encoding import pretty_json
from muniment.kernel.files import PUBLIC_MODE, SECRET_MODE, make_private_directory, unwritable
from muniment.spec.model import Consortium
from muniment.targets.compose.document import Folder, folder
from muniment.targets.containers.documents import dump
from muniment.targets.containers.views import DESCRIPTION, View, secret_key
from muniment.targets.launch import place
from muniment.topology.model import Program, Topology

HEAD = "# Written by `muniment render compose`; change the specification, not this file.\n"

Secrets = Callable[[str], str]
"""Content of a secret by its place in the identity store."""


def write(root: Path, topology: Topology, spec: Consortium, images: Mapping[Program, str], secret: Secrets) -> None:
    """Write the folder, and remove what an earlier rendering left in it. Raises `InputError` when that cannot be."""
    made = folder(topology, spec, images)
    try:
        make_private_directory(root)
        for name, view in made.views.items():
            _write_view(root, name, view, secret)
        for kind in ("config", "secrets"):
            _remove_others(root / kind, made.views)
        place(root / "compose.yaml", (HEAD + dump(made.document)).encode(), PUBLIC_MODE)
        place(root / ".env", _environment(spec.name, made).encode(), SECRET_MODE)
    except OSError as error:
        raise unwritable(root, error) from error


def _write_view(root: Path, name: str, view: View, secret: Secrets) -> None:
    config, secrets = root / "config" / name, root / "secrets" / name
    files = {**view.templates, DESCRIPTION: pretty_json(view.description)}
    for file, text in files.items():
        place(config / file, text.encode(), PUBLIC_MODE)
    _remove_others(config, files)
    keys = {secret_key(path): path for path in view.secrets}
    for key, path in keys.items():
        place(secrets / key, f"{secret(path)}\n".encode(), SECRET_MODE)
    _remove_others(secrets, keys)


def _environment(name: str, made: Folder) -> str:
    lines = {"COMPOSE_PROJECT_NAME": name, **made.images}
    return HEAD + "".join(f"{variable}={value}\n" for variable, value in lines.items())


def _remove_others(directory: Path, wanted: Iterable[str]) -> None:
    kept = set(wanted)
    for entry in directory.iterdir() if directory.is_dir() else ():
        if entry.name in kept:
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
