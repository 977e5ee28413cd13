"""The schema of a specification as a custom resource of Kubernetes needs it. Pure.

Structural schemas (apiextensions.k8s.io/v1) know no references, no `additionalProperties` beside `properties`, and no
`patternProperties`; null is `nullable`. Defaults are left out on purpose: the
API would write them into every object, as if a person had.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

_KEPT = (
    "description",
    "enum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "pattern",
    "required",
    "type",
)


def structural(schema: Mapping[str, Any]) -> Schema:
    """The structural schema of a JSON schema that pydantic made. Raises `ValueError` for what cannot be said in one."""
    return _converted(schema, schema.get("$defs", {}))


def _converted(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    whole = _resolved(schema, definitions)
    if "anyOf" in whole:
        return _nullable(whole, definitions)
    found = {key: whole[key] for key in _KEPT if key in whole}
    if "const" in whole:
        found["enum"] = [whole["const"]]
    if found.get("type") == "integer":
        found["format"] = "int64"
    if "properties" in whole:
        found["properties"] = {name: _converted(inner, definitions) for name, inner in whole["properties"].items()}
        # Unknown fields are for the operator to refuse, with a sentence; pruned ones would be lost in silence.
        found["x-kubernetes-preserve-unknown-fields"] = True
    elif "patternProperties" in whole:
        found |= _map(whole["patternProperties"], definitions)
    elif isinstance(whole.get("additionalProperties"), dict):
        found["additionalProperties"] = _converted(whole["additionalProperties"], definitions)
    if "items" in whole:
        found["items"] = _converted(whole["items"], definitions)
    if "type" not in found:
        raise ValueError(f"a structural schema needs a type: {sorted(whole)}")
    return found


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """What a reference names, and what stands beside the reference."""
    if "$ref" not in schema:
        return dict(schema)
    name = schema["$ref"].rpartition("/")[2]
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return {**_resolved(definitions[name], definitions), **beside}


def _nullable(schema: Schema, definitions: Mapping[str, Any]) -> Schema:
    choices = [choice for choice in schema["anyOf"] if choice.get("type") != "null"]
    if len(choices) != 1:
        raise ValueError(f"a structural schema has one type, not a choice of {len(choices)}")
    found = _converted(choices[0], definitions)
    described = {"description": schema["description"]} if "description" in schema else {}
    return {**found, **described, "nullable": True}


def _map(patterns: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    if len(patterns) != 1:
        raise ValueError(f"a structural schema has one kind of values in a map, not {len(patterns)}")
    ((pattern, inner),) = patterns.items()
    # In the language of the API's own rules (CEL): `self` is the map, its keys are what is looked at.
    rule = f"self.all(name, name.matches('{pattern}'))"
    return {
        "additionalProperties": _converted(inner, definitions),
        "x-kubernetes-validations": [{"rule": rule, "message": f"names must match {pattern}"}],
    }
