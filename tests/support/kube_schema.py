"""Checks manifests against the models of the Kubernetes API: types, required fields, and fields that there are not.

The models are generated from the API's own description (lightkube-models). What they cannot say (formats, rules between
fields) a real API server checks in tests/kubernetes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from lightkube.resources import apps_v1, core_v1, networking_v1, policy_v1, rbac_authorization_v1

GROUPS = {
    "v1": core_v1,
    "apps/v1": apps_v1,
    "networking.k8s.io/v1": networking_v1,
    "policy/v1": policy_v1,
    "rbac.authorization.k8s.io/v1": rbac_authorization_v1,
}


def problems(manifest: Mapping[str, Any]) -> list[str]:
    """What is wrong with a manifest; empty when nothing is."""
    where = f"{manifest['kind']} {manifest['metadata']['name']}"
    resource = getattr(GROUPS[manifest["apiVersion"]], manifest["kind"])
    try:
        model = msgspec.convert(dict(manifest), resource, strict=True)
    except msgspec.ValidationError as error:
        return [f"{where}: {error}"]
    return [f"{where}: there is no field {path}" for path in _lost(dict(manifest), model.to_dict(), "")]


def _lost(given: Any, known: Any, path: str) -> Iterator[str]:
    """Fields that the models dropped. Empty ones may go."""
    if isinstance(given, dict):
        for key, value in given.items():
            if isinstance(known, dict) and key in known:
                yield from _lost(value, known[key], f"{path}.{key}")
            elif value not in (None, [], {}):
                yield f"{path}.{key}".lstrip(".")
    elif isinstance(given, list):
        for index, value in enumerate(given):
            yield from _lost(value, known[index], f"{path}[{index}]")
