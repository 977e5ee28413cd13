from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from muniment.spec.load import load
from muniment.spec.model import Chain, Consortium, Database, Ipfs, Member, Ports, Privacy, Replication
from muniment.spec.template import commented_specification, json_schema


@pytest.fixture
def spec(tmp_path: Path) -> Consortium:
    file = tmp_path / "consortium.yaml"
    file.write_text(commented_specification())
    return load(file)


def test_it_loads_and_shows_the_defaults(spec: Consortium) -> None:
    assert spec == Consortium.model_validate({"members": {"alpha": {"nodes": 4}}})


@pytest.mark.parametrize("model", [Consortium, Chain, Ipfs, Replication, Privacy, Ports, Member, Database])
def test_every_field_stands_there_under_a_comment(model: type[BaseModel]) -> None:
    lines = [line.strip() for line in commented_specification().splitlines()]
    for field in model.model_fields:
        at = [index for index, line in enumerate(lines) if line.lstrip("# ").startswith(f"{field}:")]
        assert at, field
        assert any(lines[index - 1].startswith("# ") or lines[index - 1].endswith(":") for index in at), (
            f"{field} has no comment"
        )


def test_the_schema_is_one_and_accepts_the_template_and_the_demo() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    demo = Path(__file__).resolve().parents[2] / "examples" / "demo.yaml"
    for text in (commented_specification(), demo.read_text()):
        jsonschema.validate(yaml.safe_load(text), schema)


def test_the_schema_refuses_unknown_fields_and_explains_the_known() -> None:
    schema = json_schema()
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"members": {"alpha": {"nodez": 3}}}, schema)
    for field in _properties(schema):
        # Where the model's description says the same, the schema refers to it and does not repeat it.
        behind = schema["$defs"].get(field.get("$ref", "").rpartition("/")[2], {})
        assert "description" in field or "description" in behind


def _properties(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in (schema, *schema["$defs"].values()):
        yield from part.get("properties", {}).values()
