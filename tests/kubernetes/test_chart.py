"""The chart as helm sees it: linted, and rendered into files that are kept in tests/golden/chart.

helm is the one that MUNIMENT_HELM names, else the one that `make test-kubernetes` builds. After a change that is
meant, write the files anew by `MUNIMENT_GOLDEN=write pytest tests/kubernetes/test_chart.py`, and read the difference.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from muniment.controller.resource import specification
from muniment.spec.template import commented_specification
from tests.kubernetes.lab.binaries import binaries
from tests.support.kube_schema import problems

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "muniment"
GOLDEN = ROOT / "tests" / "golden" / "chart"
KUBERNETES = "1.34.4"

VALUES: dict[str, dict[str, Any]] = {
    "default": {},
    "consortium": {
        "image": {"repository": "registry.example/muniment", "tag": "9"},
        "imagePullSecrets": [{"name": "registry"}],
        "rbac": {"renewCertificates": True},
        "consortium": {
            "name": "trial",
            "spec": {
                "privacy": {"tls": "strict"},
                "members": {"alpha": {"nodes": 4}, "beta": {"nodes": 1, "peers": 0}},
            },
        },
    },
}


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = os.environ.get("MUNIMENT_HELM") or str(binaries() / "helm")
    return subprocess.run([program, *arguments], check=False, capture_output=True, text=True, timeout=60)


def template(values: dict[str, Any], directory: Path) -> subprocess.CompletedProcess[str]:
    path = directory / "values.yaml"
    path.write_text(yaml.safe_dump(values), "utf-8")
    place = ("release", str(CHART), "--namespace", "place", "--kube-version", KUBERNETES, "--values", str(path))
    return helm("template", *place)


def rendered(values: dict[str, Any], directory: Path) -> list[dict[str, Any]]:
    made = template(values, directory)
    assert made.returncode == 0, made.stderr
    return [document for document in yaml.safe_load_all(made.stdout) if document]


def test_lint() -> None:
    checked = helm("lint", "--strict", "--kube-version", KUBERNETES, str(CHART))
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", VALUES)
def test_golden(name: str, tmp_path: Path) -> None:
    made = template(VALUES[name], tmp_path)
    assert made.returncode == 0, made.stderr
    kept = GOLDEN / f"{name}.yaml"
    if os.environ.get("MUNIMENT_GOLDEN") == "write":
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(made.stdout, "utf-8")
    assert made.stdout == kept.read_text("utf-8")


@pytest.mark.parametrize("name", VALUES)
def test_the_api_knows_every_field(name: str, tmp_path: Path) -> None:
    known = [one for one in rendered(VALUES[name], tmp_path) if one["kind"] != "Consortium"]
    assert known
    assert [problem for one in known for problem in problems(one)] == []


def test_the_consortium_is_one_that_the_operator_takes(tmp_path: Path) -> None:
    (resource,) = [one for one in rendered(VALUES["consortium"], tmp_path) if one["kind"] == "Consortium"]
    spec = specification(resource)
    assert (spec.name, spec.members["alpha"].nodes) == ("trial", 4)
    assert spec.images.muniment == "registry.example/muniment:9"
    assert resource["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_no_consortium_without_members(tmp_path: Path) -> None:
    assert {one["kind"] for one in rendered({}, tmp_path)} == {"ServiceAccount", "Role", "RoleBinding", "Deployment"}


def test_every_field_of_a_specification_may_be_a_value(tmp_path: Path) -> None:
    document = yaml.safe_load(commented_specification())
    del document["name"]
    made = template({"consortium": {"spec": document}}, tmp_path)
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"members": {"alpha": {"nodes": 40}}}, "maximum"),
        ({"members": {"alpha": {}}, "frob": 1}, "frob"),
        ({"members": {"Alpha": {}}}, "Alpha"),
    ],
)
def test_wrong_values_are_refused(spec: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    made = template({"consortium": {"spec": spec}}, tmp_path)
    assert made.returncode != 0
    assert complaint in made.stderr


@pytest.mark.parametrize("name", VALUES)
def test_the_operator_may_not_take_keys_or_volumes_away(name: str, tmp_path: Path) -> None:
    (role,) = [one for one in rendered(VALUES[name], tmp_path) if one["kind"] == "Role"]
    allowed = {resource: set(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]}
    renewing = {"patch"} if name == "consortium" else set()
    assert allowed["secrets"] == {"get", "list", "create"} | renewing
    assert allowed["persistentvolumeclaims"] == {"get", "list"}
    assert "*" not in {verb for verbs in allowed.values() for verb in verbs}
