"""The agent's configuration file: what is rendered is read, and everything else is refused with its field."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from muniment.agent.settings import NodeSettings, read
from muniment.kernel.errors import InputError

GOOD: dict[str, Any] = {
    "listen": {"host": "127.0.0.1", "port": 21004},
    "member": "alpha",
    "maintenance_dir": "/data/maintenance",
    "max_lag_blocks": 2,
    "max_lag_seconds": 3.0,
    "nodes": [{"name": "alpha-1", "rpc": "http://127.0.0.1:21010", "privacy": None, "min_peers": 1}],
    "peers": [],
    "others": [],
}


def written(tmp_path: Path, value: Any) -> Path:
    path = tmp_path / "agent.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_a_rendered_file_is_read(tmp_path: Path) -> None:
    settings = read(written(tmp_path, GOOD))
    assert settings.nodes == (NodeSettings("alpha-1", "http://127.0.0.1:21010", None, 1),)
    assert settings.max_lag_seconds == 3.0
    with pytest.raises(InputError, match="cluster_password_file is missing"):
        settings.cluster_password()


def test_the_password_is_read_from_its_file(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    settings = read(written(tmp_path, {**GOOD, "cluster_password_file": str(secret)}))
    with pytest.raises(InputError, match="cannot be read"):
        settings.cluster_password()
    secret.write_text("s3cret\n")
    assert settings.cluster_password() == "s3cret"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("listen", "port"), 0, "listen.port must be a number of at least 1"),
        (("listen", "port"), 1.5, "listen.port must be a whole number"),
        (("listen",), "here", "listen must be a JSON object"),
        (("member",), "", "member must be a text"),
        (("max_lag_blocks",), True, "max_lag_blocks must be a number"),
        (("max_lag_seconds",), 0, "max_lag_seconds must be a number of at least 0.1"),
        (("nodes",), {}, "nodes must be a list"),
        (("nodes",), [], "nodes must name at least one node"),
        (("nodes",), [{}], r"nodes\[0\].name is missing"),
        (("peers",), [{"index": 1}], r"peers\[0\].kubo_name is missing"),
        (("surprise",), 1, "surprise is unknown"),
        (("listen", "surprise"), 1, "listen.surprise is unknown"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, path: tuple[str, ...], value: Any, message: str) -> None:
    content = copy.deepcopy(GOOD)
    inner = content
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    with pytest.raises(InputError, match=message):
        read(written(tmp_path, content))


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
def test_what_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"agent\.json"):
        read(written(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "none")
