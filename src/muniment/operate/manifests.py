"""The manifests of a deployment: what quorum arithmetic, images and secrets add to the topology. Nothing is asked of a
cluster here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from muniment.identity.model import database_password_path
from muniment.kernel.errors import InputError
from muniment.operate import disruptions
from muniment.operate.execute import Deployment
from muniment.spec.model import Consortium
from muniment.targets.containers.images import images
from muniment.targets.kubernetes.budgets import Disruptions
from muniment.targets.kubernetes.controllers import Update
from muniment.targets.kubernetes.manifests import manifests
from muniment.targets.kubernetes.pods import Manifest
from muniment.topology.model import Topology

Secret = Callable[[str], str]
"""Content of a secret by its place in the identity store."""


def rendered(
    deployment: Deployment, topology: Topology, secret: Secret, *, update: Update = Update.ON_DELETE
) -> list[Manifest]:
    """All manifests of a deployment but its namespace and Secrets."""
    return manifests(
        topology,
        deployment.spec,
        images(deployment.spec.images.model_dump(exclude_none=True)),
        Disruptions(
            disruptions.own_validators(deployment.identities),
            disruptions.validators_at_once(deployment.spec, deployment.identities),
        ),
        update=update,
        digest=lambda path: hashlib.sha256(secret(path).encode()).hexdigest(),
    )


def secrets_of(spec: Consortium, base: Path, stored: Secret) -> Secret:
    """Secrets by their places in the identity store; passwords of databases outside come from the files that the
    specification, which is not settled yet, names."""
    files = {
        database_password_path(name): base / member.database.password_file
        for name, member in spec.own_members.items()
        if member.database.password_file
    }

    def secret(path: str) -> str:
        if path not in files:
            return stored(path)
        try:
            return files[path].read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{files[path]} cannot be read ({error}): write the database's password there") from error

    return secret
