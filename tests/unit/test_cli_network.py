"""The commands on a specification, as far as they start nothing."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import pytest
import yaml

from muniment.cli.main import main
from muniment.identity import export
from muniment.spec.load import load


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_init_writes_what_up_can_read(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    assert load(here / "consortium.yaml").members
    assert main(["init"]) == 2
    assert "not overwritten" in capsys.readouterr().err


def test_schema(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]["members"]
    assert main(["init", "--schema", "-o", "schema.json"]) == 0
    assert json.loads((here / "schema.json").read_bytes())["properties"]["chain"]


def test_up_without_a_specification(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up"]) == 2
    assert "consortium.yaml" in capsys.readouterr().err
    assert not (here / ".muniment").exists()


def test_up_on_a_broken_specification_makes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "consortium.yaml").write_text("members:\n  alpha:\n    nodez: 3\n")
    assert main(["up", "--detach"]) == 2
    assert "consortium.yaml:3" in capsys.readouterr().err
    assert not (here / ".muniment").exists()


def test_render_writes_files_and_starts_nothing(here: Path) -> None:
    main(["init"])
    assert main(["render", "local", "-o", "out"]) == 0
    launch = json.loads(next((here / "out").glob("config/*-1/launch.json")).read_bytes())
    assert launch["environment"]["MUNIMENT_STATE"] == str(here / ".muniment")
    assert (here / "out" / "supervisord.conf").exists()
    keys = list((here / "out").glob("config/*/original/config-nodekey"))
    assert keys
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert sorted(path.name for path in (here / ".muniment").iterdir()) == ["identity"]


def test_member_export(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "consortium.yaml").write_text(yaml.safe_dump({"members": {"alpha": {"nodes": 1, "peers": 2}}}))
    assert main(["member", "export", "alpha", "-o", "alpha.public.yaml"]) == 0
    public = export.read(here / "alpha.public.yaml")
    assert public.nodes[0].p2p is not None
    assert public.nodes[0].p2p.port == 21012
    assert main(["member", "export", "beta"]) == 2
    assert "there are alpha" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["status"], ["status", "--json"], ["logs", "alpha-1"]])
def test_where_nothing_was_started(here: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    assert main(command) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert "muniment up" in found.err
    assert not (here / ".muniment").exists()


def test_down_where_nothing_was_started(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down"]) == 0
    assert capsys.readouterr().out == "nothing runs\n"


def test_purge_asks_first(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (here / ".muniment" / "identity").mkdir(parents=True)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["down", "--purge"]) == 130
    assert "keys" in capsys.readouterr().err
    assert (here / ".muniment" / "identity").exists()
    assert main(["down", "--purge", "--yes"]) == 0
    assert not (here / ".muniment").exists()


@pytest.mark.parametrize("arguments", [["up", "--no-wait"], ["down", "--yes"]])
def test_options_that_go_together(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "goes with" in capsys.readouterr().err
