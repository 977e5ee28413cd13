"""Promise: rubbish gets one sentence that says what to do; nothing is lost, started or hung, and no traceback shown."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.support.consortium import Consortium, muniment

pytestmark = pytest.mark.engines


def refused(consortium: Consortium, *arguments: str | Path, status: int = 2) -> str:
    """Run a command that must be refused; returns its sentence."""
    done = consortium.run(*arguments, check=False, timeout=60)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
    assert not consortium.processes()
    return done.stderr


def up(consortium: Consortium) -> tuple[str | Path, ...]:
    return ("up", consortium.spec_file, "--state", consortium.state, "--detach")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("members: [", "consortium.yaml:"),
        ("version: 1\nmembers:\n  alpha:\n    nodez: 3\n", "nodes"),
        ("version: 1\nmembers:\n  alpha:\n    nodes: many\n", "consortium.yaml:4"),
        ("", "consortium.yaml"),
        ("\x00\x01", "consortium.yaml"),
    ],
)
def test_broken_specification(own_demo: Consortium, text: str, said: str) -> None:
    own_demo.spec_file.write_text(text)
    assert said in refused(own_demo, *up(own_demo))
    assert not own_demo.state.exists()


def test_missing_specification(own_demo: Consortium) -> None:
    own_demo.spec_file.unlink()
    assert "consortium.yaml" in refused(own_demo, *up(own_demo))


def test_port_in_use_names_the_port_and_the_field(own_demo: Consortium) -> None:
    port = own_demo.specification["ports"]["base"] + 10
    with socket.create_server(("127.0.0.1", port)):
        said = refused(own_demo, *up(own_demo))
    assert str(port) in said
    assert "alpha-1" in said
    assert "ports" in said


def test_state_that_is_a_file(own_demo: Consortium) -> None:
    own_demo.state.write_text("I was here first")
    assert str(own_demo.state) in refused(own_demo, *up(own_demo))
    assert own_demo.state.read_text() == "I was here first"
    own_demo.state.unlink()


def test_state_on_a_full_or_read_only_place(own_demo: Consortium) -> None:
    # /proc refuses new directories even to root, where permission bits would not.
    said = refused(own_demo, "up", own_demo.spec_file, "--state", "/proc/muniment", "--detach")
    assert "/proc/muniment" in said


@pytest.mark.parametrize("victim", ["alpha/nodes/alpha-1/nodekey", "consortium/swarm.key", "genesis.json"])
def test_truncated_identity_is_refused_and_kept(own_demo: Consortium, victim: str) -> None:
    own_demo.run("render", "local", own_demo.spec_file, "--state", own_demo.state, "-o", own_demo.folder / "rendered")
    file = own_demo.state / "identity" / victim
    content = file.read_bytes()
    os.truncate(file, len(content) // 2)
    assert victim in refused(own_demo, *up(own_demo), status=1)
    assert file.read_bytes() == content[: len(content) // 2]
    file.write_bytes(content)


def test_wrong_passphrase_is_refused(own_demo: Consortium) -> None:
    own_demo.run("render", "local", own_demo.spec_file, "--state", own_demo.state, "-o", own_demo.folder / "rendered")
    passphrase = own_demo.state / "identity" / "alpha" / "account" / "passphrase"
    passphrase.write_text("not the right one")
    said = refused(own_demo, *up(own_demo), status=1)
    assert "passphrase" in said
    assert "not the right one" not in said


def test_notarising_without_a_notary(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = muniment("notarize", "file", cwd=tmp_path, check=False, timeout=60)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "muniment up" in done.stderr


def test_changed_chain_is_refused(own_demo: Consortium) -> None:
    own_demo.run("render", "local", own_demo.spec_file, "--state", own_demo.state, "-o", own_demo.folder / "rendered")
    text = own_demo.spec_file.read_text()
    own_demo.spec_file.write_text(text.replace("request_timeout_seconds: 1\n", "request_timeout_seconds: 2\n", 1))
    assert own_demo.spec_file.read_text() != text
    assert "request_timeout_seconds" in refused(own_demo, *up(own_demo), status=1)
