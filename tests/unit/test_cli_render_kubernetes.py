"""`muniment render kubernetes`: files to apply in order, and Secrets only when they are asked for."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from muniment.cli.main import main
from muniment.identity.store import IdentityStore

SPEC = """\
name: trial
members:
  alpha: {nodes: 2, peers: 2, database: {url: "postgresql://me@db.example.org/muniment", password_file: password}}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "consortium.yaml").write_text(SPEC, "utf-8")
    (tmp_path / "password").write_text("open sesame\n", "utf-8")
    return tmp_path


def render(place: Path, *options: str) -> int:
    command = ["render", "kubernetes", str(place / "consortium.yaml"), "--state", str(place / "state")]
    return main([*command, "-o", str(place / "out"), *options])


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text("utf-8")))


def test_files_in_order_and_no_secret(place: Path) -> None:
    assert render(place) == 0
    names = sorted(path.name for path in (place / "out").iterdir())
    assert names[0] == "00-namespace.yaml"
    assert "secrets.yaml" not in names
    text = "".join(path.read_text("utf-8") for path in (place / "out").iterdir())
    assert "open sesame" not in text
    assert IdentityStore(place / "state" / "identity").secret("alpha/nodes/alpha-1/nodekey") not in text


def test_secrets_apart_for_their_owner_alone(place: Path) -> None:
    assert render(place, "--secrets") == 0
    path = place / "out" / "secrets.yaml"
    assert path.stat().st_mode & 0o777 == 0o600
    secrets = {one["metadata"]["name"]: one["data"] for one in documents(path)}
    key = base64.b64decode(secrets["alpha-1-identity"]["alpha.nodes.alpha-1.nodekey"]).decode()
    assert key == IdentityStore(place / "state" / "identity").secret("alpha/nodes/alpha-1/nodekey")
    password = secrets["alpha-1-identity"]["alpha.database.password"]
    assert base64.b64decode(password) == b"open sesame"


def test_identities_for_the_operator(place: Path) -> None:
    assert render(place, "--identities") == 0
    path = place / "out" / "identities.yaml"
    assert path.stat().st_mode & 0o777 == 0o600
    (secret,) = documents(path)
    assert secret["metadata"]["name"] == "trial-identities-1"
    assert {"alpha.privacy.tls.authority.key", "alpha.nodes.alpha-1.nodekey", "genesis.json"} <= set(secret["data"])
    assert not (place / "out" / "secrets.yaml").exists()


def test_again_the_same_files(place: Path) -> None:
    assert render(place) == 0
    before = {path.name: path.read_bytes() for path in (place / "out").iterdir()}
    assert render(place) == 0
    assert {path.name: path.read_bytes() for path in (place / "out").iterdir()} == before


def test_a_pod_with_another_ones_key_would_refuse(place: Path) -> None:
    assert render(place) == 0
    configs = {one["metadata"]["name"]: one["data"] for one in documents(place / "out" / "20-configuration.yaml")}
    described = json.loads(configs["alpha-1-config"]["place.json"])
    assert len(described["fingerprints"]["alpha/nodes/alpha-1/nodekey"]) == 64
    assert "alpha/database/password" not in described["fingerprints"]


def test_a_missing_password_is_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "password").unlink()
    assert render(place, "--secrets") == 2
    assert f"{place / 'password'} cannot be read" in capsys.readouterr().err
    assert not (place / "out" / "secrets.yaml").exists()
