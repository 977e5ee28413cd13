"""A deployment on Kubernetes: what the command line and the operator do in the same way.

Identities are kept in the cluster's Secrets; the state directory holds a copy of them to work with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from muniment.identity.model import database_password_path
from muniment.identity.store import IdentityStore
from muniment.kernel.errors import InputError
from muniment.operate import disruptions, execute
from muniment.operate.execute import Deployment
from muniment.operate.state import State
from muniment.spec.model import Consortium
from muniment.targets.containers.images import images_of
from muniment.targets.kubernetes.addresses import KubernetesAddresses, settled
from muniment.targets.kubernetes.budgets import Disruptions
from muniment.targets.kubernetes.client import Api
from muniment.targets.kubernetes.controllers import Update
from muniment.targets.kubernetes.identities import ClusterIdentities
from muniment.targets.kubernetes.manifests import manifests
from muniment.targets.kubernetes.pods import Manifest
from muniment.targets.kubernetes.target import KubernetesTarget
from muniment.topology.layout import Layout
from muniment.topology.model import Topology

Secret = Callable[[str], str]


def in_namespace(spec: Consortium, namespace: str) -> Consortium:
    """The specification for this namespace, whatever it says itself."""
    return spec.model_copy(update={"kubernetes": spec.kubernetes.model_copy(update={"namespace": namespace})})


def deploy(
    spec: Consortium, base: Path, state: State, api: Api, *, owner: Mapping[str, Any] | None = None
) -> tuple[Deployment, KubernetesTarget]:
    """Make the identities and the genesis that are missing, keep them in the cluster, and derive what shall run in the
    namespace of `api`. Starts nothing.

    Raises `InputError` or `IntegrityError`, and `TemporaryError` when the cluster does not answer, or when somebody
    else made identities at the same time.
    """
    spec = execute.absolute(in_namespace(spec, api.namespace), base)
    identities = ClusterIdentities(api, spec.name, state.identity)
    identities.lay_out(settled(spec), base)
    deployment = execute.prepare(spec, base, state, KubernetesAddresses, settle=settled, layout=Layout.PODS)
    identities.keep(deployment.spec)
    secret = secrets_of(spec, base, IdentityStore(state.identity).secret)

    def render(topology: Topology) -> list[Manifest]:
        return rendered(deployment, topology, secret, update=Update.AT_ONCE)

    def provide(topology: Topology, found: list[Manifest]) -> None:
        identities.provide(topology, found, secret)

    return deployment, KubernetesTarget(api, spec.name, manifests=render, provide=provide, owner=owner)


def rendered(
    deployment: Deployment, topology: Topology, secret: Secret, *, update: Update = Update.ON_DELETE
) -> list[Manifest]:
    """All manifests of a deployment but its namespace and Secrets."""
    return manifests(
        topology,
        deployment.spec,
        images_of(deployment.spec),
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
