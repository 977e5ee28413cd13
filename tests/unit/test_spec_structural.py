"""The specification's schema as a custom resource needs it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from muniment.spec.model import Consortium
from muniment.spec.structural import structural

SCHEMA = structural(Consortium.model_json_schema())


def schemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    inner = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    for one in inner:
        if one is not None:
            yield from schemas(one)


def test_nothing_is_said_that_a_structural_schema_cannot_say() -> None:
    forbidden = {"$ref", "$defs", "anyOf", "oneOf", "const", "title", "propertyNames", "patternProperties", "default"}
    for schema in schemas(SCHEMA):
        assert not forbidden & schema.keys()
        assert isinstance(schema["type"], str)
        assert not {"properties", "additionalProperties"} <= schema.keys()


def test_fields_keep_their_types_bounds_and_meaning() -> None:
    member = SCHEMA["properties"]["members"]["additionalProperties"]
    assert member["properties"]["nodes"] == {
        "description": "Number of GoQuorum nodes, each with its own key, coinbase and volume.",
        "maximum": 16,
        "minimum": 1,
        "type": "integer",
        "format": "int64",
    }
    assert member["properties"]["identity"]["nullable"] is True
    assert SCHEMA["properties"]["version"]["enum"] == [1]
    assert SCHEMA["properties"]["chain"]["properties"]["consensus"]["enum"] == ["qbft", "ibft", "raft", "clique"]


def test_names_of_a_map_are_checked_by_a_rule() -> None:
    (rule,) = SCHEMA["properties"]["members"]["x-kubernetes-validations"]
    assert rule["rule"] == "self.all(name, name.matches('^[a-z][a-z0-9]{0,19}$'))"
    assert SCHEMA["properties"]["members"]["minProperties"] == 1


def test_unknown_fields_come_to_the_operator_who_refuses_them() -> None:
    assert SCHEMA["x-kubernetes-preserve-unknown-fields"] is True


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "object", "patternProperties": {"a": {"type": "string"}, "b": {"type": "string"}}},
        {"enum": ["a"]},
    ],
)
def test_what_cannot_be_said_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="structural schema"):
        structural(schema)
