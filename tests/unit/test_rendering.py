"""Rendered files: what makes a workload start anew, and what is put in place while it runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from muniment.targets.rendering import Renderer
from muniment.topology.model import File, Probe, Program, Role, Topology, Workload, secret

CERTIFICATE = File(PurePosixPath("tls/certificate.pem"), secret("alpha/tls"), reloaded=True)
WORKLOAD = Workload(
    name="alpha-privacy-1",
    member="alpha",
    role=Role.PRIVACY,
    program=Program.MUNIMENT,
    arguments=(),
    ready=Probe("http://127.0.0.1:1/ready"),
    files=(File(PurePosixPath("privacy.json"), "{}"), CERTIFICATE),
    needs=(Probe("http://127.0.0.1:2/ready"),),
    shared=(PurePosixPath("/srv/shared"),),
)


class Place:
    """A state directory and the secrets that go into it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.secret = "first"
        self.renderer = Renderer(state, {}, lambda _path: self.secret)
        self.target = state / "config" / "alpha-privacy-1" / "tls" / "certificate.pem"

    def digest(self, workload: Workload = WORKLOAD) -> str:
        return self.renderer.render(topology(workload))[0].digest


def topology(workload: Workload = WORKLOAD) -> Topology:
    return Topology(consortium="demo", workloads=(workload,), genesis="{}")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_launcher_is_told_of_needs_and_shared_directories(place: Place) -> None:
    place.digest()
    launch = json.loads((place.state / "config" / "alpha-privacy-1" / "launch.json").read_bytes())
    assert launch["needs"] == [{"host": "127.0.0.1", "port": 2, "path": "/ready"}]
    assert "/srv/shared" in launch["directories"]


def test_a_changed_file_is_a_reason_for_a_restart_unless_it_is_reloaded(place: Place) -> None:
    first = place.digest()
    place.secret = "second"
    assert place.digest() == first
    restarted = replace(WORKLOAD, files=(File(PurePosixPath("privacy.json"), "{ }"), CERTIFICATE))
    assert place.digest(restarted) != first
    assert place.digest(replace(WORKLOAD, files=(WORKLOAD.files[0], replace(CERTIFICATE, reloaded=False)))) != first


def test_reloaded_files_are_put_in_place_at_once(place: Place) -> None:
    place.digest()
    place.secret = "second"
    place.renderer.refresh(topology())
    assert place.target.read_text() == "second"
    assert place.target.stat().st_mode & 0o777 == 0o600
    # The next start must not put the old one back.
    assert (place.state / "config/alpha-privacy-1/original/config-tls-certificate.pem").read_text() == "second"
    assert not (place.state / "config/alpha-privacy-1/privacy.json").exists()


def test_nothing_is_put_where_nothing_was_started(place: Place) -> None:
    place.renderer.refresh(topology())
    assert list(place.state.iterdir()) == []
