"""The placing step: files with their secrets where a container looks for them, and nothing where it must not be."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from muniment.targets.containers import place

STEP = [sys.executable, "-I", "-S", place.__file__]


def described(root: Path, **changes: Any) -> Path:
    """A description of one file with a secret, for directories below `root`."""
    templates, secrets = root / "templates", root / "secrets"
    for directory in (templates, secrets, root / "data"):
        directory.mkdir(exist_ok=True)
    (templates / "a.config.key.json").write_text('{"key": "@secret:alpha/nodes/a/nodekey@"}')
    (secrets / "alpha.nodes.a.nodekey").write_text("abcdef\n")
    target = root / "config" / "a" / "deep" / "key.json"
    description = {
        "directories": [str(root / "data" / "a")],
        "files": [{"source": str(templates / "a.config.key.json"), "target": str(target), "mode": 0o600}],
        "fingerprints": {},
        "hosts": [],
        "needs": [],
        "owners": [],
        "seconds": 0.3,
        "secrets": str(secrets),
        "sole": None,
        "user": None,
        **changes,
    }
    path = root / "place.json"
    path.write_text(json.dumps(description))
    return path


def run(description: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*STEP, str(description)], capture_output=True, text=True, check=False, timeout=30)


def refused(description: Path) -> str:
    done = run(description)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_secrets_are_filled_in_for_their_owner_alone(tmp_path: Path) -> None:
    assert run(described(tmp_path)).returncode == 0
    target = tmp_path / "config" / "a" / "deep" / "key.json"
    assert target.read_text() == '{"key": "abcdef"}'
    assert target.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "data" / "a").stat().st_mode & 0o777 == 0o700
    assert run(described(tmp_path)).returncode == 0


def test_a_directory_that_somebody_else_made_is_given_too(tmp_path: Path) -> None:
    """compose v2 makes all containers before any runs, and Docker makes their working directories then, as root."""
    directory = tmp_path / "data" / "a"
    directory.mkdir(parents=True)
    user = 10001 if os.geteuid() == 0 else os.geteuid()
    assert run(described(tmp_path, user=user)).returncode == 0
    assert directory.stat().st_uid == user


def test_a_secret_that_is_missing_is_named(tmp_path: Path) -> None:
    description = described(tmp_path)
    (tmp_path / "secrets" / "alpha.nodes.a.nodekey").unlink()
    assert "the secret alpha/nodes/a/nodekey is not there" in refused(description)
    assert not (tmp_path / "config").exists() or not list((tmp_path / "config").rglob("*.json"))


def test_a_volume_of_somebody_else_is_refused(tmp_path: Path) -> None:
    owner = {"file": str(tmp_path / "data" / ".owner"), "name": "alpha-1"}
    assert run(described(tmp_path, owners=[owner])).returncode == 0
    assert run(described(tmp_path, owners=[owner])).returncode == 0
    said = refused(described(tmp_path, owners=[{**owner, "name": "alpha-2"}]))
    assert "belongs to alpha-1, not to alpha-2" in said


def test_only_one_host_may_have_the_identity(tmp_path: Path) -> None:
    assert run(described(tmp_path, sole=socket.gethostname())).returncode == 0
    assert "only alpha-1-0 may have this identity" in refused(described(tmp_path, sole="alpha-1-0"))


def test_a_secret_of_somebody_else_is_refused(tmp_path: Path) -> None:
    good = hashlib.sha256(b"abcdef").hexdigest()
    path = "alpha/nodes/a/nodekey"
    assert run(described(tmp_path, fingerprints={path: good})).returncode == 0
    said = refused(described(tmp_path, fingerprints={path: "0" * 64}))
    assert f"the secret {path} is not the one of this identity" in said
    assert "abcdef" not in said


def test_names_are_waited_for(tmp_path: Path) -> None:
    assert run(described(tmp_path, hosts=["localhost"])).returncode == 0
    assert "the name nobody.invalid was waited for in vain" in refused(described(tmp_path, hosts=["nobody.invalid"]))


def test_needs_are_waited_for(tmp_path: Path, unused_port: int) -> None:
    need = {"host": "127.0.0.1", "port": unused_port, "path": "/ready"}
    assert "127.0.0.1 was waited for in vain" in refused(described(tmp_path, needs=[need]))


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port
