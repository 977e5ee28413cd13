"""`muniment engines`: what it lists and how it builds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from muniment.cli.engines import engines
from muniment.engines import find
from tests.support.toolchain import REAL_OUTPUT, Machine, script


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with kubo, a C compiler and a Go that builds geth."""
    machine = Machine(tmp_path)
    for name, value in machine.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(find, "SYSTEM_PLACES", ())
    machine.program("ipfs", script(REAL_OUTPUT["ipfs"]))
    machine.c_compiler()
    machine.go("geth")
    return machine


def test_list_tells_where_each_engine_comes_from(machine: Machine) -> None:
    done = CliRunner().invoke(engines, ["list", "--json"])
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert {name: row["origin"] for name, row in rows.items()} == {
        "geth": "build",
        "ipfs": "path",
        "ipfs-cluster-service": "build",
        "haproxy": "missing",
    }
    assert rows["ipfs"]["path"] == str(machine.bin / "ipfs")
    assert rows["geth"]["path"].startswith(str(machine.cache))
    assert rows["haproxy"]["advice"].endswith("apt-get install haproxy")
    assert machine.builds() == []


def test_list_is_a_table_for_people(machine: Machine) -> None:
    lines = CliRunner().invoke(engines, ["list"]).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["geth", "ipfs", "ipfs-cluster-service", "haproxy"]
    assert lines[1].split() == ["ipfs", "0.42.0", "path", str(machine.bin / "ipfs")]


def test_build_builds_what_is_named_and_tells_its_steps(machine: Machine) -> None:
    done = CliRunner().invoke(engines, ["build", "geth"])
    assert done.exit_code == 0
    name, path = done.stdout.strip().split(": ")
    assert name == "geth"
    assert Path(path).is_relative_to(machine.cache)
    states = [json.loads(line)["state"] for line in done.stderr.splitlines()]
    assert states[0] == "begin"
    assert states[-1] == "end"
    listed = json.loads(CliRunner().invoke(engines, ["list", "--json"]).stdout)
    assert (listed[0]["origin"], listed[0]["path"]) == ("cache", path)
