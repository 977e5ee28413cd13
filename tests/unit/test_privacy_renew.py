"""`muniment privacy renew` on a state directory that was rendered, and on one where nothing is."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from muniment.cli.main import main
from muniment.identity.store import IdentityStore
from muniment.operate import execute
from muniment.operate.state import State
from muniment.spec.load import load
from muniment.targets.loopback import LoopbackAddresses
from muniment.targets.rendering import Renderer


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def specify(here: Path, **privacy: object) -> None:
    members = {"alpha": {"nodes": 1, "peers": 0, "notary": False}}
    (here / "consortium.yaml").write_text(yaml.safe_dump({"privacy": privacy, "members": members}))


def rendered(here: Path) -> None:
    """Leave what `up` leaves, without starting anything."""
    place = State(here / ".muniment")
    deployment = execute.prepare(
        load(here / "consortium.yaml"), here, place, lambda spec: LoopbackAddresses(spec, place.root)
    )
    secret = IdentityStore(place.identity).secret
    Renderer(place.root, {"geth": Path("/geth"), "haproxy": Path("/haproxy")}, secret).render(deployment.topology)


def test_certificates_of_manager_and_node_are_put_in_place(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    specify(here, tls="strict")
    rendered(here)
    identity = here / ".muniment" / "identity" / "alpha" / "privacy" / "tls" / "certificate.pem"
    before = identity.read_text()
    assert main(["privacy", "renew"]) == 0
    assert "alpha: new certificate, good until 20" in capsys.readouterr().out
    assert identity.read_text() != before
    for workload in ("alpha-privacy-1", "alpha-1"):
        placed = here / ".muniment" / "config" / workload / "tls" / "certificate.pem"
        assert placed.read_text().strip() == identity.read_text().strip()
        assert placed.stat().st_mode & 0o777 == 0o600


def test_without_identities_or_private_transactions(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    specify(here)
    assert main(["privacy", "renew"]) == 2
    assert "muniment up" in capsys.readouterr().err
    specify(here, enabled=False)
    assert main(["privacy", "renew"]) == 2
    assert "privacy.enabled is false" in capsys.readouterr().err
