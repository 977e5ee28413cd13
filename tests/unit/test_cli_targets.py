"""Which target a command works on."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from muniment.cli import targets
from muniment.cli.main import main
from muniment.cli.targets import Choice, Kind
from muniment.kernel.errors import InputError
from muniment.operate.state import State
from tests.support.kube_api import KubeApi

SPEC = """\
name: demo
ipfs: {replication: {min: 1, max: 1}}
members:
  alpha: {nodes: 1, peers: 0, notary: false}
"""


@pytest.fixture
def place(tmp_path: Path) -> State:
    return State(tmp_path / "state")


def test_nothing_said_is_this_machine(place: State) -> None:
    assert targets.choose(place, None, None, None, None) == Choice(Kind.LOCAL)


def test_a_namespace_is_no_word_about_this_machine(place: State) -> None:
    with pytest.raises(click.UsageError, match="go with --target kubernetes only"):
        targets.choose(place, None, None, None, "elsewhere")


def test_what_was_started_by_an_older_version_is_on_this_machine(place: State) -> None:
    place.root.mkdir()
    (place.root / "deployment.json").write_text("{}")
    assert targets.remembered(place) == Choice(Kind.LOCAL)
    with pytest.raises(InputError, match="belongs to a consortium on this machine"):
        targets.choose(place, "kubernetes", None, None, None)


def test_a_damaged_memory_is_told(place: State) -> None:
    place.root.mkdir()
    (place.root / "target.json").write_text('{"target": "moon"}')
    with pytest.raises(InputError, match=r"target\.json cannot be read"):
        targets.running(place)


def test_up_status_and_down_find_the_cluster_again(
    cluster: KubeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, state = tmp_path / "consortium.yaml", tmp_path / "state"
    spec.write_text(SPEC)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path)))
    up = ["up", str(spec), "--state", str(state)]
    assert main([*up, "--target", "kubernetes", "--no-wait"]) == 0
    assert cluster.names("statefulsets") == ["alpha-1", "alpha-database"]
    assert cluster.objects["statefulsets", "alpha-1"]["metadata"]["namespace"] == "muniment"
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "another"))
    # Neither target nor cluster are said again.
    assert main([*up, "--no-wait"]) == 0
    capsys.readouterr()
    assert main(["status", "--state", str(state)]) == 1
    assert "alpha-1          NOT RUNNING" in capsys.readouterr().out
    assert main(["logs", "alpha-1", "--state", str(state)]) == 2
    assert "alpha-1 has no pod in namespace muniment" in capsys.readouterr().err
    assert main([*up, "--namespace", "elsewhere"]) == 2
    assert "belongs to a consortium on Kubernetes, namespace muniment" in capsys.readouterr().err
    assert main(["down", "--purge", "--yes", "--state", str(state)]) == 2
    assert main(["down", "--state", str(state)]) == 0
    assert cluster.names("statefulsets") == cluster.names("configmaps") == []
    assert "demo-identities-1" in cluster.names("secrets")
