"""The resource `Consortium` (muniment.io/v1alpha1): its names, its definition, and the specification in it. Pure.

Its `spec` is the specification as a file holds it. The name of the resource is the consortium's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from muniment.kernel.errors import InputError
from muniment.spec.model import Consortium
from muniment.spec.sentences import problem
from muniment.spec.structural import structural
from muniment.targets.kubernetes.client import Kind

GROUP: Final = "muniment.io"
VERSION: Final = "v1alpha1"
PLURAL: Final = "consortia"
KIND: Final = Kind(f"{GROUP}/{VERSION}", "Consortium", PLURAL)

Document = dict[str, Any]

_COLUMNS = (
    ("Verdict", "string", ".status.verdict", "ok, degraded or down"),
    ("Ready", "string", ".status.ready", "Workloads that are ready, of all"),
    ("Faults", "integer", ".status.faultsTolerated", "Further faulty validators that the chain withstands"),
    ("Progressing", "string", '.status.conditions[?(@.type=="Progressing")].status', "Whether something is changed"),
    ("Age", "date", ".metadata.creationTimestamp", ""),
    ("Cause", "string", ".status.cause", "Why the verdict is not ok"),
)


def specification(resource: Mapping[str, Any]) -> Consortium:
    """The specification in a resource. Raises `InputError` with everything that is wrong in it."""
    name = str(resource["metadata"]["name"])
    given = dict(resource.get("spec") or {})
    if given.setdefault("name", name) != name:
        raise InputError(f"spec.name is {given['name']!r}: it must be {name}, the name of the resource, or be left out")
    try:
        return Consortium.model_validate_json(json.dumps(given), strict=True)
    except ValidationError as error:
        found = [problem(Consortium, one, {})[1] for one in error.errors(include_url=False)]
        raise InputError("; ".join(f"spec.{sentence}" for sentence in found)) from error


def owner_reference(resource: Mapping[str, Any]) -> Document:
    """Entry of `ownerReferences`: what carries it goes when the resource is deleted."""
    metadata = resource["metadata"]
    return {
        "apiVersion": KIND.version,
        "kind": KIND.name,
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": False,
    }


def definition() -> Document:
    """The CustomResourceDefinition."""
    spec = structural(Consortium.model_json_schema())
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": PLURAL, "singular": "consortium", "kind": KIND.name, "shortNames": ["cons"]},
            "versions": [_version(spec)],
        },
    }


def _version(spec: Document) -> Document:
    columns = [
        {"name": name, "type": kind, "jsonPath": path, **({"description": text} if text else {})}
        for name, kind, path, text in _COLUMNS
    ]
    properties = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": spec,
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    }
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": {"type": "object", "required": ["spec"], "properties": properties}},
    }
