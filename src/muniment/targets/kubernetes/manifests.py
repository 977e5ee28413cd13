"""A topology as the objects of a namespace: plain documents, in the order to apply them. Pure.

No manifest holds a secret. What `identity_secrets` makes is apart: it goes into the cluster once, by whatever way
secrets go there, and never into a repository.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping

from muniment.spec.model import Consortium
from muniment.targets.containers.views import secret_key
from muniment.targets.kubernetes.budgets import Disruptions, budgets
from muniment.targets.kubernetes.controllers import Rendering, Update, controller
from muniment.targets.kubernetes.labels import labels
from muniment.targets.kubernetes.monitors import monitors
from muniment.targets.kubernetes.places import Digest, placing, renewable
from muniment.targets.kubernetes.pods import Manifest, metadata, pods
from muniment.targets.kubernetes.policies import policies
from muniment.targets.kubernetes.services import services
from muniment.topology.model import Program, Topology

Secrets = Callable[[str], str]
"""Content of a secret by its place in the identity store."""


def manifests(
    topology: Topology,
    spec: Consortium,
    images: Mapping[Program, str],
    disruptions: Disruptions,
    *,
    update: Update = Update.ON_DELETE,
    digest: Digest | None = None,
) -> list[Manifest]:
    """Everything but the namespace and the Secrets. `spec` must be `addresses.settled`, `topology` derived from it."""
    found = pods(topology, disruptions.validators)
    steps = [placing(pod, spec, digest) for pod in found]
    rendering = Rendering(spec, images, update)
    return [
        *policies(found, spec),
        *(step.manifest() for step in steps),
        *services(found, spec),
        *budgets(found, spec, disruptions),
        *(controller(pod, step, rendering) for pod, step in zip(found, steps, strict=True)),
        *monitors(found, spec),
    ]


def namespace(spec: Consortium) -> Manifest:
    """The namespace; it takes only pods that keep to the profile `restricted`."""
    enforced = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": spec.kubernetes.namespace, "labels": {**labels(spec.name), **enforced}},
    }


def identity_secrets(topology: Topology, spec: Consortium, secret: Secrets) -> list[Manifest]:
    """One Secret for each pod that needs any, with exactly what its files name."""
    found = []
    for pod in pods(topology, frozenset()):
        step = placing(pod, spec)
        if step.secret is None:
            continue
        data = {secret_key(path): base64.b64encode(secret(path).encode()).decode() for path in step.secrets}
        found.append(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": metadata(step.secret, spec, pod.labels),
                "type": "Opaque",
                # Certificates are renewed and passwords may be changed; keys never are.
                "immutable": not any(renewable(path) for path in step.secrets),
                "data": data,
            }
        )
    return found


def ordered(found: Iterable[Manifest]) -> dict[str, list[Manifest]]:
    """Manifests by the names of the files that they go into; the names' order is the order to apply them in."""
    files: dict[str, list[Manifest]] = {}
    for manifest in found:
        files.setdefault(_FILES[manifest["kind"]], []).append(manifest)
    return dict(sorted(files.items()))


_FILES = {
    "Namespace": "00-namespace.yaml",
    "NetworkPolicy": "10-network-policies.yaml",
    "ConfigMap": "20-configuration.yaml",
    "Service": "30-services.yaml",
    "PodDisruptionBudget": "40-disruption-budgets.yaml",
    "StatefulSet": "50-stateful-sets.yaml",
    "Deployment": "60-deployments.yaml",
    "ServiceMonitor": "70-service-monitors.yaml",
}
