"""PodDisruptionBudgets: how many pods a drain of machines may take at once. Pure.

The numbers of the validators come from quorum arithmetic, which is not known here. Always `minAvailable`, which counts
what must stay: `maxUnavailable` counts from the pods that there are, and would forget one that is gone already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from muniment.spec.model import Consortium
from muniment.targets.kubernetes.labels import labels
from muniment.targets.kubernetes.pods import COMPONENT, MEMBER, POD, VALIDATOR, Component, Manifest, Pod, metadata


@dataclass(frozen=True)
class Disruptions:
    """What may be taken away on purpose."""

    validators: frozenset[str] = field(default=frozenset())
    """Names of the own nodes that validate."""
    validators_at_once: int = 0
    """So many of them may be stopped at once on purpose."""


def budgets(pods: Sequence[Pod], spec: Consortium, disruptions: Disruptions) -> list[Manifest]:
    """One budget for all validators of this operator, and for each member one for its other nodes, its peers, gateways
    and notaries. No pod is in two of them: the API would refuse every eviction of it."""
    found = []
    own = [pod for pod in pods if pod.validator]
    if own:
        staying = max(0, len(own) - disruptions.validators_at_once)
        found.append(_budget(f"{spec.name}-validators", spec, {VALIDATOR: "true"}, staying))
    for member in dict.fromkeys(pod.member for pod in pods):
        found += _of_member(member, [pod for pod in pods if pod.member == member and not pod.validator], spec)
    return found


def _of_member(member: str, pods: Iterable[Pod], spec: Consortium) -> list[Manifest]:
    counts = {component: [pod for pod in pods if pod.component is component] for component in Component}
    found = [
        _several(member, component, counts[component], spec)
        for component in (Component.NODE, Component.PEER)
        if len(counts[component]) > 1
    ]
    for component in (Component.GATEWAY, Component.NOTARY):
        if counts[component]:
            wanted = {MEMBER: member, COMPONENT: component.value}
            found.append(_budget(f"{member}-{component}", spec, wanted, 1))
    return found


def _several(member: str, component: Component, pods: Sequence[Pod], spec: Consortium) -> Manifest:
    budget = _budget(f"{member}-{component}s", spec, {MEMBER: member, COMPONENT: component.value}, len(pods) - 1)
    budget["spec"]["selector"]["matchExpressions"] = [
        {"key": POD, "operator": "In", "values": [pod.name for pod in pods]}
    ]
    return budget


def _budget(name: str, spec: Consortium, wanted: dict[str, str], staying: int) -> Manifest:
    own = labels(spec.name)
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(name, spec, {"app.kubernetes.io/name": "muniment", **own}),
        "spec": {
            "minAvailable": staying,
            "selector": {"matchLabels": {**own, **wanted}},
            # A node that is not fit for traffic may well sign blocks: it counts.
            "unhealthyPodEvictionPolicy": "IfHealthyBudget",
        },
    }
