"""A deployment on Kubernetes: what the command line and the operator do in the same way.

Identities are kept in the cluster's Secrets; the state directory holds a copy of them to work with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from muniment.identity.store import IdentityStore
from muniment.operate import execute
from muniment.operate.execute import Deployment
from muniment.operate.manifests import rendered, secrets_of
from muniment.operate.state import State
from muniment.spec.model import Consortium
from muniment.targets.kubernetes.addresses import KubernetesAddresses, settled
from muniment.targets.kubernetes.client import Api
from muniment.targets.kubernetes.controllers import Update
from muniment.targets.kubernetes.identities import ClusterIdentities
from muniment.targets.kubernetes.pods import Manifest
from muniment.targets.kubernetes.target import KubernetesTarget
from muniment.topology.layout import Layout
from muniment.topology.model import Topology


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
